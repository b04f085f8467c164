"""The magics: ``%%flow`` runs a cell that defines nodes, ``%flow`` works with them. They only read command lines."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.display import display

from flowbook.errors import ArgumentError, FetchError
from flowbook.graph import context
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.notebook import cells, commands, completion, errors, marks, reactive
from flowbook.notebook.catalog import CELL, COMMANDS, overview
from flowbook.notebook.export import export
from flowbook.notebook.frontend import FrontEnd
from flowbook.notebook.gradview import grad
from flowbook.notebook.live import opening, shown
from flowbook.notebook.options import OptionError, assignments, parse
from flowbook.notebook.values import Text
from flowbook.notebook.view import CellView
from flowbook.notebook.why import why
from flowbook.runtime.breakpoints import CONDITIONS


@magics_class
class FlowMagics(Magics):
    """``%%flow`` and ``%flow``."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.front = FrontEnd(shell)

    @line_cell_magic
    def flow(self, line: str, cell: str | None = None) -> Any:
        """Define nodes in a cell (%%flow) or work with them (%flow). ``%flow help`` lists what there is."""
        try:
            return self._line(line) if cell is None else self._cell(line, cell)
        except OptionError as error:
            raise UsageError(str(error)) from None

    # -------------------------------------------------------------------------------------------- %%flow

    def _cell(self, line: str, source: str) -> Any:
        _, options = parse(line, CELL)
        graph = self._graph(options) or context.get_default_graph()
        code = self.front.code(line, source)
        name = options.get("name") or self.front.cell_id or cells.identity(source)
        with self._shown(options, code.file):
            commit, value = cells.run_cell(
                code.source,
                self._names,
                name=name,
                graph=graph,
                device=options.get("device"),
                scope=options.get("scope"),
                file=code.file,
                first_line=code.first_line,
                was=self.front.former(graph, name),
                maker=self.front.cell_id,
            )
        self.front.owns(graph, name)
        if not options.get("quiet"):
            view = CellView(graph, name, commit, commands.kept_variables(graph, commit))
            picture = {} if view.svg is None else {"image/svg+xml": view.svg}
            data, metadata = shown.bundle(
                opening.cell_view(graph, name, commit, self.front.cell_id), view.text, **picture
            )
            display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
            if view.html is not None:
                display({"text/html": view.html}, raw=True)  # type: ignore[no-untyped-call]
        return value

    # -------------------------------------------------------------------------------------------- %flow

    def _line(self, line: str) -> Any:
        name, rest = [*line.split(None, 1), "", ""][:2]
        if name not in COMMANDS:
            close = get_close_matches(name, COMMANDS, 1)
            what = f"there is no %flow {name}" + (f"; did you mean %flow {close[0]}?" if close else "") if name else ""
            raise UsageError("\n".join(filter(None, [what, overview()])))
        words, options = parse(rest, COMMANDS[name])
        with self._shown(options):
            method: Callable[[list[str], Mapping[str, Any]], Any] = getattr(self, f"_{name}")
            return method(words, options)

    def _run(self, words: list[str], options: Mapping[str, Any]) -> Any:
        fetches, feeds, graph = self._request("run", words, options)
        steps = _steps("run", options, 1)
        found = commands.run(fetches, feeds, steps=steps, trace=bool(options.get("trace")), graph=graph)
        trace = commands.session(graph).trace
        if options.get("trace") and trace is not None and getattr(self.shell, "kernel", None) is not None:
            shown.show_trace(trace, commands.session(graph), " ".join(words))
        return found

    def _profile(self, words: list[str], options: Mapping[str, Any]) -> Any:
        fetches, feeds, graph = self._request("profile", words, options)
        steps = _steps("profile", options, 10)
        found = commands.profile(fetches or None, feeds, steps=steps, graph=graph)
        if getattr(self.shell, "kernel", None) is not None:
            return found
        print(found)  # a terminal shows no picture, and keeps nothing that is compared
        return None

    def _export(self, words: list[str], options: Mapping[str, Any]) -> Any:
        path, *names = words
        fetches, feeds, graph = self._request("export", names, options)
        session = commands.session(graph)
        if fetches:
            session.run(list(fetches.values()), feeds(), trace=True)
        export(path, session, title=options.get("title"))
        return Text(f"wrote {path}: open it in a browser, or send it to somebody")

    def _why(self, words: list[str], options: Mapping[str, Any]) -> Any:
        fetches, feeds, graph = self._request("why", words, options)
        return why(list(fetches.values()), feeds(), graph=graph)

    def _auto(self, words: list[str], options: Mapping[str, Any]) -> Any:
        return reactive.auto(words[0] if words else None, self._graph(options))

    def _view(self, words: list[str], options: Mapping[str, Any]) -> Any:
        return opening.view(words[0] if words else None, self._graph(options))

    def _debug(self, words: list[str], options: Mapping[str, Any]) -> Any:
        fetches, feeds, graph = self._request("debug", words, options)
        only = list(fetches.values())
        stepper = commands.debug(only[0] if len(only) == 1 else fetches, feeds(), graph=graph)
        if getattr(self.shell, "kernel", None) is None:
            print(stepper.where())
        else:
            view = opening.stepper_view(stepper, " ".join(words), lambda: self._names, self.front.cell_id)
            shown.show_stepper(view, stepper.where())
        return stepper

    def _grad(self, words: list[str], options: Mapping[str, Any]) -> Any:
        fetches, feeds, _ = self._request("grad", words, options)
        y, *xs = list(fetches.values())
        view = grad(y, xs, feeds() if "feed" in options else None)
        if view.svg is not None:  # apart from the text, which a notebook would not show beside a picture
            display({"image/svg+xml": view.svg}, raw=True)  # type: ignore[no-untyped-call]
        return view

    def _break(self, words: list[str], options: Mapping[str, Any]) -> Any:
        pattern = words[0] if words else None
        code = " ".join(options.get("when", ()))
        if "when" in options and (not code or pattern is None):
            raise OptionError(f"--when needs a pattern and a condition\n{COMMANDS['break'].help()}")
        when: Any = code or None
        if code and code not in CONDITIONS:
            condition = compile(code, "<--when>", "eval")
            when = lambda value: eval(condition, {**self._names, "value": value})  # noqa: E731
        clear = bool(options.get("clear"))
        return marks.breakpoint(pattern, when, label=code, clear=clear, graph=self._graph(options))

    def _watch(self, words: list[str], options: Mapping[str, Any]) -> Any:
        clear = bool(options.get("clear"))
        return marks.watch(words[0] if words else None, clear=clear, graph=self._graph(options))

    def _vars(self, words: list[str], options: Mapping[str, Any]) -> Any:
        return commands.variables(self._graph(options))

    def _reset(self, words: list[str], options: Mapping[str, Any]) -> Any:
        return commands.reset(words, self._graph(options))

    def _undo(self, words: list[str], options: Mapping[str, Any]) -> Any:
        return commands.undo(self._graph(options))

    def _diff(self, words: list[str], options: Mapping[str, Any]) -> Any:
        return commands.diff(self._graph(options))

    def _devices(self, words: list[str], options: Mapping[str, Any]) -> Any:
        return commands.devices()

    def _help(self, words: list[str], options: Mapping[str, Any]) -> Any:
        if words and words[0] not in COMMANDS:
            raise OptionError(f"there is no %flow {words[0]}\n{overview()}")
        return Text(COMMANDS[words[0]].help() if words else overview())

    # -------------------------------------------------------------------------------------------- reading

    @property
    def _names(self) -> dict[str, Any]:
        assert self.shell is not None
        names: dict[str, Any] = self.shell.user_ns
        return names

    def _request(
        self, command: str, words: list[str], options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Callable[[], dict[Any, Any]], Graph]:
        """Fetches by label, the function that evaluates the feeds, and the graph of it all."""
        graph = self._graph(options) or self._graph_of(words) or context.get_default_graph()
        fetches = {word: self._resolve(word, graph) for word in words}
        pairs = [
            ([self._resolve(name, graph) for name in names], code, ",".join(names))
            for names, code in assignments(options.get("feed", ()), COMMANDS[command])
        ]

        def feeds() -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            for targets, code, label in pairs:
                file = f"<--feed {label}>"
                linecache.cache[file] = (len(code), None, [code], file)  # so that an error can show it
                value = eval(compile(code, file, "eval"), self._names)
                if len(targets) == 1:
                    found[targets[0]] = value
                    continue
                if not isinstance(value, Iterable):
                    raise ArgumentError(f"--feed {label}={code}: a {type(value).__name__} for {len(targets)} names")
                values = tuple(value)
                if len(values) != len(targets):
                    raise ArgumentError(f"--feed {label}={code}: {len(values)} values for {len(targets)} names")
                found.update(zip(targets, values, strict=True))
            return found

        return fetches, feeds, graph

    def _resolve(self, word: str, graph: Graph) -> Any:
        """What a word means: the user's name when it is bound to tensors, else a name in the graph, else an
        expression such as ``grads[0]``."""
        value = self._names.get(word)
        if _fetchable(value):
            return value
        if word.isidentifier() or word in graph:
            return graph.element(word)
        try:
            value = eval(compile(word, "<fetch>", "eval"), self._names)
        except (SyntaxError, NameError):
            return graph.element(word)
        if not _fetchable(value):
            kind = type(value).__name__
            raise FetchError(f"'{word}' is a {kind}, not something to fetch", hint="a tensor or its name")
        return value

    def _graph_of(self, words: list[str]) -> Graph | None:
        for word in words:
            value = self._names.get(word)
            if isinstance(value, (Tensor, Node)):
                return value.graph
        return None

    def _graph(self, options: Mapping[str, Any]) -> Graph | None:
        name = options.get("graph")
        if name is None:
            return None
        found = self._names.get(name)
        if not isinstance(found, Graph):
            raise ArgumentError(f"--graph {name}: that is not a Graph of yours", hint=f"{name} = fb.Graph()")
        return found

    def _shown(self, options: Mapping[str, Any], file: str | None = None) -> errors.Showing:
        return errors.Showing(self.shell, file, whole=bool(options.get("traceback")))


FlowMagics.flow.__doc__ = f"{FlowMagics.flow.__doc__}\n\n{overview()}"  # what %flow? shows


def _steps(command: str, options: Mapping[str, Any], default: int) -> int:
    text = options.get("steps", str(default))
    if not text.isdecimal() or int(text) < 1:
        raise OptionError(f"--steps {text}: not a number of steps\n{COMMANDS[command].help()}")
    return int(text)


def _fetchable(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(_fetchable, value))
    if isinstance(value, dict):
        return bool(value) and all(map(_fetchable, value.values()))
    return isinstance(value, (Tensor, Node))


def load(shell: Any) -> None:
    """What ``%load_ext flowbook`` does."""
    magics = FlowMagics(shell)
    shell.register_magics(magics)
    magics.front.install()
    errors.install(shell)
    completion.install(shell, CELL, COMMANDS)
    opening.install(shell)


def unload(shell: Any) -> None:
    """What ``%unload_ext flowbook`` does; the graph stays."""
    function = shell.magics_manager.magics["cell"].pop("flow", None)
    shell.magics_manager.magics["line"].pop("flow", None)
    if function is not None:
        function.__self__.front.uninstall()
    errors.uninstall()
    completion.uninstall(shell)
    opening.uninstall(shell)
