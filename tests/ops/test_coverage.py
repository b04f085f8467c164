"""The coverage table has no holes, is true, and the operator reference is made from it."""

from __future__ import annotations

import pytest

import flowbook as fb
from flowbook.errors import GradientError
from flowbook.graph.opdef import REGISTRY, OpDef
from flowbook.ops import coverage
from tests.ops import checks
from tests.ops.cases import array_ops, build, cast, is_float

ROWS = {row.op: row for row in coverage.rows()}


@pytest.mark.parametrize("op", REGISTRY.values(), ids=lambda op: op.name)
def test_declared(op: OpDef) -> None:
    checks.check_declared(op)
    assert not ROWS[op.name].holes


@pytest.mark.parametrize("op", [each for each in array_ops() if each.gradient], ids=lambda op: op.name)
def test_second_order_is_what_the_table_says(op: OpDef) -> None:
    reasons = set()
    for sample in op.samples():
        with fb.Graph().as_default():
            call = build(op, cast(sample.inputs, "float64"), sample.attrs)
            if call.xs and call.ys:
                gs = fb.gradients(call.ys, call.xs, unconnected="zeros")
                try:
                    fb.gradients(gs, call.xs, unconnected="zeros")
                except GradientError as error:
                    reasons.add(str(error))
    assert (ROWS[op.name].second_order == "yes") == (not reasons), reasons


def test_the_table_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(REGISTRY) + 2
    assert {line.count(" | ") for line in lines} == {lines[0].count(" | ")}


def test_an_unknown_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage.main(["--nonsense"]) == 1
    assert "usage" in capsys.readouterr().err


def test_the_reference_is_current() -> None:
    assert coverage.DOCS.read_text(encoding="utf-8") == coverage.reference(), (
        "docs/ops.md is out of date: python -m flowbook.ops.coverage --write"
    )


def test_samples_cover_the_shapes_where_kernels_go_wrong() -> None:
    """Every array op has a sample with floats (or whatever it takes) that is not empty."""
    for op in array_ops():
        sizes = [getattr(each, "size", 0) for sample in op.samples() for each in sample.inputs]
        assert max(sizes, default=0) > 0, f"{op.name}: all samples are empty"
        if op.gradient:
            assert any(is_float(each) for sample in op.samples() for each in sample.inputs), op.name
