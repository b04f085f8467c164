"""A real JupyterLab in a headless Chromium, for tests and screenshots.

    with Lab(notebook) as lab:
        lab.run_all()
        lab.texts()       # what each code cell shows
        lab.errors        # what the page complained about

The server listens on the loopback address only, with a random token, and has its own
home, settings and runtime folders, so that a person's JupyterLab is neither read nor written.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from flowbook.notebook.protocol import STATES
from tests.tools import lab_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def browser_path() -> str | None:
    """The installed Chromium; `FLOWBOOK_CHROMIUM` names another."""
    named = os.environ.get("FLOWBOOK_CHROMIUM")
    return named or next((path for name in BROWSERS if (path := shutil.which(name))), None)


def missing() -> str | None:
    """Why no browser test can run here, or None."""
    for module in ("playwright", "jupyterlab"):
        if find_spec(module) is None:
            return f"needs the Python package {module}"
    return None if browser_path() else f"needs a browser: none of {', '.join(BROWSERS)} is on the PATH"


class DeafPage(Exception):
    """The page gets no answer from an idle kernel, whatever it asks: JupyterLab has lost it, and no view can work."""


class Lab:
    """A JupyterLab server and a browser page that shows one notebook."""

    def __init__(
        self,
        notebook: Path,
        *,
        theme: str = "light",
        width: int = 1400,
        height: int = 1000,
        windowing: str = "none",
        timeout: float = 120,
        app: str = "lab",
        extension: bool = True,
        settings: Mapping[str, dict[str, object]] | None = None,
        prepare: Callable[[Any], None] = lambda page: None,
    ) -> None:
        """``app``: "lab", or "notebook" for Notebook 7; ``extension``: with flowbook's own, else widgets show views;
        ``settings``: of an extension, by "package/plugin"; ``prepare``: is given the page before it opens anything."""
        self.notebook = notebook.resolve()
        self.timeout = timeout
        self.errors: list[str] = []
        self._app = app
        self._extension = extension
        self._settings = dict(settings or {})
        self._prepare = prepare
        self._theme = theme
        self._windowing = windowing
        self._viewport = {"width": width, "height": height}
        self._server: subprocess.Popen[bytes] | None = None
        self._playwright: Any = None
        self._browser: Any = None
        self.page: Any = None

    # -- starting and stopping

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="flowbook-lab-"))
        try:
            url, token = self._start_server()
            self._start_browser()
            # The page may be asked only for what this server has.
            tree = quote(self.notebook.name)
            path = f"lab/tree/{tree}" if self._app == "lab" else f"notebooks/{tree}"
            self.page.goto(f"{url}{path}?token={token}", wait_until="domcontentloaded")
            self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=self.timeout * 1000)
            self._wait_for_kernel()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        deaf = False
        if isinstance(error, Exception) and self.page is not None:
            try:
                deaf = lab_report.deaf(self)
                print(lab_report.report(self), file=sys.stderr)
            except Exception as trouble:
                print(f"the page says no more: {trouble}", file=sys.stderr)
        self.close()
        if deaf:
            raise DeafPage from error

    def _start_server(self) -> tuple[str, str]:
        token = secrets.token_urlsafe(32)
        folders = {
            "HOME": "home",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        environment = dict(os.environ)
        for name, folder in folders.items():
            path = self._folder / folder
            path.mkdir(mode=0o700)
            environment[name] = str(path)
        startup = self._folder / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "stacks.py").write_text(lab_report.STACKS.format(folder=str(self._folder)))
        environment["JUPYTER_TOKEN"] = token  # not on the command line, which others can read
        environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
        environment["FLOWBOOK_THREADS"] = "1"  # page, server and kernel share the cores
        dark = "Dark" if self._theme == "dark" else "Light"
        self._write_settings("apputils-extension", "themes", {"theme": f"JupyterLab {dark}"})
        self._write_settings(
            "apputils-extension",
            "notification",
            {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
        )
        # "none" keeps every cell in the page. JupyterLab's own choice, "full", takes those out
        # that are far from the screen, and guesses the height of those not seen yet.
        self._write_settings(
            "notebook-extension",
            "tracker",
            {"windowingMode": self._windowing},
        )
        self._write_settings("docmanager-extension", "plugin", {"autosave": False})

        for name, values in self._settings.items():
            self._write_settings(*name.split("/"), values, scope="")

        if not self._extension:
            labconfig = self._folder / "config" / "labconfig"
            labconfig.mkdir()
            off = {"disabledExtensions": {"flowbook-graph": True}}
            (labconfig / "page_config.json").write_text(json.dumps(off))

        module = "jupyterlab" if self._app == "lab" else "notebook"
        command = [sys.executable, "-m", module, "--no-browser", "--ip=127.0.0.1", "--port=0"]
        command += [
            f"--ServerApp.root_dir={self.notebook.parent}",
            "--ServerApp.open_browser=False",
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.extension_manager=readonly",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        self._log = self._folder / "server.log"
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        # The server chooses a free port and writes it down once it listens.
        info = self._folder / "runtime" / f"jpserver-{self._server.pid}.json"
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            if self._server.poll() is not None:
                break
            try:
                return json.loads(info.read_text())["url"], token
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start:\n{self._log.read_text(errors='replace')[-4000:]}")

    def _write_settings(self, package: str, plugin: str, values: dict[str, object], scope: str = "@jupyterlab") -> None:
        folder = self._folder / "settings" / scope / package
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{plugin}.jupyterlab-settings").write_text(json.dumps(values))

    def _start_browser(self) -> None:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=browser_path(), headless=True, args=CHROMIUM_FLAGS
        )
        self.page = self._browser.new_page(
            viewport=self._viewport, color_scheme="dark" if self._theme == "dark" else "light"
        )
        self.page.set_default_timeout(self.timeout * 1000)
        self.page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        self.page.on("console", self._on_console)
        self._prepare(self.page)

    def _on_console(self, message: Any) -> None:
        if message.type == "warning" and message.text.startswith("flowbook:"):
            print(message.text, file=sys.stderr)
        if message.type == "error":
            where = message.location.get("url", "").split("?")[0]
            self.errors.append(f"console: {message.text} ({where})")

    def close(self) -> None:
        """Stop the browser, the server and its kernels; remove their folders."""
        for stop in (self._browser and self._browser.close, self._playwright and self._playwright.stop):
            try:
                if stop:
                    stop()
            except Exception as error:
                print(f"closing the browser: {error}", file=sys.stderr)
        self._browser = self._playwright = None
        if self._server is not None:
            # SIGTERM lets the server shut its kernels down.
            self._server.send_signal(signal.SIGTERM)
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- the notebook

    # Everything that waits loops inside the page: a predicate that returns a promise
    # counts as true at once.
    _PANEL = """
        const panel = () => {
            const app = window.jupyterapp;
            return app && [...app.shell.widgets('main')].find(w => w.sessionContext && w.content?.widgets);
        };
        const sleep = ms => new Promise(done => setTimeout(done, ms));
    """

    def _in_page(self, body: str, argument: object = None) -> Any:
        # Where JupyterLab waits for an answer that was lost, it does so for ever; the page does not.
        seconds = 2 * self.timeout
        late = f"setTimeout(() => refuse(new Error('the page has not done this in {seconds:g} s')), {seconds * 1000})"
        return self.page.evaluate(
            f"""async (argument) => {{
                {self._PANEL}
                const late = new Promise((_, refuse) => {late});
                return Promise.race([late, (async () => {{ {body} }})()]);
            }}""",
            argument,
        )

    def _wait_for_kernel(self) -> None:
        # "Idle" shows before a kernel exists, so wait for the connection itself. The first
        # request over it is now and then lost (about 1 in 20, on a busy machine), so only a
        # kernel that has answered one is ready. When the lost one was the page's own, its status
        # stays "unknown" for good: after a while ask all the same, and then over a new connection.
        state = self._in_page(
            """
            const begin = Date.now(), end = begin + argument[0];
            let patience = begin + 15000;
            while (Date.now() < end) {
                const found = panel();
                if (found) {
                    await Promise.race([found.sessionContext.ready, sleep(end - Date.now())]);
                    const kernel = found.sessionContext.session?.kernel;
                    if (kernel && Date.now() > patience) {
                        patience = Date.now() + 15000;
                        console.warn('flowbook: connecting to the kernel again');
                        await Promise.race([kernel.reconnect(), sleep(5000)]);
                    }
                    const known = kernel?.status === 'idle' || Date.now() > begin + 5000;
                    if (kernel?.connectionStatus === 'connected' && known) {
                        const asked = kernel.requestExecute({code: '', silent: true, store_history: false});
                        const answer = asked.done.then(() => 'ready', error => 'refused: ' + error);
                        const result = await Promise.race([answer, sleep(5000)]);
                        if (result === 'ready') {
                            // JupyterLab's own widgets wait for it, for ever; flowbook's extension asks again.
                            const asks = argument[1] || await Promise.race([kernel.info, sleep(5000)]);
                            if (!asks) await Promise.race([kernel.requestKernelInfo(), sleep(5000)]);
                            return result;
                        }
                        asked.dispose();
                        console.warn('flowbook: the kernel did not answer: ' + (result ?? 'no reply in 5 s'));
                    }
                }
                await sleep(100);
            }
            return 'no kernel in time';
            """,
            [self.timeout * 1000, self._extension],
        )
        if state != "ready":
            raise TimeoutError(f"{state}\n{lab_report.report(self)}")

    def run_all(self) -> None:
        """Run all cells, as the menu does, and wait until the last one is done."""
        state = self._in_page(
            """
            let state = 'running';
            window.jupyterapp.commands.execute('notebook:run-all-cells')
                .then(() => { state = 'done'; }, error => { state = 'failed: ' + error; });
            const end = Date.now() + argument;
            while (state === 'running' && Date.now() < end) await sleep(100);
            const kernel = panel().sessionContext.session.kernel;
            while (kernel.status !== 'idle' && Date.now() < end) await sleep(100);
            return state;
            """,
            self.timeout * 1000,
        )
        if state != "done":
            raise RuntimeError(f"running all cells: {state}\n{lab_report.report(self)}")
        self.settle()

    def run_cell(self, cell: int, source: str) -> None:
        """Write a text into a cell, and run it."""
        self._in_page(
            """
            const found = panel().content;
            found.activeCellIndex = argument[0];
            found.activeCell.model.sharedModel.setSource(argument[1]);
            await window.jupyterapp.commands.execute('notebook:run-cell');
            """,
            [cell, source],
        )

    def wait_until_kept(self, cell: int, mime: str, steps: int) -> None:
        """Until the output of a code cell holds a recording in which so many nodes have run."""
        end = time.monotonic() + self.timeout
        while time.monotonic() < end:
            for output in self.outputs()[cell]["outputs"]:
                recording = output.get("metadata", {}).get(mime, {}).get("recording")
                if recording is not None and _finished(recording) == steps:
                    return
            time.sleep(0.2)
        raise TimeoutError(f"no recording of {steps} nodes was kept\n{lab_report.report(self)}")

    def hide_sidebar(self) -> None:
        self._in_page("if (!window.jupyterapp.shell.leftCollapsed) window.jupyterapp.shell.collapseLeft();")
        self.settle()

    def settle(self) -> None:
        """Wait until nothing in the notebook has moved for a moment, at most three seconds."""
        self._in_page(
            """
            const size = () => {
                const box = panel().content.node;
                return box.querySelectorAll('*').length + ':' + box.innerText.length;
            };
            let before = size();
            for (let i = 0; i < 10; i++) {
                await sleep(300);
                const now = size();
                if (now === before) return;
                before = now;
            }
            """
        )

    def outputs(self) -> list[dict[str, Any]]:
        """Each code cell as the page holds it: source, execution count, outputs in nbformat."""
        cells: list[dict[str, Any]] = self._in_page(
            """
            return panel().content.widgets.filter(cell => cell.model.type === 'code').map(cell => ({
                source: cell.model.sharedModel.source,
                count: cell.model.executionCount,
                outputs: cell.model.outputs.toJSON(),
            }));
            """
        )
        return cells

    def failures(self) -> list[str]:
        """The errors that cells ended with, one line each."""
        return [
            f"cell {cell['count']}: {output['ename']}: {output['evalue']}"
            for cell in self.outputs()
            for output in cell["outputs"]
            if output["output_type"] == "error"
        ]

    def scroll(self) -> Iterator[int]:
        """Scroll through the notebook, a screen at a time; yields the number of the screen."""
        # The scrolled area is longer than the cells, so the end is where the last cell ends.
        move = """
            const found = panel().content;
            const outer = found.outerNode ?? found.node;
            const last = found.widgets.at(-1).node;
            const ends = last.isConnected
                && last.getBoundingClientRect().bottom <= outer.getBoundingClientRect().bottom;
            if (argument > 0 && ends) return false;
            const before = outer.scrollTop;
            outer.scrollTop = argument === 0 ? 0 : before + outer.clientHeight * 0.9;
            await sleep(300);
            return argument === 0 || outer.scrollTop > before;
        """
        for screen in range(100):
            if not self._in_page(move, screen):
                return
            self.settle()
            yield screen

    def texts(self) -> list[str]:
        """The text that a person sees in the outputs, in order, after scrolling through all."""
        seen: dict[int, str] = {}
        for _ in self.scroll():
            shown = self._in_page(
                """
                return panel().content.widgets.flatMap((cell, index) => {
                    if (cell.model.type !== 'code' || !cell.node.isConnected) return [];
                    const shown = [...cell.node.querySelectorAll('.jp-OutputArea-output')];
                    return [[index, shown.map(node => node.innerText.trim()).join('\\n')]];
                });
                """
            )
            seen.update({index: text for index, text in shown if text})
        return [seen[index] for index in sorted(seen)]

    def screenshots(self, folder: Path, stem: str | None = None) -> list[Path]:
        """One picture per screen of the notebook."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = stem or self.notebook.stem
        paths = []
        for screen in self.scroll():
            path = folder / f"{stem}-{screen + 1:02}.png"
            self.page.screenshot(path=str(path))
            paths.append(path)
        return paths


def _finished(recording: str) -> int:
    """How many nodes have run in a recording that a notebook keeps."""
    for each in json.loads(gzip.decompress(base64.b64decode(recording))):
        if each["message"]["type"] == "events":
            states = base64.b64decode(each["buffers"][each["message"]["state"]["at"]])
            return states.count(STATES.index("finished"))
    return 0
