"""What a node computes, as one line in the user's names: ``h = tanh(x @ w + b)`` node by node."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from flowbook.graph.node import Node, Tensor
from flowbook.graph.types import format_shape

LONGEST = 100  # characters
INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "floor_divide": "//",
    "remainder": "%",
    "matmul": "@",
    "power": "**",
    "equal": "==",
    "not_equal": "!=",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "logical_and": "&",
    "logical_or": "|",
}
SYMBOLS = {"cdot": "·", "le": "≤", "ge": "≥", "ne": "≠", "pi": "π", "infty": "∞", "sum": "Σ", "times": "×"} | {
    "mu": "μ", "sigma": "σ", "epsilon": "ε", "alpha": "α", "beta": "β", "operatorname": "", "mathrm": "", "text": ""
}  # fmt: skip


def formula(node: Node) -> str:
    """The node's own operation with the names of its inputs; attributes at their defaults are left out.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((2, 3), name="x")
    ...     y = fb.multiply(x, 2.0, name="y")
    ...     z = fb.sum(y, axis=1, name="z")
    >>> [formula(each.node) for each in (x, y, z)]
    ['x = placeholder(shape=(2, 3))', 'y = x * 2.0', 'z = sum(y, axis=1)']
    """
    inputs = [_operand(each) for each in node.current.inputs]
    op = node.op
    attrs = _attributes(node)
    if op in INFIX and len(inputs) == 2 and not attrs:
        text = f"{inputs[0]} {INFIX[op]} {inputs[1]}"
    elif op == "negative" and len(inputs) == 1:
        text = f"-{inputs[0]}"
    else:
        text = f"{op}({', '.join([*inputs, *attrs])})"
    names = ", ".join(_short(each.name) for each in node.outputs) or _short(node.name)
    whole = f"{names} = {text}"
    return whole if len(whole) <= LONGEST else whole[: LONGEST - 1] + "…"


def purpose(node: Node) -> str:
    """The first sentence of the op's documentation, its mathematics as plain text.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     purpose(fb.tanh(fb.placeholder(())).node)
    'Hyperbolic tangent, y = tanh x, element by element.'
    """
    first = node.opdef.doc.strip().partition("\n\n")[0].replace("\n", " ")
    return re.sub(r":\w+:`([^`]*)`|``([^`]*)``", lambda found: _plain(found[1] or found[2]), first)


def _plain(text: str) -> str:
    """LaTeX of a few symbols as text: braces and backslashes say nothing to a reader."""
    part = r"\s*(\{(?:[^{}]|\{[^{}]*\})*\}|\w)"
    text = re.sub(r"\\(?:left|right|big|,|;|!|:)", "", text)
    text = re.sub(rf"\\t?frac{part}{part}", r"(\1)/(\2)", text)
    text = re.sub(rf"\\sqrt{part}", r"sqrt(\1)", text)
    text = re.sub(r"\\([a-zA-Z]+|.)", lambda found: SYMBOLS.get(found[1], found[1]), text)
    text = re.sub(r"\^\{([^{}]*[ _+\-][^{}]+)\}", r"^(\1)", text)
    text = re.sub(r"[{}]", "", text)
    return re.sub(r"\((\d+|\w)\)/", r"\1/", re.sub(r"/\((\d+|\w)\)", r"/\1", text)).replace("  ", " ")


def _attributes(node: Node) -> list[str]:
    op = node.opdef
    found = []
    for name, value in node.current.attrs.items():
        if name in op.defaults and _same(value, op.defaults[name]):
            continue
        text = _value(value)
        if text:
            found.append(f"{name}={text}")
    return found


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and not isinstance(value, np.ndarray) and bool(value == default)


def _value(value: Any) -> str:
    """An attribute in a few characters; nothing for what has no short text, such as the body of a branch."""
    if isinstance(value, np.ndarray):
        return repr(value.item()) if value.ndim == 0 else f"array of shape {format_shape(value.shape)}"
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, int, float, complex, np.generic)):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, tuple):
        parts = [_value(each) for each in value]
        return "(" + ", ".join(parts) + ("," if len(parts) == 1 else "") + ")" if all(parts) or not parts else ""
    return ""


def _operand(value: Any) -> str:
    return _short(value.name) if isinstance(value, Tensor) else _value(value) or type(value).__name__


def _short(name: str) -> str:
    return name.rpartition("/")[2]
