"""Make the README's animation anew: a training step in a real JupyterLab, forwards, back, and with another weight.

python tests/tools/readme_animation.py [docs/stepping.webp]
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools.lab import Lab

CELLS = [
    """\
%load_ext flowbook
import flowbook as fb""",
    """\
%%flow --name model --quiet
x = fb.placeholder(("batch", 2))
w = fb.Variable([[0.5], [-1.0]])
h = fb.tanh(x @ w)
loss = fb.mean(fb.square(h - 1.0))
(dw,) = fb.gradients(loss, [w])""",
    "d = %flow debug loss dw --feed x=[[1.0,2.0],[3.0,1.0]]",
]
WIDTH, HEIGHT = 1200, 690
MOST = 1_500_000  # bytes
SETTLE = 450  # ms, after which a click is answered and drawn


def main(target: str = "docs/stepping.webp") -> None:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=[new_code_cell(text) for text in CELLS], metadata={"kernelspec": kernel})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stepping.ipynb"
        nbformat.write(notebook, path)
        with Lab(path, width=WIDTH, height=HEIGHT + 260) as lab:
            lab.hide_sidebar()
            lab.run_all()
            frames = list(film(lab))
            if lab.failures() or lab.errors:
                raise SystemExit("\n".join(lab.failures() + lab.errors))
    pictures, times = zip(*frames, strict=True)
    pictures[0].save(
        target,
        save_all=True,
        append_images=pictures[1:],
        duration=times,
        loop=0,
        quality=75,
        method=6,
        minimize_size=True,
    )
    size = Path(target).stat().st_size
    print(f"{target}: {len(pictures)} frames, {pictures[0].width} by {pictures[0].height}, {size / 1e6:.2f} MB")
    if size > MOST:
        raise SystemExit(f"larger than {MOST / 1e6} MB")


def film(lab: Lab) -> Iterator[tuple[Image.Image, int]]:
    """The frames, and for how many milliseconds each is shown."""
    page, view = lab.page, lab.page.locator(".fb-view").last
    view.locator(".fb-bar button[title^='Step (']:not([disabled])").wait_for()
    page.wait_for_timeout(2000)
    top = lab.page.locator(".jp-CodeCell").last
    top.evaluate("cell => cell.scrollIntoView()")
    page.wait_for_timeout(SETTLE)

    def shot() -> Image.Image:
        page.wait_for_timeout(SETTLE)
        box = top.bounding_box()
        clip = {"x": box["x"], "y": box["y"], "width": box["width"], "height": min(box["height"], HEIGHT)}
        return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")

    def press(title: str) -> Image.Image:
        view.locator(f".fb-bar button[title^='{title}']").click()
        return shot()

    def choose(name: str) -> None:
        view.locator(f'.fb-card[aria-label^="{name},"]').click()

    yield shot(), 1600
    for _ in range(5):  # forwards
        yield press("Step ("), 700
    yield press("Step back"), 700
    yield press("Step back"), 700
    yield press("To the end"), 1800  # the gradient river
    view.locator("select").select_option("gradient")
    yield shot(), 1800
    view.locator("select").select_option("state")
    yield from edit(view, choose, shot)
    for _ in range(3):  # and back
        yield press("Step back"), 500
    yield press("To the start"), 1200


def edit(view: Any, choose: Any, shot: Any) -> Iterator[tuple[Image.Image, int]]:
    """Another weight, and what it does to the loss."""
    choose("w")
    yield shot(), 1400
    field = view.locator(".fb-edit input").first
    field.click()
    field.type("x * -1")
    yield shot(), 1200
    field.press("Enter")
    yield shot(), 2600
    view.locator("text=undo").click()
    yield shot(), 1400


if __name__ == "__main__":
    main(*sys.argv[1:])
