"""The messages between a view and a kernel."""

from __future__ import annotations

from typing import Any, get_type_hints

import numpy as np

from flowbook.notebook import protocol, protocol_types


def test_the_committed_typescript_is_up_to_date() -> None:
    assert protocol_types.TARGET.read_text(encoding="utf-8") == protocol_types.typescript()


def test_every_message_has_its_own_type() -> None:
    for side in (protocol.ToView, protocol.ToKernel):
        types = [name for each in side for name in get_type_hints(each)["type"].__args__]
        assert len(types) == len(set(types)) and "" not in types


def test_states_are_those_of_the_runtime() -> None:
    from flowbook.runtime.events import STATES

    assert protocol.STATES == STATES


def test_arrays_travel_beside_the_json() -> None:
    import json

    message: dict[str, Any] = {
        "type": "values",
        "values": [{"sample": {"data": np.array([1.5, np.nan]), "shape": [2]}, "text": "</script>"}],
        "empty": np.zeros(0, np.uint8),
    }
    plain, buffers = protocol.pack(message)
    again = protocol.unpack(json.loads(json.dumps(plain, allow_nan=False)), buffers)
    np.testing.assert_array_equal(again["values"][0]["sample"]["data"], [1.5, np.nan])
    assert again["empty"].dtype == np.uint8 and again["empty"].size == 0
    assert again["values"][0]["text"] == "</script>"


def test_nodes_travel_by_columns_and_come_back_as_they_were() -> None:
    """Also what only looks equal, what some do not have, and more different values than a byte counts."""
    import json

    nodes: list[dict[str, Any]] = [
        {"name": f"n{index % 300}", "scope": ["1", str(index % 2)], "inputs": [{"node": index, "output": 0}, None, "1"]}
        for index in range(1000)
    ]
    nodes[3]["line"], nodes[4]["line"] = 1, 2
    for index in range(5, 400):
        nodes[index]["code"] = "x = 1" if index % 2 else "1"
    plain, buffers = protocol.pack({"type": "graph", "title": "t", "nodes": nodes, "focus": np.arange(3)})
    again = protocol.unpack(json.loads(json.dumps(plain)), buffers)
    assert again["nodes"] == nodes and again["title"] == "t" and again["focus"].tolist() == [0, 1, 2]
    assert len(json.dumps(plain)) < len(json.dumps(nodes)) / 2
    assert protocol.unpack(*protocol.pack({"type": "graph", "nodes": []}))["nodes"] == []
