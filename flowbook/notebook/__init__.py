"""The notebook language: ``%load_ext flowbook``, then ``%%flow`` cells own nodes. See `magics.py`.

Everything a magic does is a call of one of these functions, so that scripts can do it, too.
"""

from __future__ import annotations

from flowbook.notebook.cells import run_cell
from flowbook.notebook.commands import debug, devices, diff, profile, reset, run, session, undo, variables
from flowbook.notebook.export import export
from flowbook.notebook.gradview import GradView, grad
from flowbook.notebook.live.opening import view
from flowbook.notebook.marks import breakpoint, watch
from flowbook.notebook.predict import Prediction, predict
from flowbook.notebook.profiling import Profile
from flowbook.notebook.reactive import auto
from flowbook.notebook.results import Results
from flowbook.notebook.view import CellView
from flowbook.notebook.why import why

__all__ = [
    "CellView",
    "GradView",
    "Prediction",
    "Profile",
    "Results",
    "auto",
    "breakpoint",
    "debug",
    "devices",
    "diff",
    "export",
    "grad",
    "predict",
    "profile",
    "reset",
    "run",
    "run_cell",
    "session",
    "undo",
    "variables",
    "view",
    "watch",
    "why",
]
