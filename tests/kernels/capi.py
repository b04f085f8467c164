"""flowbook.h by way of ctypes: how another language calls the library. For tests."""

from __future__ import annotations

import ctypes
import json
import os
from ctypes import byref, c_char_p, c_double, c_int32, c_int64, c_size_t, c_void_p
from typing import Any

import numpy as np

import flowbook.native

NAMES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
OK, BAD_ARGUMENT, BAD_FILE, BAD_GRAPH, RUN_FAILED, NO_MEMORY, UNSUPPORTED, INTERNAL = range(8)
NONE = -1


class Feed(ctypes.Structure):
    """fb_feed."""

    _fields_ = (
        ("tensor", c_int64),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", ctypes.POINTER(c_int64)),
        ("data", c_void_p),
    )


class Failure(Exception):
    """A status other than 0, with its message."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


def load(folder: str) -> ctypes.CDLL:
    """The library in a folder, its functions declared."""
    library = ctypes.CDLL(os.path.join(folder, "libflowbook.so"))
    for name in ("fb_last_error", "fb_cpu"):
        getattr(library, name).restype = c_char_p
    library.fb_version.restype = ctypes.c_uint32
    library.fb_graph_real.argtypes = (c_void_p, c_double, c_void_p)
    library.fb_graph_int.argtypes = (c_void_p, c_int64, c_void_p)
    library.fb_graph_load_bytes.argtypes = (c_char_p, c_size_t, c_void_p)
    library.fb_graph_at.argtypes = (c_void_p, c_int64, c_void_p)
    library.fb_graph_placeholders.argtypes = (c_void_p, c_void_p, c_int64, c_void_p)
    library.fb_graph_variables.argtypes = (c_void_p, c_void_p, c_int64, c_void_p)
    library.fb_tensor_type.argtypes = (c_void_p, c_int64, c_void_p, c_void_p, c_void_p)
    library.fb_tensor_node.argtypes = (c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_void_p)
    library.fb_session_get.argtypes = (c_void_p, c_int64, c_void_p)
    library.fb_session_set.argtypes = (c_void_p, c_int64, c_int32, c_int32, c_void_p, c_void_p)
    for name in ("fb_graph_free", "fb_session_free", "fb_array_free"):
        getattr(library, name).argtypes = (c_void_p,)
        getattr(library, name).restype = None
    return library


def folder() -> str:
    """Where the library is that Python has loaded: one with sanitizers, it may be."""
    return os.path.dirname(flowbook.native.library.__file__)


def text(value: str | None) -> bytes | None:
    """A C string."""
    return None if value is None else value.encode()


def ints(values: Any) -> Any:
    """An array of int64."""
    return (c_int64 * max(len(values), 1))(*values)


class Api:
    """The functions, raising `Failure`."""

    def __init__(self, folder: str) -> None:
        self.library = load(folder)

    def call(self, name: str, *args: Any) -> None:
        """Call a function; raise for any status but 0."""
        status = getattr(self.library, name)(*args)
        if status:
            raise Failure(status, self.library.fb_last_error().decode())

    def make(self, name: str, *args: Any, of: Any = c_void_p) -> Any:
        """Call a function whose last argument is where its result goes."""
        made = of()
        self.call(name, *args, byref(made))
        return made

    def array(self, handle: Any) -> Any:
        """What is in an fb_array, which is freed."""
        dtype, rank, shape, data, size = c_int32(), c_int32(), ctypes.POINTER(c_int64)(), c_void_p(), c_size_t()
        self.call("fb_array_info", handle, byref(dtype), byref(rank), byref(shape), byref(data), byref(size))
        raw = (ctypes.c_uint8 * size.value).from_address(data.value)
        found = np.frombuffer(raw, NAMES[dtype.value]).reshape([shape[i] for i in range(rank.value)]).copy()
        self.library.fb_array_free(handle)
        return found


class Graph:
    """fb_graph."""

    def __init__(self, api: Api, source: Any = None) -> None:
        self.api = api
        if source is None:
            self.handle = api.make("fb_graph_new")
        elif isinstance(source, bytes):
            self.handle = api.make("fb_graph_load_bytes", source, len(source))
        else:
            self.handle = api.make("fb_graph_load", text(str(source)))

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self.api.library.fb_graph_free(self.handle)

    def placeholder(self, dtype: str, shape: Any, name: str | None = None, dims: Any = None) -> int:
        """fb_graph_placeholder."""
        names = None if dims is None else (c_char_p * len(dims))(*map(text, dims))
        args = (text(name), NAMES.index(dtype), len(shape), ints(shape), names)
        return self.api.make("fb_graph_placeholder", self.handle, *args, of=c_int64).value

    def _array(self, value: Any) -> Any:
        array = np.asarray(value, order="C")
        self.kept = array
        return NAMES.index(array.dtype.name), array.ndim, ints(array.shape), c_void_p(array.ctypes.data)

    def constant(self, value: Any, name: str | None = None) -> int:
        """fb_graph_constant."""
        return self.api.make("fb_graph_constant", self.handle, text(name), *self._array(value), of=c_int64).value

    def variable(self, value: Any, name: str | None) -> int:
        """fb_graph_variable."""
        return self.api.make("fb_graph_variable", self.handle, text(name), *self._array(value), 1, of=c_int64).value

    def number(self, value: Any) -> int:
        """fb_graph_bool, fb_graph_int or fb_graph_real."""
        kind = {bool: "bool", int: "int", float: "real"}[type(value)]
        return self.api.make(f"fb_graph_{kind}", self.handle, value, of=c_int64).value

    def add(self, op: str, *inputs: Any, name: str | None = None, **attrs: Any) -> int:
        """fb_graph_add; a Python number becomes a number."""
        given = [each if isinstance(each, Node) else Node(self.number(each)) for each in inputs]
        return Node(self.add_raw(op, given, json.dumps(attrs), name))

    def add_raw(self, op: str, inputs: Any, attrs: str | None, name: str | None = None) -> int:
        """fb_graph_add, as it is."""
        first = c_int64()
        self.api.call(
            "fb_graph_add",
            self.handle,
            text(op),
            text(name),
            ints(inputs),
            len(inputs),
            text(attrs),
            byref(first),
            None,
        )
        return first.value

    def group(self, *nodes: int) -> int:
        """fb_graph_group."""
        return self.api.make("fb_graph_group", self.handle, None, ints(nodes), len(nodes), of=c_int64).value

    def find(self, name: str, cell: str | None = None) -> int:
        """fb_graph_find."""
        return self.api.make("fb_graph_find", self.handle, text(cell), text(name), of=c_int64).value

    def listed(self, what: str) -> list[int]:
        """fb_graph_placeholders or fb_graph_variables."""
        count = c_int64()
        self.api.call(f"fb_graph_{what}", self.handle, None, 0, byref(count))
        tensors = ints([0] * count.value)
        self.api.call(f"fb_graph_{what}", self.handle, tensors, count.value, byref(count))
        return list(tensors)[: count.value]

    def type(self, tensor: int) -> tuple[str, tuple[int, ...] | None]:
        """fb_tensor_type."""
        dtype, rank, shape = c_int32(), c_int32(), ints([0] * 8)
        self.api.call("fb_tensor_type", self.handle, tensor, byref(dtype), byref(rank), shape)
        return NAMES[dtype.value], None if rank.value < 0 else tuple(shape[: rank.value])

    def node(self, tensor: int) -> tuple[str, str, str, int]:
        """fb_tensor_node: name, op, cell, number of outputs."""
        name, op, cell, outputs = c_char_p(), c_char_p(), c_char_p(), c_int32()
        self.api.call("fb_tensor_node", self.handle, tensor, byref(name), byref(op), byref(cell), byref(outputs))
        return name.value.decode(), op.value.decode(), cell.value.decode(), outputs.value


class Node(int):
    """A tensor, told from a number."""


class Session:
    """fb_session."""

    def __init__(self, graph: Graph, threads: int = 1) -> None:
        self.api = graph.api
        self.graph = graph
        self.handle = self.api.make("fb_session_new", graph.handle, threads)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self.api.library.fb_session_free(self.handle)

    def run(self, fetches: Any, feeds: Any = ()) -> list[Any]:
        """fb_session_run. ``feeds``: a dict of tensor (or name) to array."""
        wanted = [self.graph.find(each) if isinstance(each, str) else each for each in fetches]
        arrays, given = [], []
        for tensor, value in dict(feeds).items():
            array = np.asarray(value, order="C")
            arrays.append(array)
            number = self.graph.find(tensor) if isinstance(tensor, str) else tensor
            given.append(Feed(number, NAMES.index(array.dtype.name), array.ndim, ints(array.shape), array.ctypes.data))
        results = (c_void_p * max(len(wanted), 1))()
        feed_array = (Feed * max(len(given), 1))(*given)
        self.api.call("fb_session_run", self.handle, ints(wanted), len(wanted), feed_array, len(given), results)
        return [None if each is None else self.api.array(c_void_p(each)) for each in list(results)[: len(wanted)]]

    def get(self, variable: Any) -> Any:
        """fb_session_get."""
        number = self.graph.find(variable) if isinstance(variable, str) else variable
        return self.api.array(self.api.make("fb_session_get", self.handle, number))

    def set(self, variable: Any, value: Any) -> None:
        """fb_session_set."""
        number = self.graph.find(variable) if isinstance(variable, str) else variable
        self.api.call("fb_session_set", self.handle, number, *self.graph._array(value))
