"""Products of matrices."""

from __future__ import annotations

from flowbook.errors import ShapeError
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, broadcast_shapes, format_shape, promote, same_shape, unify_dim
from flowbook.ops.broadcasting import unbroadcast
from flowbook.ops.layout import expand_dims, matrix_transpose, reshape, squeeze
from flowbook.ops.rules import reject_bool, shape_of
from flowbook.ops.samples import calls, draw


def _matmul_spec(x, y):
    if () in (shape_of(x), shape_of(y)):
        raise ShapeError("matmul needs tensors with at least one axis, not numbers", hint="* scales a tensor")
    a, b = x.dims, y.dims
    try:
        unify_dim(a[-1], b[-2 if len(b) > 1 else 0])
    except ShapeError:
        raise ShapeError(
            f"matmul of {format_shape(a)} and {format_shape(b)}: inner dimensions differ: "
            f"{a[-1]} and {b[-2 if len(b) > 1 else 0]}",
            hint=_advice(a, b),
        ) from None
    try:
        batch = broadcast_shapes(a[:-2], b[:-2]) or ()
    except ShapeError as error:
        raise ShapeError(
            f"matmul of {format_shape(a)} and {format_shape(b)}: the axes before the matrices do not broadcast",
            hint=error.hint,
        ) from None
    result = TensorSpec((*batch, *a[-2:-1], *(b[-1:] if len(b) > 1 else ())), promote(x, y))
    reject_bool(result)
    return result


def _advice(a, b):
    if len(b) > 1 and a[-1] == b[-1]:
        return "transpose the second operand: x @ y.T" if len(b) == 2 else "fb.matrix_transpose the second operand"
    if len(a) > 1 and a[-2] == b[-2 if len(b) > 1 else 0]:
        return "transpose the first operand: x.T @ y" if len(a) == 2 else "fb.matrix_transpose the first operand"
    return "the last size of the first has to be the last but one of the second"


@op(
    spec=_matmul_spec,
    cost=lambda inputs, outputs, attrs: 2 * (outputs[0].size or 0) * inputs[0].shape[-1],
    samples=calls(
        ((3, 4), (4, 2)),
        ((4,), (4,)),
        ((4,), (4, 2)),
        ((3, 4), (4,)),
        ((2, 3, 4), (2, 4, 5)),
        ((2, 3, 4), (4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (3, 4, 2)),
        ((4,), (2, 4, 3)),
        ((2, 3, 4), (4,)),
        ((0, 4), (4, 2)),
        ((3, 0), (0, 2)),
        Sample((draw((3, 4), -5, 5, "int64"), draw((4, 2), -5, 5, "int32"))),
    ),
    ulp=8,
    analytic=True,
)
def matmul(xp, x, y):
    """Matrix product over the last two axes; axes before them broadcast. ``x @ y`` is the short form.

    (..., m, k) and (..., k, n) give (..., m, n). A tensor with one axis is a row on the left, a column on the right,
    and that axis is dropped from the result. Not for bools and numbers; raises ``ShapeError`` when the k differ.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.constant([[1, 2], [3, 4]]) @ [10, 1])
    array([12, 34])
    """
    if x.ndim > 2 and y.ndim == 2 and x.size:  # one big product is faster than one for each batch entry
        return xp.matmul(x.reshape(-1, x.shape[-1]), y).reshape(*x.shape[:-1], y.shape[-1])
    return xp.matmul(x, y)


@matmul.gradient
def _(node, dz):
    x, y = node.inputs
    row, column = x.spec.rank == 1, y.spec.rank == 1
    if row and column:
        return lambda: dz * y, lambda: dz * x
    # As matrices, with the axes that the vectors lack: dx = dz @ y.T, dy = x.T @ dz.
    if column:
        dz = expand_dims(dz, -1)
    if row:
        dz = expand_dims(dz, -2)

    def dx():
        other = expand_dims(y, 0) if column else matrix_transpose(y)
        return _reduce(matmul(dz, other), x, -2 if row else None)

    def dy():
        flat = _flat_product(x, y, dz)
        if flat is not None:
            return flat
        other = expand_dims(x, -1) if row else matrix_transpose(x)
        return _reduce(matmul(other, dz), y, -1 if column else None)

    return dx, dy


def _reduce(product, like, vector_axis):
    """The product of a gradient in the shape of the operand: without its vector axis, summed over broadcast ones."""
    if vector_axis is not None:
        product = squeeze(product, vector_axis)
    return product if same_shape(product.shape, like.shape) else unbroadcast(product, like)


def _flat_product(x, y, dz):
    """x.T @ dz for a batch of x and one matrix y, as one product over all rows: no batch of matrices to sum up."""
    k, n = y.shape[0], dz.shape[-1]
    if x.spec.rank < 3 or y.spec.rank > 2 or type(k) is not int or type(n) is not int or 0 in (k, n):
        return None
    product = matmul(matrix_transpose(reshape(x, (-1, k))), reshape(dz, (-1, n)))
    return squeeze(product, -1) if y.spec.rank == 1 else product


__all__ = [name for name, value in list(globals().items()) if hasattr(value, "opdef")]
