"""`fb.notebook.why`: the origin of a nan in the notebook's session, as a text to display."""

from __future__ import annotations

import flowbook as fb


def test_why_asks_the_session_of_the_graph() -> None:
    with fb.Graph().as_default() as graph:
        w = fb.Variable([1.0, 2.0], name="w")
        y = fb.log(w, name="y")
        lower = fb.assign(w, [1.0, 0.0])
    assert repr(fb.notebook.why(y, graph=graph)) == "everything is finite"
    fb.notebook.session(graph).run(lower)
    shown = repr(fb.notebook.why([y], {}, graph=graph)).splitlines()
    assert shown[:3] == [
        "inf in 'y'[1] begins in 'y'[1] (log)",
        "  rule:     log of 0, which gives -inf",
        "  values:   w[1] = 0",
    ]
