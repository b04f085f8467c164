"""What the magics take: each subcommand and option with its text, once; help, errors and completion come from it."""

from __future__ import annotations

from flowbook.notebook.options import Command, Option

_GRAPH = Option("graph", "G", "a Graph of yours; default: the default graph")
_TRACEBACK = Option("traceback", "", "when it fails, show the whole traceback")
_FEED = Option("feed", "x=EXPR ...", "what placeholders get; a,b=EXPR unpacks a pair", rest=True)

CELL = Command(
    "%%flow [options]",
    "the cell's Python defines nodes; names assigned in it name them",
    (
        Option("name", "CELL", "what the cell is called in tables and errors"),
        _GRAPH,
        Option("device", "D", "the device to ask for, such as cpu:0"),
        Option("scope", "S", "a name scope around the whole cell"),
        Option("quiet", "", "show nothing"),
        _TRACEBACK,
    ),
)

COMMANDS: dict[str, Command] = {
    "run": Command(
        "%flow run FETCH [FETCH ...] [options]",
        "compute and show values",
        (
            _FEED,
            Option("steps", "N", "run N times; --feed is evaluated each time"),
            Option("trace", "", "watch every node of the last step: session().trace"),
            _GRAPH,
            _TRACEBACK,
        ),
        (1, None),
    ),
    "profile": Command(
        "%flow profile [FETCH ...] [options]",
        "how long each node takes, watched; without FETCH: in the last traced run",
        (_FEED, Option("steps", "N", "over N runs; default 10"), _GRAPH, _TRACEBACK),
        (0, None),
    ),
    "export": Command(
        "%flow export FILE.html [FETCH ...] [options]",
        "one HTML file that plays a run both ways; without FETCH: the last traced run",
        (_FEED, Option("title", "TEXT", "the heading; default: the name of the file"), _GRAPH, _TRACEBACK),
        (1, None),
    ),
    "why": Command(
        "%flow why FETCH [FETCH ...] [options]",
        "where a nan or an infinity comes from: the first node that made one, and the rule it broke",
        (_FEED, _GRAPH, _TRACEBACK),
        (1, None),
    ),
    "view": Command(
        "%flow view [CELL]",
        "the live graph of a cell, or of all cells: follows runs, shows values, times and edits",
        (_GRAPH,),
        (0, 1),
    ),
    "debug": Command(
        "%flow debug FETCH [FETCH ...] [options]",
        "a stepper at the start of the run: in the live view, and .step() .back() .to(name) .value(t)",
        (_FEED, _GRAPH, _TRACEBACK),
        (1, None),
    ),
    "grad": Command(
        "%flow grad Y X [X ...] [options]",
        "a computation and its derivative, side by side; the graph stays as it is",
        (_FEED, _GRAPH, _TRACEBACK),
        (2, None),
    ),
    "break": Command(
        "%flow break [PATTERN] [options]",
        "stop the stepper at matching nodes, such as layer1/* or op:log; alone: list",
        (
            Option("when", "nan|inf|EXPR", "right after a node whose value has one, or for which EXPR is true", True),
            Option("clear", "", "take back, this one or all"),
            _GRAPH,
        ),
        (0, 1),
    ),
    "watch": Command(
        "%flow watch [PATTERN] [options]",
        "show matching nodes with each run; alone: list",
        (Option("clear", "", "take back, this one or all"), _GRAPH),
        (0, 1),
    ),
    "vars": Command("%flow vars", "variables and their values", (_GRAPH,), (0, 0)),
    "reset": Command("%flow reset NAME [NAME ...]", "initial values again", (_GRAPH,), (1, None)),
    "undo": Command("%flow undo", "take back what the last cell changed", (_GRAPH,), (0, 0)),
    "diff": Command("%flow diff", "what the last cell changed", (_GRAPH,), (0, 0)),
    "auto": Command(
        "%flow auto [on|off]",
        "results shown in other cells follow the graph: marked when out of date, run again when cheap",
        (_GRAPH,),
        (0, 1),
    ),
    "devices": Command("%flow devices", "what is here, and for what is not: why", (), (0, 0)),
    "help": Command("%flow help", "this list", (), (0, None)),
}


def overview() -> str:
    """The list of everything: the cell magic with its options, and the subcommands."""
    width = max(len(each.usage) for each in COMMANDS.values())
    return "\n".join([CELL.help(), "", *(f"{each.usage.ljust(width)}  {each.text}" for each in COMMANDS.values())])
