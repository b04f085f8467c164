"""Every array op in every driver, and through a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbook.graph.opdef import OpDef
from tests.ops.cases import array_ops
from tests.ops.drivers import check_drivers, check_file

every = pytest.mark.parametrize("op", array_ops(), ids=lambda op: op.name)


@every
def test_drivers_agree(op: OpDef) -> None:
    check_drivers(op, list(op.samples()))


@every
def test_file(op: OpDef, tmp_path: Path) -> None:
    check_file(op, list(op.samples()), tmp_path / "graph.flow")
