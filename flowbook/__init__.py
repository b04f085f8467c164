"""flowbook: computation as a graph you can see, in the notebook.

>>> import flowbook as fb
>>> with fb.Graph().as_default():
...     x = fb.placeholder(("batch", 2), name="x")
...     w = fb.Variable([[1.0], [2.0]], name="w")
...     y = fb.matmul(x, w, name="y")
...     dw, = fb.gradients(y, [w])
...     session = fb.Session()
>>> value, gradient = session.run([y, dw], {x: [[3.0, 4.0]]})
>>> value, gradient
(array([[11.]], dtype=float32), array([[3.],
       [4.]], dtype=float32))
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from flowbook import errors, random
from flowbook.devices.device import devices
from flowbook.gradients import gradients
from flowbook.graph.context import (
    control_dependencies,
    device,
    get_default_graph,
    name_scope,
    reset_default_graph,
)
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.opdef import REGISTRY
from flowbook.graph.types import TensorSpec
from flowbook.ops.nn import dropout
from flowbook.ops.state import Variable, group
from flowbook.runtime.session import Session

__version__ = "0.1.0"

# Every public op is a name of this module; the stub `__init__.pyi` lists them with their types.
globals().update({name: definition.builder for name, definition in REGISTRY.items() if not definition.hidden})

# What is not needed to build and run a graph is imported when it is first used.
_LAZY = {
    "check_gradients": "flowbook.analysis.check_gradients:check_gradients",
    "load_graph": "flowbook.interchange.saved_graph:load_graph",
    "load_repro": "flowbook.interchange.repro:load_repro",
    "native_op": "flowbook.native.operator:native_op",
    "nan_origin": "flowbook.analysis.nan_origin:nan_origin",
    "save_graph": "flowbook.interchange.saved_graph:save_graph",
    "save_repro": "flowbook.interchange.repro:save_repro",
    "nn": "flowbook.nn",
    "train": "flowbook.train",
    "notebook": "flowbook.notebook",
}


def __getattr__(name: str) -> Any:
    target = _LAZY.get(name)
    if target is None:
        raise AttributeError(f"module 'flowbook' has no attribute '{name}'")
    module, _, member = target.partition(":")
    value = import_module(module)
    globals()[name] = value = getattr(value, member) if member else value
    return value


def __dir__() -> list[str]:
    return sorted(
        {name for name in {*globals(), *_LAZY} if name not in ("Any", "REGISTRY", "annotations", "import_module")}
    )


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext flowbook``: the ``%%flow`` and ``%flow`` magics."""
    import_module("flowbook.notebook.magics").load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext flowbook``."""
    import_module("flowbook.notebook.magics").unload(shell)
