"""The garbage collector is left out while graphs are differentiated and compiled, and is afterwards what it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

import flowbook as fb
from flowbook.errors import FeedError
from flowbook.graph.collecting import no_collection


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Whatever a test does, the collector is on for the next."""
    before = gc.get_threshold()
    yield
    gc.enable()
    assert gc.get_threshold() == before


def test_it_is_off_inside_and_on_again_afterwards() -> None:
    with no_collection():
        assert not gc.isenabled()
        with no_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_puts_it_on_again() -> None:
    with pytest.raises(ZeroDivisionError), no_collection():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off() -> None:
    gc.disable()
    with no_collection():
        pass
    assert not gc.isenabled()


def test_gradients_and_plans_leave_it_as_it_was() -> None:
    seen: list[bool] = []

    def rule(dy: fb.Tensor) -> fb.Tensor:
        seen.append(gc.isenabled())
        if len(seen) > 1:
            raise ValueError("the second time")
        return dy

    with fb.Graph().as_default():
        x = fb.placeholder((2,), name="x")
        y = fb.custom_gradient(lambda x: (fb.tanh(x), rule))(x)
        (dx,) = fb.gradients(y, [x])
        assert gc.isenabled()
        with pytest.raises(ValueError, match="the second time"):
            fb.gradients(y, [x])
        assert seen == [False, False] and gc.isenabled()
        fb.Session().run([y, dx], {x: [1.0, 2.0]})
        assert gc.isenabled()
        with pytest.raises(FeedError):
            fb.Session().run(y)  # not fed: there is no plan
        assert gc.isenabled()
