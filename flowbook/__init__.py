"""flowbook: computation as a graph you can see, in the notebook."""

from __future__ import annotations

from flowbook import errors
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
from flowbook.graph.opdef import REGISTRY as _registry
from flowbook.devices.device import devices
from flowbook.runtime.session import Session
from flowbook.ops.state import Variable, group
from flowbook import ops as _ops

globals().update({name: d.builder for name, d in _registry.items() if not d.hidden})
__version__ = "0.1.0"
