"""The op that CONTRIBUTING.md adds, step by step, works as printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowbook.graph.opdef import REGISTRY, OpDef
from flowbook.ops import coverage, elementwise
from tests.ops import checks, derivatives
from tests.ops.counting import check_cost
from tests.ops.drivers import check_drivers, check_file

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def softplus() -> Iterator[OpDef]:
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(program, "CONTRIBUTING.md", "exec"), {**vars(elementwise)})
    yield REGISTRY["softplus"]
    del REGISTRY["softplus"]


def test_the_example_passes_the_generated_tests(softplus: OpDef, tmp_path: Path) -> None:
    for sample in softplus.samples():
        checks.check_result(softplus, sample)
        checks.check_spec(softplus, sample)
        checks.check_layouts(softplus, sample)
        checks.check_special(softplus, sample)
        for order in (1, 2):
            derivatives.check_gradient(softplus, sample, order)
        derivatives.check_complex_step(softplus, sample)
        check_cost(softplus, sample)
    check_drivers(softplus, list(softplus.samples()))
    check_file(softplus, list(softplus.samples()), tmp_path / "softplus.graph")
    assert coverage.row(softplus).holes == ()
