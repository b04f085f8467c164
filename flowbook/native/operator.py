"""Operators that a user writes in C++: `fb.native_op`.

The C++ code computes; shape rule and gradient are Python, as in the declarations of flowbook's own operators. A kernel
belongs to its declaration, not to its name: a node goes on with the code it was built with when a cell defines the
operator anew. Files hold the name only, and never code.
"""

from __future__ import annotations

import keyword
import linecache
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError, FlowError, RunError
from flowbook.graph import context
from flowbook.graph.node import call_site
from flowbook.graph.opdef import OWN, REGISTRY, OpDef, locate
from flowbook.graph.types import TensorSpec
from flowbook.native import library, nanoseconds, reason
from flowbook.native.building import CompileError, NoCompiler, Text, build, check_flags, fingerprint
from flowbook.native.declaring import declare

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_DEFINED = re.compile(r"\bFLOWBOOK_(?:FLOAT_|STRIDED_)?OP\s*\(\s*(\w+)\s*\)")
_told = False  # whether somebody was told that reference functions take the place of C++ code


def native_op(
    source: str | None = None,
    name: str | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    spec: Callable[..., Any] | None = None,
    gradient: Callable[..., Any] | None = None,
    inputs: Sequence[str] | None = None,
    attributes: Mapping[str, Any] | None = None,
    reference: Callable[..., Any] | None = None,
    cost: Callable[..., float] | None = None,
    flags: Sequence[str] = (),
) -> Any:
    """Make an operator of C++ code: a function that builds nodes, as ``fb.tanh`` is one.

    ``source`` is C++ text with one ``FLOWBOOK_OP(name) { ... }`` or several, of which ``name`` chooses; or ``file`` is
    the path of such text. What may stand in it is said in ``flowbook_op.h``, which is included already, as is
    ``<cmath>``. It is compiled at once, for this machine, and kept for the next time.

    ``spec(*specs, **attributes)``: the shape rule. It gives the ``fb.TensorSpec`` of the output, or a tuple of them for
    several; without it, the output is like the first input. Names of inputs and attributes are those of its parameters
    (attributes keyword-only, with their defaults), or of ``reference``'s, or ``inputs`` and ``attributes`` say them
    (``...`` as a default: none). Attributes are numbers, texts, and tuples of numbers.

    ``gradient(node, *dys)`` builds a gradient, or ``None``, for each input. ``cost(inputs, outputs, attributes)``:
    floating-point operations of a call. ``flags``: more arguments for the compiler; with ``-ffast-math``, loops over
    ``std::exp`` and its like may be several times as fast, where nan and infinity need not be right.

    ``reference``: the same in NumPy, a function of arrays and attributes. It takes the place of the C++ code where
    there is no compiler.

    A cell that is run again defines the operator anew; nodes that are there go on with what they were built with.
    Raises ``CompileError`` with what the compiler says, ``NoCompiler``.

    >>> import flowbook as fb
    >>> swish = fb.native_op(
    ...     '''
    ...     FLOWBOOK_FLOAT_OP(swish) {
    ...         auto x = in<T>(0);
    ...         auto y = out<T>(0);
    ...         parallel(x.size, [&](int64_t i) { y[i] = x[i] / (1 + std::exp(-x[i])); });
    ...     }
    ...     ''',
    ...     gradient=lambda node, dy: dy * (fb.sigmoid(node.inputs[0]) * (1 + node.inputs[0] - node.outputs[0])),
    ...     reference=lambda x: x / (1 + np.exp(-x)),
    ... )
    >>> x = fb.constant([-1.0, 0.0, 2.0])
    >>> fb.Session().run(swish(x)).round(4)
    array([-0.2689,  0.    ,  1.7616], dtype=float32)
    """
    try:
        text = _text(source, file)
        text = text._replace(what=_name(name, text))
        definition = declare(text.what, spec, gradient, inputs, attributes, reference, cost)
        definition.version = fingerprint(text).hexdigest()[:8]
        _provide(definition, text, check_flags(flags), reference)
    except FlowError as error:
        locate(error, "native_op")
        raise
    OWN[definition.name] = definition
    return definition.builder


# ------------------------------------------------------------------------------------------------ the text


def _text(source: Any, file: Any) -> Text:
    """The C++ text, and where its writer sees it."""
    if (source is None) == (file is None):
        raise ArgumentError("native_op takes C++ text, or file=, a path", hint="one of the two")
    if file is not None:
        path = Path(file)
        try:
            return Text(path.read_text(encoding="utf-8"), "", path.resolve().parent, place=f" of {path.name}")
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(f"the file '{file}' cannot be read: {error}") from None
    if not isinstance(source, str):
        raise ArgumentError(f"source is {type(source).__name__}, it has to be C++ text", hint="file= for a path")
    origin = context.current().origin or call_site(context.get_default_graph().building)
    before, found, _ = "".join(linecache.getlines(origin.file)).partition(source)
    if found and source.strip():
        return Text(source, "", offset=before.count("\n"))
    return Text(source, "", place=" of the text")


def _name(name: Any, text: Text) -> str:
    """The operator's name: the one that is asked for, or the only one there is."""
    defined = _DEFINED.findall(_COMMENT.sub(" ", text.text))
    if name is None:
        if len(defined) != 1:
            raise ArgumentError(
                f"the C++ text defines {len(defined)} operators" + (f": {', '.join(defined)}" if defined else ""),
                hint="name= chooses one" if defined else "FLOWBOOK_OP(name) { ... } defines one",
            )
        name = defined[0]
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
        raise ArgumentError(f"name={name!r} is no name of a function")
    if defined and name not in defined:
        raise ArgumentError(f"the C++ text does not define '{name}', only {', '.join(defined)}")
    if name in REGISTRY:
        raise ArgumentError(f"'{name}' is an operator of flowbook's own", hint="choose another name")
    return name


# ------------------------------------------------------------------------------------------------ what runs


def _provide(definition: OpDef, text: Text, flags: Sequence[str], reference: Callable[..., Any] | None) -> None:
    """Give a declaration what runs: its C++ code, or the reference where that cannot be."""
    global _told
    try:
        if library is None:
            raise NoCompiler(f"C++ operators need flowbook's native library, which is not here: {reason}")
        path = build(text, flags)
        try:
            definition.native = library.load(path, text.what)
        except RuntimeError as error:
            path.unlink(missing_ok=True)
            said = str(error).replace(f"{path}: ", "")
            raise CompileError(f"'{text.what}' was compiled, but {said}") from None
        definition.kernel = _native(definition)
    except NoCompiler as error:
        if reference is None:
            error.hint = f"{error.hint}; or give reference=, the same in NumPy" if error.hint else "give reference="
            raise
        definition.kernel = _referring(definition, reference)
        if not _told:
            _told = True
            print(f"flowbook: {error.message}. What reference= says is used instead.", file=sys.stderr)


def _specs_now(definition: OpDef, arrays: Sequence[np.ndarray], attrs: Any) -> tuple[TensorSpec, ...]:
    """What the rule says for arrays, which is all that is allocated."""
    specs = definition.infer([TensorSpec(each.shape, each.dtype) for each in arrays], attrs)
    if not all(each.known for each in specs):
        raise RunError(
            f"the shape rule of {definition.name} leaves sizes open for inputs that are known",
            hint="a size of an output has to follow from those of the inputs, and attributes",
        )
    return specs


def _native(definition: OpDef) -> Callable[..., Any]:
    """Calls the C++ code on arrays whose shapes are known only now."""

    def kernel(xp: Any, *arrays: Any, **attrs: Any) -> Any:
        arrays = tuple(map(np.asarray, arrays))
        specs = _specs_now(definition, arrays, attrs)
        told = nanoseconds(definition, [TensorSpec(each.shape, each.dtype) for each in arrays], specs, attrs)
        results = [(each.dtype.name, each.shape) for each in specs]
        made = library.Kernel(definition.native, told, [each.dtype.name for each in arrays], results)
        try:
            return made(*arrays)
        except RuntimeError as error:
            raise RunError(str(error)) from None

    return kernel


def _referring(definition: OpDef, reference: Callable[..., Any]) -> Callable[..., Any]:
    """Calls the reference, and checks what it gives."""

    def kernel(xp: Any, *arrays: Any, **attrs: Any) -> Any:
        specs = _specs_now(definition, arrays, attrs)
        found = reference(*arrays, **attrs)
        parts = tuple(map(np.asarray, found if isinstance(found, (tuple, list)) else (found,)))
        got = [TensorSpec(each.shape, each.dtype) for each in parts]
        if got != list(specs):
            raise RunError(
                f"reference= of {definition.name} gave {', '.join(map(repr, got))}, its shape rule says"
                f" {', '.join(map(repr, specs))}"
            )
        return parts if len(parts) > 1 or definition.multiple else parts[0]

    return kernel
