"""One graph with every sample of an op, run in every way there is: the bytes have to agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import flowbook as fb
from flowbook.graph.opdef import OpDef, Sample
from flowbook.graph.types import TensorSpec
from flowbook.native import library
from tests.ops.cases import Call, build, evaluate


def graph_of(op: OpDef, samples: Sequence[Sample]) -> tuple[fb.Graph, list[Any], dict[Any, Any]]:
    """A graph with a call for each sample, and its gradients; what to fetch, and the feeds."""
    graph, fetches, feeds = fb.Graph(), [], {}
    with graph.as_default():
        for sample in samples:
            call: Call = build(op, sample.inputs, sample.attrs)
            fetches.extend(call.outputs)
            feeds.update(call.feeds)
            if op.gradient is not None and call.xs and call.ys:
                fetches.extend(fb.gradients(call.ys, call.xs, unconnected="zeros"))
    return graph, fetches, feeds


def same_bytes(a: Sequence[Any], b: Sequence[Any], what: str) -> None:
    """Equal dtype, shape and bytes, one by one."""
    for index, (x, y) in enumerate(zip(a, b, strict=True)):
        x, y = np.asarray(x), np.asarray(y)
        specs = TensorSpec(x.shape, x.dtype), TensorSpec(y.shape, y.dtype)
        assert specs[0] == specs[1], f"{what}, fetch {index}: {specs}"
        assert x.tobytes() == y.tobytes(), f"{what}, fetch {index}:\n{x}\n{y}"


def close(a: Sequence[Any], b: Sequence[Any], what: str) -> None:
    """Equal dtype and shape; floats as near as sums in another order, relative to the largest of the array, or 1."""
    for index, (x, y) in enumerate(zip(a, b, strict=True)):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape), f"{what}, fetch {index}"
        if x.dtype.kind != "f":
            np.testing.assert_array_equal(x, y, f"{what}, fetch {index}")
            continue
        size = np.max(np.abs(y), initial=0, where=np.isfinite(y))
        bound = 1000 * np.finfo(x.dtype).eps
        np.testing.assert_allclose(x, y, rtol=bound, atol=bound * max(size, 1), err_msg=f"{what}, fetch {index}")


def check_drivers(op: OpDef, samples: Sequence[Sample]) -> None:
    """The optimised plan, the observed plan and the Stepper give the same bytes; so do the reference kernels, called by
    hand, where there are no native ones, and nearly so where there are."""
    graph, fetches, feeds = graph_of(op, samples)
    plain = evaluate(fetches, feeds)
    with fb.Session(graph) as session:
        optimised = session.run(fetches, feeds)
        compare = same_bytes if library is None else close
        compare(plain, optimised, "reference kernels by hand against run")
        same_bytes(optimised, session.run(fetches, feeds, trace=True), "run against a traced run")
        stepper = session.debug(fetches, feeds)
        while stepper.step() is not None:
            pass
        same_bytes(optimised, stepper.finish(), "run against stepping")
        stepper = session.debug(fetches, feeds)
        count = 0
        while stepper.step() is not None:
            count += 1
        for _ in range(count):
            stepper.back()
        same_bytes(optimised, stepper.finish(), "run against stepping, back and forth")


def check_file(op: OpDef, samples: Sequence[Sample], path: Path) -> None:
    """A graph with the op comes back from a file: same hash, same bytes."""
    graph, fetches, feeds = graph_of(op, samples)
    fb.save_graph(path, graph)
    loaded = fb.load_graph(path)
    assert loaded.hash == graph.hash
    before = fb.Session(graph).run(fetches, feeds)
    named = {loaded.element(tensor.name): value for tensor, value in feeds.items()}
    after = fb.Session(loaded).run([loaded.element(each.name) for each in fetches], named)
    same_bytes(before, after, "saved and loaded")
