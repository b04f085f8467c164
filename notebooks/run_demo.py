"""Execute a notebook without a browser; print what it printed last and where the result is.

`make demo` runs this on the flagship notebook. Two files are written to the output
folder: the executed notebook, and a page that any browser shows without a network.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--output-dir", type=Path, default=Path("build"))
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one cell may take")
    args = parser.parse_args(argv)
    if not args.notebook.is_file():
        print(f"no such notebook: {args.notebook}", file=sys.stderr)
        return 2

    # What the kernel itself would say on stderr (frozen modules, its transport) is not about the notebook.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.read(args.notebook, as_version=4)
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    print(f"executing {args.notebook}, {cells} code cells ...", flush=True)
    client = NotebookClient(
        notebook,
        timeout=args.timeout,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(args.notebook.parent)}},
    )
    failure = None
    started = time.perf_counter()
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        failure = error
    seconds = time.perf_counter() - started

    written = write(notebook, args.output_dir, args.notebook.stem)
    if failure is not None:
        print(f"\nThe notebook failed after {seconds:.1f} s:\n\n{failure}", file=sys.stderr)
    else:
        print(f"done in {seconds:.1f} s. The notebook concludes:\n")
        print(conclusions(notebook).rstrip() or "(it printed nothing)")
    print("\nThe executed notebook:")
    for path in written:
        print(f"  {path}")
    return 1 if failure is not None else 0


def conclusions(notebook: NotebookNode) -> str:
    """The text that cells tagged `conclusions` printed, or else the last text that any cell printed."""
    printed = [
        (
            cell,
            "".join(out.text for out in cell.outputs if out.output_type == "stream" and out.name == "stdout"),
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    tagged = [text for cell, text in printed if "conclusions" in cell.metadata.get("tags", [])]
    if tagged:
        return "\n".join(tagged)
    return next((text for _, text in reversed(printed) if text.strip()), "")


# The page as JupyterLab shows a notebook, without the scripts that it would ask a network for.
OFFLINE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
"""


def write(notebook: NotebookNode, folder: Path, stem: str) -> list[Path]:
    import nbformat
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    folder.mkdir(parents=True, exist_ok=True)
    as_notebook, as_page = folder / f"{stem}.ipynb", folder / f"{stem}.html"
    nbformat.write(notebook, as_notebook)
    loader = DictLoader({"offline.html.j2": OFFLINE})
    exporter = HTMLExporter(extra_loaders=[loader], template_file="offline.html.j2")
    page, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": stem}})
    as_page.write_text(page, encoding="utf-8")
    return [as_page, as_notebook]


if __name__ == "__main__":
    sys.exit(main())
