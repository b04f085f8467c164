"""Live views: what a notebook draws while the kernel answers.

A *view* (`liveview.py`) is one thing to look at: the part of a graph that a cell made (`graphview.py`), or a run that
somebody steps through (`stepping.py`). It may be open in several places at once, or in none: each is a *channel*
(`channels.py`), the comm of a page. A view remembers what it has told (`memory.py`), so a page that opens later, or
again, is told the same. Runs of a session are watched by `watching.py`.

Messages come on whatever thread the kernel handles them on, so they only go into a queue, or set a flag: each stepper
has a thread of its own that does what its buttons say.
"""
