"""``%flow why``: where the nan or infinity in a result comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowbook.analysis.nan_origin import nan_origin
from flowbook.graph.graph import Graph
from flowbook.notebook.commands import session
from flowbook.notebook.values import Text


def why(fetches: Any, feeds: Mapping[Any, Any] | None = None, *, graph: Graph | None = None) -> Text:
    """Why ``fetches`` are not finite: the first node that made a nan or infinity, as `fb.nan_origin` finds it.

    It asks about the notebook's session with its variables as they are now, and with the random numbers of its last
    run. Nothing is changed. ``fetches``, ``feeds``: as in ``session.run``; raises what that raises.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((), name="x")
    ...     y = fb.sqrt(x, name="y")
    ...     why(y, {x: 4.0})
    everything is finite
    """
    found = nan_origin(fetches, feeds, session(graph))
    return Text("everything is finite" if found is None else repr(found))
