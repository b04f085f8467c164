"""`fb.random`: fresh numbers in each run, and the same sequence of runs for the same seed.

``seed=None`` derives the numbers from ``Graph(seed=...)`` and the node's name, so that edits elsewhere change none of
them. A ``seed`` of one's own makes them depend on it alone: two nodes with the same seed draw the same numbers. The
k-th run of a session draws the k-th array of the sequence.

Every function takes its shape first: known ints, or ``None`` with ``like=tensor``, for the shape that tensor has when
it runs. How bits become numbers is written down, with sources, in ``flowbook/ops/philox.py``.

>>> import flowbook as fb
>>> with fb.Graph().as_default():
...     a = fb.random.integers((3,), 0, 100, seed=1)
...     b = fb.random.integers((3,), 0, 100, seed=1)
...     c = fb.random.integers((3,), 0, 100, seed=2)
>>> session = fb.Session(a.graph)
>>> first, same, other = session.run([a, b, c])
>>> (first == same).all(), (first == other).all(), (first == session.run(a)).all()
(np.True_, np.False_, np.False_)
"""

from __future__ import annotations

from typing import Any

from flowbook.graph.node import Tensor, as_plain
from flowbook.graph.opdef import located
from flowbook.ops.elementwise import add, less, multiply, subtract
from flowbook.ops.random import (
    random_bernoulli,
    random_integers,
    random_normal,
    random_permutation,
    random_uniform,
)

__all__ = ["bernoulli", "integers", "normal", "permutation", "uniform"]


@located("normal")
def normal(
    shape: Any,
    mean: Any = 0.0,
    scale: Any = 1.0,
    *,
    dtype: Any = "float32",
    like: Any = None,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Normal numbers with the given mean and standard deviation, which may be tensors (and get gradients).

    >>> import flowbook as fb
    >>> round(float(fb.Session().run(fb.mean(fb.random.normal((10_000,), 5.0, 0.1, seed=0)))), 2)
    5.0
    """
    mean, scale = as_plain(mean), as_plain(scale)
    common = {"shape": shape, "dtype": dtype, "seed": seed}
    if _numbers(mean, scale):
        return _one(random_normal(like, mean=float(mean), scale=float(scale), name=name, **common))
    return _one(add(multiply(random_normal(like, **common), scale), mean, name=name))


@located("uniform")
def uniform(
    shape: Any,
    low: Any = 0.0,
    high: Any = 1.0,
    *,
    dtype: Any = "float32",
    like: Any = None,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Uniform numbers in [low, high), which may be tensors (and get gradients). Rounding may give ``high`` itself,
    except for ``low=0, high=1``.

    >>> import flowbook as fb
    >>> fb.random.uniform((2, 3), -1.0, 1.0, name="u")
    <Tensor 'u': random_uniform float32 (2, 3)>
    """
    low, high = as_plain(low), as_plain(high)
    common = {"shape": shape, "dtype": dtype, "seed": seed}
    if _numbers(low, high):
        return _one(random_uniform(like, low=float(low), high=float(high), name=name, **common))
    return _one(add(multiply(random_uniform(like, **common), subtract(high, low)), low, name=name))


@located("bernoulli")
def bernoulli(
    shape: Any, p: Any = 0.5, *, like: Any = None, seed: int | None = None, name: str | None = None
) -> Tensor:
    """Bools, true with probability ``p``: a number (rounded to a multiple of 2**-32), or a tensor.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.random.bernoulli((3,), 1.0))
    array([ True,  True,  True])
    """
    p = as_plain(p)
    if _numbers(p):
        return _one(random_bernoulli(like, shape=shape, p=float(p), seed=seed, name=name))
    return _one(less(random_uniform(like, shape=shape, seed=seed), p, name=name))


@located("integers")
def integers(
    shape: Any,
    low: int,
    high: int,
    *,
    dtype: Any = "int64",
    like: Any = None,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Integers in [low, high): ``low`` included, ``high`` not, all equally probable up to 2**-64.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.random.integers((2,), 7, 8))
    array([7, 7])
    """
    return _one(random_integers(like, shape=shape, low=low, high=high, dtype=dtype, seed=seed, name=name))


@located("permutation")
def permutation(n: int, *, seed: int | None = None, name: str | None = None) -> Tensor:
    """The integers 0 to n - 1 in random order, int64.

    >>> import flowbook as fb
    >>> sorted(fb.Session().run(fb.random.permutation(4)).tolist())
    [0, 1, 2, 3]
    """
    return _one(random_permutation(count=n, seed=seed, name=name))


def _numbers(*values: Any) -> bool:
    return all(isinstance(each, (int, float)) for each in values)


def _one(tensor: Any) -> Tensor:
    return tensor  # type: ignore[no-any-return]
