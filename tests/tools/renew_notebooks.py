"""Execute the notebooks anew and keep what they show, after a change to what cells show: ``make notebooks``.

Read the difference before you commit it: the saved outputs are what the tests compare with.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as in the tests

import nbformat
from nbclient import NotebookClient

from flowbook.notebook.live.channels import MIME

WIDGET = "application/vnd.jupyter.widget-view+json"


def main(paths: list[str]) -> None:
    for path in map(Path, paths):
        notebook = nbformat.read(path, as_version=4)
        here = {"metadata": {"path": str(path.parent)}}
        NotebookClient(
            notebook,
            kernel_name="python3",
            resources=here,
            coalesce_streams=True,
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],
        ).execute()
        forget_the_kernel(notebook)
        nbformat.write(notebook, path)
        print(path)


def forget_the_kernel(notebook: nbformat.NotebookNode) -> None:
    """Take out what only this kernel could answer, and is new each time: widgets, and ids of live views."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
            output.get("metadata", {}).pop(MIME, None)


if __name__ == "__main__":
    main(sys.argv[1:])
