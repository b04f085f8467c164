"""The operators, one file per family. Importing this package registers them and gives `Tensor` its operators."""

from __future__ import annotations

import numpy as np

from flowbook.graph.opdef import REGISTRY, install_operators
from flowbook.ops import (
    attention,
    batch_norm,
    broadcasting,
    control,
    conv,
    elementwise,
    gather,
    host,
    indexing,
    joining,
    layout,
    linalg,
    losses,
    nn,
    pool,
    random,
    recurrent,
    reduction,
    state,
)


def _build(name):
    return REGISTRY[name].builder


_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "matmul": "matmul",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}
_PLAIN = {
    "__pos__": "identity",
    "__neg__": "negative",
    "__abs__": "abs",
    "__invert__": "logical_not",
    "__eq__": "equal",
    "__ne__": "not_equal",
    "__lt__": "less",
    "__le__": "less_equal",
    "__gt__": "greater",
    "__ge__": "greater_equal",
}


def _operators():
    table = {method: _build(name) for method, name in _PLAIN.items()}
    for stem, name in _BINARY.items():
        if name in REGISTRY:
            table[f"__{stem}__"] = table[f"__r{stem}__"] = _build(name)
    table["__getitem__"] = indexing.subscript
    table["T"] = property(layout.transpose)
    return table


def _numpy_tables():
    """NumPy's ufuncs and functions that build nodes: those of the same name, and those an op declares."""
    ufuncs, functions = {}, {}
    for name, definition in REGISTRY.items():
        same = [] if definition.hidden else [getattr(np, name, None)]
        for function in (*same, *definition.numpy):
            if isinstance(function, np.ufunc):
                ufuncs[function] = definition.builder
            elif callable(function) and not isinstance(function, type):
                functions[function] = definition.builder
    functions[np.take] = gather.numpy_take
    return ufuncs, functions


install_operators(_operators(), *_numpy_tables())
