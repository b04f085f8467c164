"""Gradients at kinks are what the documentation says."""

from __future__ import annotations

import numpy as np
import pytest

from flowbook.graph.opdef import REGISTRY
from tests.ops.derivatives import check_shared

NAN, INF = np.nan, np.inf

# op, operands, attributes, gradient of the sum of the result for each operand
DOCUMENTED = [
    ("relu", [[-1.0, -0.0, 0.0, 2.0]], {}, [[0, 0, 0, 1]]),
    ("abs", [[-1.0, -0.0, 0.0, 2.0]], {}, [[-1, 0, 0, 1]]),
    ("sqrt", [[0.0, 4.0]], {}, [[INF, 0.25]]),
    ("maximum", [[1.0, 2.0, 0.0, 3.0], [1.0, 1.0, -0.0, 5.0]], {}, [[0.5, 1, 0.5, 0], [0.5, 0, 0.5, 1]]),
    ("minimum", [[1.0, 2.0, 0.0, 3.0], [1.0, 1.0, -0.0, 5.0]], {}, [[0.5, 0, 0.5, 1], [0.5, 1, 0.5, 0]]),
    ("maximum", [[INF, -INF], [INF, 1.0]], {}, [[0.5, 0], [0.5, 1]]),
    ("where", [[True, False], [NAN, 1.0], [1.0, NAN]], {}, [[1, 0], [0, 1]]),
    ("power", [[0.0, 0.0, 2.0, 0.0], [0.0, 2.0, 0.0, 1.0]], {}, [[0, 0, 0, 1], [0, 0, np.log(2.0), 0]]),
    ("clip", [[-1.0, 0.0, 0.5, 1.0, 2.0], 0.0, 1.0], {}, [[0, 1, 1, 1, 0]]),
    ("max", [[[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]], {"axis": 1}, [[[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]]]),
    ("min", [[[1.0, 1.0, 3.0], [2.0, 2.0, 2.0]]], {"axis": 1}, [[[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]]]),
    ("max", [[5.0, 5.0, 1.0, 5.0, 5.0]], {}, [[0.25, 0.25, 0, 0.25, 0.25]]),
    ("logsumexp", [[-INF, 0.0]], {}, [[0, 1]]),
    ("std", [[2.0, 2.0]], {}, [[0, 0]]),
    ("max_pool", [[[[[1.0], [5.0]], [[5.0], [2.0]]]]], {}, [[[[[0], [0.5]], [[0.5], [0]]]]]),
    ("softmax", [[1e4, 0.0]], {}, [[0, 0]]),
]


@pytest.mark.parametrize(
    ("name", "operands", "attrs", "wanted"), DOCUMENTED, ids=[f"{row[0]}-{i}" for i, row in enumerate(DOCUMENTED)]
)
def test_documented_value(name, operands, attrs, wanted) -> None:
    inputs = [np.array(each) if isinstance(each, list) else each for each in operands]
    check_shared(REGISTRY[name], inputs, wanted, attrs)
