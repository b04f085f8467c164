"""The container: what goes in comes out, bit for bit; all else that is read is a FileError, nothing worse."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import random
import stat
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowbook.errors import FileError
from flowbook.graph import container
from flowbook.graph.container import DTYPES, MAX_DEPTH, dumps, loads, read, write

PREFIX = struct.Struct("<8sIQ32s")


def seal(header: bytes | str, body: bytes = b"", *, pad: bool = True) -> bytes:
    """A file with this header and body, with a right prefix, written without the module under test."""
    header = header.encode() if isinstance(header, str) else header
    if pad and body:
        header_and_body = header + bytes(-(52 + len(header)) % 64) + body
    else:
        header_and_body = header + body
    return PREFIX.pack(b"FLOWBOOK", 1, len(header), hashlib.sha256(header_and_body).digest()) + header_and_body


def reseal(data: bytes) -> bytes:
    """The same bytes with the checksum recomputed: what an attacker would do."""
    return data[:20] + hashlib.sha256(data[52:]).digest() + data[52:] if len(data) >= 52 else data


def with_arrays(entries: object, body: bytes = b"") -> bytes:
    return seal(json.dumps({"kind": "graph", "document": {}, "arrays": entries}), body)


def with_document(text: str) -> bytes:
    return seal('{"kind":"graph","document":' + text + ',"arrays":{}}')


def entry(dtype="uint8", shape=(), offset=0, nbytes=1) -> dict:
    return {"dtype": dtype, "shape": list(shape), "offset": offset, "nbytes": nbytes}


def same(a: object, b: object) -> bool:
    """Equal documents, with types and the signs of zeros, and NaN equal to NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return repr(a) == repr(b)
    return a == b


def sample() -> bytes:
    document = {
        "nodes": [{"op": "add", "attrs": {"axis": [0, -1], "eps": 1e-7, "limit": -math.inf}}],
        "ünï": None,
    }
    arrays = {
        "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
        "mask": np.array([True, False, True]),
        "none": np.empty((0, 4), np.int16),
        "step": np.array(7, np.uint64),
    }
    return dumps("graph", document, arrays)


# --- round trips ----------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["$float", "$", "$$x", "a$"])
documents = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=4,
)
some_arrays = st.dictionaries(
    texts,
    st.sampled_from(DTYPES).flatmap(
        lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    ),
    max_size=4,
)


@given(documents, some_arrays)
def test_round_trip(document, arrays):
    data = dumps("trace", document, arrays)
    document_read, arrays_read = loads(data, "trace")
    assert same(document_read, document)
    assert list(arrays_read) == list(arrays)
    for name, array in arrays.items():
        got = arrays_read[name]
        assert type(got) is np.ndarray
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert got.dtype.isnative and got.flags.c_contiguous and got.flags.writeable and got.flags.owndata
    assert dumps("trace", document_read, arrays_read) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(noise):
    for data in (noise, b"FLOWBOOK" + noise, seal(noise), seal(noise[:20], noise[20:], pad=False)):
        with pytest.raises(FileError):
            loads(data, "graph")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12).reshape(3, 4).T,
        np.arange(12)[::-3],
        np.broadcast_to(np.float32(3), (2, 2)),
        np.asfortranarray(np.ones((3, 2))),
        np.arange(5, dtype=">i4"),
        np.array(1.5, dtype=">f8"),
        np.arange(6, dtype=">f2").reshape(2, 3).T,
        np.array([1.0, -0.0, np.nan, np.inf], np.float16),
        np.ones((1,) * 64, np.int8),
        np.empty((0, 2**40), np.float64),
    ],
    ids=str,
)
def test_layouts(array):
    _, arrays = loads(dumps("graph", {}, {"a": array}), "graph")
    got = arrays["a"]
    assert got.dtype == array.dtype.newbyteorder("=") and got.dtype.isnative
    assert got.shape == array.shape and got.flags.c_contiguous and got.flags.writeable
    assert got.tobytes() == array.astype(got.dtype).tobytes()


def test_every_bit_of_a_nan_in_an_array_is_kept():
    bits = np.array([0x7FF8000000000001, 0xFFF0000000000001, 0x7FF4000000000000], np.uint64)
    _, arrays = loads(dumps("graph", {}, {"a": bits.view(np.float64)}), "graph")
    assert arrays["a"].view(np.uint64).tolist() == bits.tolist()


def test_bool_memory_with_other_bytes_is_written_as_zero_and_one():
    odd = np.array([0, 1, 2, 255], np.uint8).view(np.bool_)
    data = dumps("graph", {}, {"m": odd, "s": odd[2:3].reshape(())})
    _, arrays = loads(data, "graph")
    assert arrays["m"].view(np.uint8).tolist() == [0, 1, 1, 1]
    assert arrays["s"].shape == () and bool(arrays["s"])


def test_arrays_read_are_the_readers_own():
    data = sample()
    first, second = loads(data, "graph")[1]["weights"], loads(data, "graph")[1]["weights"]
    first[:] = -1
    assert second.sum() == 15 and loads(data, "graph")[1]["weights"].sum() == 15


def test_documents_that_look_like_the_encoding():
    document = {
        "$float": "nan",
        "x": {"$float": math.nan, "$$float": {"$": 1}},
        "y": {"$float": "inf"},
        "z": (1, 2),
    }
    got, _ = loads(dumps("graph", document, {"$float": np.ones(1)}), "graph")
    assert same(got, {**document, "z": [1, 2]})


def test_names_and_bytes_of_the_file():
    """The layout is a promise to other programs, so it is checked here by hand."""
    arrays = {"βήτα": np.array([1, -2], ">i2"), "empty": np.zeros(0, np.float32), "": np.array(True)}
    data = dumps("checkpoint", {"π": 3.5, "far": math.inf}, arrays)
    magic, version, length, digest = PREFIX.unpack_from(data)
    assert (magic, version, digest) == (b"FLOWBOOK", 1, hashlib.sha256(data[52:]).digest())
    assert json.loads(data[52 : 52 + length].decode("utf-8")) == {
        "kind": "checkpoint",
        "document": {"π": 3.5, "far": {"$float": "inf"}},
        "arrays": {
            "βήτα": entry("int16", (2,), 0, 4),
            "empty": entry("float32", (0,), 64, 0),
            "": entry("bool", (), 64, 1),
        },
    }
    start = (52 + length + 63) // 64 * 64
    assert data[52 + length : start].strip(b"\0") == b""
    assert data[start:] == b"\x01\x00\xfe\xff" + bytes(60) + b"\x01"


def test_another_writer_may_order_and_space_its_header_differently():
    entries = {
        "b": entry("uint8", (1,), 64, 1),
        "a": entry("uint8", (2,), 0, 2),
        "e": entry("bool", (0,), 64, 0),
    }
    text = json.dumps({"arrays": entries, "document": {"\u00e9": '\\" [[{\u20ac'}, "kind": "graph"}, indent=3)
    document, arrays = loads(seal(text, b"\x01\x02" + bytes(62) + b"\x03"), "graph")
    assert document == {"\u00e9": '\\" [[{\u20ac'}
    assert {name: array.tolist() for name, array in arrays.items()} == {"b": [3], "a": [1, 2], "e": []}


@pytest.mark.parametrize(
    ("document", "arrays", "message"),
    [
        (
            {"nodes": [{"f": print}]},
            {},
            r"document\.nodes\[0\]\.f: a value of type builtin_function_or_method",
        ),
        ({"a": np.float32(1)}, {}, r"document\.a: a value of type float32"),
        ({"a": np.ones(2)}, {}, "document.a: .*ndarray"),
        ({"a": {1, 2}}, {}, "document.a: .*set"),
        ({"a": b"bytes"}, {}, "document.a: .*bytes"),
        ({"a": {1: 2}}, {}, "document.a: the key"),
        ({"a": 10**640}, {}, "more than 640 digits"),
        ({"a": "\ud800"}, {}, "surrogate"),
        ({"\ude00": 1}, {}, "surrogate"),
        ([1, 2], {}, "document of a file is a dict"),
        ({}, {1: np.ones(1)}, "the key"),
        ({}, {"a": [1.0]}, 'array "a": a list is not'),
        ({}, {"a": np.array(["x"])}, "dtype <U1 cannot be stored"),
        ({}, {"a": np.array([None])}, "dtype object cannot"),
        ({}, {"a": np.array([1j])}, "dtype complex128 cannot"),
        ({}, {"a": np.array(0, "M8[s]")}, "cannot be stored"),
        ({}, {"a": np.zeros(2, [("x", "i4")])}, "cannot be stored"),
    ],
)
def test_what_cannot_be_written(document, arrays, message):
    with pytest.raises(FileError, match=message):
        dumps("graph", document, arrays)


def nested(levels: int, leaf: object) -> dict:
    value = leaf
    for level in range(levels - 1):
        value = [value] if level % 2 else {"k": value}
    return {"top": value}


def test_nesting_is_bounded_alike_when_writing_and_reading():
    deepest = MAX_DEPTH - 1  # the header is around the document
    for leaf, levels in ((1.5, deepest), (math.inf, deepest - 1)):
        assert same(loads(dumps("graph", nested(levels, leaf), {}), "graph")[0], nested(levels, leaf))
        with pytest.raises(FileError, match="nested deeper"):
            dumps("graph", nested(levels + 1, leaf), {})
    with pytest.raises(FileError, match="nested deeper"):
        loads(with_document("[" * MAX_DEPTH + "]" * MAX_DEPTH), "graph")
    circle: dict = {}
    circle["again"] = circle
    with pytest.raises(FileError, match="contains itself"):
        dumps("graph", circle, {})


def test_brackets_in_text_are_not_nesting():
    document = {"a": "\\", "b": "[" * 1000, "c": '\\"', "d": "{" * 1000}
    assert loads(dumps("graph", document, {}), "graph")[0] == document


# --- what is said about other files ---------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"F", b"FLOWBOO", b"PK\x03\x04" + bytes(100), b"flowbook" + bytes(100)])
def test_foreign(data):
    with pytest.raises(FileError, match="not a flowbook file"):
        loads(data, "graph")


@pytest.mark.parametrize(
    ("found", "loader"),
    [
        ("checkpoint", "Session.restore"),
        ("graph", "load_graph"),
        ("trace", "Trace.load"),
        ("repro", "load_repro"),
    ],
)
def test_wrong_kind_names_both_kinds_and_the_right_function(found, loader):
    expected = "trace" if found == "graph" else "graph"
    with pytest.raises(FileError) as caught:
        loads(dumps(found, {}, {}), expected)
    assert f'kind "{found}"' in str(caught.value) and f'"{expected}"' in str(caught.value)
    assert f"load it with {loader}" in str(caught.value)


def test_unknown_kind_is_quoted_and_shortened():
    with pytest.raises(FileError) as caught:
        loads(dumps("\x1b[31m" + "x" * 10_000, {}, {}), "graph")
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 250


def test_newer_version():
    data = bytearray(sample())
    data[8:12] = struct.pack("<I", 2)
    with pytest.raises(FileError, match="newer flowbook") as caught:
        loads(bytes(data), "graph")
    assert "upgrade" in (caught.value.hint or "")
    data[8:12] = bytes(4)
    with pytest.raises(FileError, match="damaged"):
        loads(bytes(data), "graph")


def test_every_truncation_is_noticed():
    data = sample()
    for length in range(len(data)):
        for cut in (data[:length], reseal(data[:length])):
            with pytest.raises(FileError):
                loads(cut, "graph")


# --- hostile files --------------------------------------------------------------------------------

HUGE = 2**62


@pytest.mark.parametrize(
    ("entries", "body"),
    [
        pytest.param({"a": entry(shape=(2**63,), nbytes=2**63)}, b"x", id="huge shape"),
        pytest.param({"a": entry("float64", (HUGE,), 0, 8 * HUGE)}, b"x" * 8, id="huge shape and size"),
        pytest.param({"a": entry("float64", (2**40,), 0, 2**43)}, b"x" * 8, id="more than there is"),
        pytest.param({"a": entry(shape=(0, 2**62, 2**62), nbytes=0)}, b"", id="overflow hidden by a zero"),
        pytest.param({"a": entry("float64", (0, 2**62), nbytes=0)}, b"", id="overflow by itemsize"),
        pytest.param({"a": entry(shape=(10**600,), nbytes=10**600)}, b"x", id="size of 600 digits"),
        pytest.param({"a": entry(shape=(1,) * 65)}, b"x", id="65 dimensions"),
        pytest.param({"a": entry(shape=(1,) * 10_000)}, b"x", id="10000 dimensions"),
        pytest.param({"a": entry(shape=(-1, -1))}, b"x", id="negative dimensions"),
        pytest.param({"a": entry(shape=(True,))}, b"x", id="bool dimension"),
        pytest.param({"a": entry(shape=(1.0,))}, b"x", id="float dimension"),
        pytest.param({"a": entry(shape=([1],))}, b"x", id="list dimension"),
        pytest.param({"a": {**entry(), "shape": 1}}, b"x", id="shape no list"),
        pytest.param({"a": {**entry(), "shape": {"$float": "inf"}}}, b"x", id="shape infinite"),
        pytest.param({"a": entry(offset=-64)}, b"x", id="negative offset"),
        pytest.param({"a": entry(offset=False)}, b"x", id="bool offset"),
        pytest.param({"a": entry(offset=0.0)}, b"x", id="float offset"),
        pytest.param({"a": entry(offset="0")}, b"x", id="text offset"),
        pytest.param({"a": entry(offset=64)}, b"x", id="offset beyond"),
        pytest.param({"a": entry(offset=HUGE)}, b"x", id="offset far beyond"),
        pytest.param({"a": entry(offset=sys.maxsize)}, b"x", id="offset overflows when added"),
        pytest.param({"a": entry(offset=1)}, b"\0x", id="unaligned"),
        pytest.param({"a": entry(nbytes=0)}, b"x", id="size too small"),
        pytest.param({"a": entry(nbytes=2)}, b"xx", id="size too large"),
        pytest.param({"a": entry(nbytes=True)}, b"x", id="bool size"),
        pytest.param({"a": entry(), "b": entry()}, b"x", id="the same place twice"),
        pytest.param({"a": entry(shape=(65,), nbytes=65), "b": entry(offset=64)}, b"x" * 65, id="overlap"),
        pytest.param({"a": entry(), "b": entry(offset=128)}, b"x" + bytes(127) + b"x", id="gap"),
        pytest.param({"a": entry(), "b": entry(offset=64)}, b"x" * 65, id="padding not zero"),
        pytest.param({"a": entry()}, b"xx", id="trailing byte"),
        pytest.param({"a": entry()}, b"x" + bytes(63), id="trailing zeros"),
        pytest.param({}, b"x", id="no array, but a body"),
        pytest.param({"a": entry(shape=(0,), nbytes=0, offset=64)}, bytes(64), id="empty array misplaced"),
        pytest.param({"a": entry("bool")}, b"\x02", id="bool of 2"),
        pytest.param({"a": entry("object", nbytes=8)}, bytes(8), id="object dtype"),
        pytest.param({"a": entry("O", nbytes=8)}, bytes(8), id="O dtype"),
        pytest.param({"a": entry("float128", nbytes=16)}, bytes(16), id="float128"),
        pytest.param({"a": entry(">f4", nbytes=4)}, bytes(4), id="byte order in dtype"),
        pytest.param({"a": entry("u1,u1", nbytes=2)}, bytes(2), id="structured dtype"),
        pytest.param({"a": {**entry(), "dtype": ["uint8"]}}, b"x", id="list dtype"),
        pytest.param({"a": {**entry(), "dtype": None}}, b"x", id="no dtype"),
        pytest.param({"a": {**entry(), "pickle": "x"}}, b"x", id="extra member"),
        pytest.param({"a": {"dtype": "uint8"}}, b"x", id="missing members"),
        pytest.param({"a": None}, b"x", id="entry null"),
        pytest.param({"a": []}, b"x", id="entry list"),
        pytest.param([], b"", id="arrays a list"),
        pytest.param(None, b"", id="arrays null"),
    ],
)
def test_hostile_arrays(entries, body):
    with pytest.raises(FileError):
        loads(with_arrays(entries, body), "graph")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param("[" * 1_000_000 + "]" * 1_000_000, id="a million lists"),
        pytest.param("[" * 1_000_000, id="unclosed lists"),
        pytest.param('{"a":' * 300_000 + "1" + "}" * 300_000, id="nested objects"),
        pytest.param('{"a":' * 200 + "[" * 57 + "]" * 57 + "}" * 200, id="one too deep"),
        pytest.param('{"a":1,"a":2}', id="duplicate key"),
        pytest.param('{"a":1,"\\u0061":2}', id="duplicate key in disguise"),
        pytest.param('{"x":{"b":[{"a":1,"a":1}]}}', id="duplicate key inside"),
        pytest.param('{"a":NaN}', id="NaN"),
        pytest.param('{"a":Infinity}', id="Infinity"),
        pytest.param('{"a":-Infinity}', id="-Infinity"),
        pytest.param('{"a":1e400}', id="float too large"),
        pytest.param('{"a":' + "9" * 641 + "}", id="641 digits"),
        pytest.param('{"a":' + "9" * 3_000_000 + "}", id="3 million digits"),
        pytest.param('{"a":-' + "9" * 641 + "}", id="641 negative digits"),
        pytest.param('{"a":0.' + "1" * 3_000_000 + "}", id="long fraction"),
        pytest.param('{"$float":"nan"}', id="document not an object"),
        pytest.param('{"a":{"$float":"1.5"}}', id="finite $float"),
        pytest.param('{"a":{"$float":NaN}}', id="$float of a NaN"),
        pytest.param('{"a":{"$float":["nan"]}}', id="$float of a list"),
        pytest.param('{"a":{"$float":"nan","b":1}}', id="$float with company"),
        pytest.param('{"a":{"$call":"os.system"}}', id="reserved key"),
        pytest.param('{"a":"\\ud800"}', id="lone surrogate"),
        pytest.param('{"\\uDFFF":1}', id="lone surrogate as key"),
        pytest.param('{"a":"\n"}', id="bare control character"),
        pytest.param("{'a':1}", id="single quotes"),
        pytest.param('{"a":1,}', id="trailing comma"),
        pytest.param("[]", id="list"),
        pytest.param("1", id="number"),
        pytest.param("null", id="null"),
        pytest.param("{}}", id="unbalanced"),
        pytest.param("", id="nothing"),
    ],
)
def test_hostile_documents(document):
    with pytest.raises(FileError):
        loads(with_document(document), "graph")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]",
        b'{"$float":"nan"}',
        b'{"kind":"graph","document":{}}',
        b'{"kind":"graph","document":{},"arrays":{},"extra":1}',
        b'{"kind":"graph","document":{},"arrays":{},"kind":"graph"}',
        b'{"kind":null,"document":{},"arrays":{}}',
        b'{"kind":["graph"],"document":{},"arrays":{}}',
        b'{"kind":"graph","document":{},"arrays":{}}{}',
        b'{"kind":"graph","document":{},"arrays":{}}\0',
        b'{"kind":"graph","document":{"a":"\xff"},"arrays":{}}',
        b'{"kind":"graph","document":{"a":"\xed\xa0\x80"},"arrays":{}}',
        b'\xef\xbb\xbf{"kind":"graph","document":{},"arrays":{}}',
        '{"kind":"graph","document":{},"arrays":{}}'.encode("utf-16"),
    ],
)
def test_hostile_headers(header):
    with pytest.raises(FileError):
        loads(seal(header), "graph")


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_hostile_header_lengths(length):
    data = bytearray(sample())
    data[12:20] = struct.pack("<Q", length)
    with pytest.raises(FileError):
        loads(bytes(data), "graph")


def test_only_one_header_length_fits():
    """The digest does not cover it, so every other one must be refused for another reason."""
    arrays = {"a": np.full(200, 0x20, np.uint8), "e": np.zeros((0, 3), np.int8)}
    for filler in range(64):  # with every amount of padding behind the header; 0x20 is white space to JSON
        data = bytearray(dumps("graph", {"filler": "x" * filler}, arrays))
        right = PREFIX.unpack_from(data)[2]
        for length in range(len(data)):
            data[12:20] = struct.pack("<Q", length)
            if length == right:
                loads(bytes(data), "graph")
            elif abs(length - right) < 70 or length % 16 == 0:
                with pytest.raises(FileError):
                    loads(bytes(data), "graph")


def test_memory_stays_in_proportion():
    """Neither a promise in the header nor an odd text makes the reader take far more than its size."""

    def peak(data: bytes) -> int:
        tracemalloc.start()
        try:
            with contextlib.suppress(FileError):
                loads(data, "graph")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    big = dumps("graph", {}, {"a": np.zeros(4_000_000, np.uint8)})
    assert peak(big) < 1.2 * len(big)
    assert peak(with_arrays({"a": entry("float64", (2**40,), 0, 2**43)}, bytes(64))) < 200_000
    for text in ("[" * 400_000, "[[],[]," * 60_000, '"\\\\' * 130_000, "{}," * 130_000, "9" * 400_000):
        assert peak(with_document("[" + text)) < 60 * 400_000


# --- mutations ------------------------------------------------------------------------------------


def mutate(rng: random.Random, data: bytes, tokens: list[bytes]) -> bytes:
    """One to three random changes: flips, sets, truncations, insertions, deletions, splices, JSON tokens."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        # Half of the changes go where the structure is: prefix, header and the padding behind it.
        at = rng.randrange(max(1, rng.choice((len(changed), min(len(changed), 500)))))
        width = rng.choice((1, 2, 8, 64))
        match rng.randrange(8):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << rng.randrange(8)
            case 1 if changed:
                changed[at % len(changed)] = rng.choice((0, 1, 0x20, 0x22, 0x5C, 0x7F, 0x80, 0xFF))
            case 2:
                del changed[at:]
            case 3:
                changed[at:at] = rng.randbytes(width)
            case 4:
                del changed[at : at + width]
            case 5:
                source = rng.randrange(max(1, len(changed)))
                changed[at : at + width * rng.randrange(2)] = changed[source : source + width]
            case 6:
                changed[at : at + rng.randrange(4)] = rng.choice(tokens)
            case _:  # one digit becomes another number, or something else
                digits = [i for i, byte in enumerate(changed[:500]) if 0x30 <= byte <= 0x39]
                if digits:
                    place = rng.choice(digits)
                    changed[place : place + 1] = rng.choice(tokens)
    return bytes(changed)


TOKENS = [
    *(
        b"-1",
        b"0",
        b"3",
        b"64",
        b"1e9",
        b"1e999",
        b"9223372036854775807",
        b"18446744073709551616",
        b"9" * 700,
    ),
    *(b"NaN", b"true", b"null", b"[]", b"{}", b"[[", b"}", b",", b'"', b"\\", b"\\u0000", b"\\ud800", b" "),
    *(b"$", b"$float", b'{"$float":"inf"}', b"\0", b"\xff", b"\xc3", b"bool", b"object", b"float64"),
]


def test_mutations_under_the_stale_checksum_are_all_noticed():
    data, rng = sample(), random.Random(0)
    for _ in range(10_000):
        changed = mutate(rng, data, TOKENS)
        if changed != data:
            with pytest.raises(FileError):
                loads(changed, "graph")


@pytest.mark.parametrize("where", ["anywhere", "header"])
def test_mutations_under_a_right_checksum_are_refused_or_read(where):
    data, rng = sample(), random.Random(1)
    header_end = 52 + PREFIX.unpack_from(data)[2]
    header, body = data[52:header_end], data[header_end + -header_end % 64 :]
    refused = 0
    for _ in range(10_000):
        if where == "anywhere":
            changed = reseal(mutate(rng, data, TOKENS))
        else:  # its length and the padding follow, so that the JSON and its meaning are what is tested
            changed = seal(mutate(rng, header, TOKENS), body)
        try:
            document, arrays = loads(changed, "graph")
        except FileError:
            refused += 1
        else:  # whatever is read is sound: it can be written, and reads as the same again
            assert all(array.dtype.name in DTYPES and array.flags.owndata for array in arrays.values())
            again = dumps("graph", document, arrays)
            document_again, arrays_again = loads(again, "graph")
            assert same(document_again, document) and dumps("graph", document_again, arrays_again) == again
    assert 5_000 < refused < 9_900  # both outcomes occur, so the test does test


def test_planted_bug_without_the_checksum_a_flipped_byte_goes_unnoticed(monkeypatch):
    data = bytearray(sample())
    start = data.index(np.float32(4).tobytes() + np.float32(5).tobytes())
    data[start + 2] ^= 0x40
    with pytest.raises(FileError, match="damaged: its checksum"):
        loads(bytes(data), "graph")
    monkeypatch.setattr(container, "_check_digest", lambda digest, body: None)
    _, arrays = loads(bytes(data), "graph")
    assert arrays["weights"][1, 1] != 4


# --- files ----------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that is there before, alone in its folder."""
    path = tmp_path / "old.flow"
    write(path, "checkpoint", {"version": "old"}, {"w": np.arange(3)})
    return path


def assert_untouched(path: Path) -> None:
    assert [child.name for child in path.parent.iterdir()] == [path.name], "a temporary file was left behind"
    document, arrays = read(path, "checkpoint")
    assert document == {"version": "old"} and arrays["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind_of_path", [str, Path])
def test_files_round_trip_and_are_replaced(tmp_path, kind_of_path):
    path = kind_of_path(tmp_path / "mödel 1.flow")
    for value in (1.0, 2.0):
        write(path, "graph", {"value": value}, {"w": np.full(3, value)})
        document, arrays = read(path, "graph")
        assert document == {"value": value} and arrays["w"].tolist() == [value] * 3
    assert len(list(tmp_path.iterdir())) == 1
    assert Path(path).read_bytes() == dumps("graph", {"value": 2.0}, {"w": np.full(3, 2.0)})


@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failing_write_leaves_the_old_file(old, monkeypatch, function, error):
    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        expected = FileError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected, match="No space left" if expected is FileError else None):
            write(old, "checkpoint", {"version": "new"}, {})
    assert_untouched(old)


def test_a_write_that_fails_half_way_leaves_the_old_file(old, monkeypatch):
    class Full(io.FileIO):
        def writelines(self, parts):
            self.write(next(iter(parts)))
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(container, "open", lambda path, mode: Full(path, mode), raising=False)
        with pytest.raises(FileError, match=r"cannot write .*old\.flow: No space left on device"):
            write(old, "checkpoint", {"version": "new"}, {})
    assert_untouched(old)


def test_what_cannot_be_stored_leaves_the_old_file(old):
    with pytest.raises(FileError):
        write(old, "checkpoint", {"version": object()}, {})
    assert_untouched(old)


@pytest.mark.parametrize("path", ["missing.flow", "no/such/folder.flow", "nul\0.flow", "x" * 5000])
def test_paths_that_lead_nowhere(tmp_path, path):
    with pytest.raises(FileError, match="cannot read"):
        read(tmp_path / path, "graph")
    if path != "missing.flow":
        with pytest.raises(FileError, match="cannot write"):
            write(tmp_path / path, "graph", {}, {})
    assert not list(tmp_path.iterdir())


def test_a_missing_file_says_the_systems_reason(tmp_path):
    with pytest.raises(FileError, match="No such file or directory") as caught:
        read(tmp_path / "missing.flow", "graph")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_folders(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=r"cannot read .*folder: "):
        read(tmp_path / "folder", "graph")
    with pytest.raises(FileError, match=r"cannot write .*folder: "):
        write(tmp_path / "folder", "graph", {}, {})
    assert [child.name for child in tmp_path.iterdir()] == ["folder"]


def test_what_is_wrong_with_the_content_is_said_with_the_path(old):
    with pytest.raises(FileError, match=r"old\.flow: this is a file of kind") as caught:
        read(old, "graph")
    assert caught.value.hint and "Session.restore" in caught.value.hint
    old.write_bytes(b"")
    with pytest.raises(FileError, match=r"old\.flow: not a flowbook file"):
        read(old, "graph")


@posix
@pytest.mark.parametrize("function", ["read", "write"])
def test_permission(old, monkeypatch, function):
    old.chmod(0o000)
    if os.access(old, os.R_OK):  # root may do everything, so the system's answer is played
        denied = PermissionError(13, "Permission denied")

        def refuse(*args, **kwargs):
            raise denied

        monkeypatch.setattr(container, "open", refuse, raising=False)
    with pytest.raises(FileError, match="Permission denied"):
        if function == "read":
            read(old, "checkpoint")
        else:
            write(old, "checkpoint", {}, {})
    monkeypatch.undo()
    old.chmod(0o600)
    assert_untouched(old)


@posix
def test_pipes_and_devices_neither_block_nor_are_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(FileError, match="Not a regular file"):
            read(path, "graph")
        with pytest.raises(FileError, match="Not a regular file"):
            write(path, "graph", {}, {})
    assert stat.S_ISFIFO(pipe.stat().st_mode) and len(list(tmp_path.iterdir())) == 1


@posix
def test_permissions_and_links_are_kept(old, tmp_path):
    old.chmod(0o640)
    link = tmp_path / "latest.flow"
    link.symlink_to(old.name)
    write(link, "checkpoint", {"version": "new"}, {})
    assert link.is_symlink() and read(old, "checkpoint")[0] == {"version": "new"}
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    write(tmp_path / "fresh.flow", "checkpoint", {}, {})
    (tmp_path / "plain").touch()  # a new file has the permissions any new file has
    assert (tmp_path / "fresh.flow").stat().st_mode == (tmp_path / "plain").stat().st_mode
