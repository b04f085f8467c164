"""What ``%flow run`` and ``%flow profile`` show: text that does not change from run to run, pictures beside it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import flowbook as fb
from flowbook.notebook import Profile
from flowbook.notebook.cells import run_cell
from flowbook.notebook.pictures import SIDE, ascii_only, picture
from flowbook.notebook.text import distinct
from flowbook.notebook.values import format_value
from tests.notebook.conftest import Notebook
from tests.notebook.kernels import Kernel


def pixels(value: Any) -> Any:
    """The colours of a picture below its two lines of text, without what is transparent."""
    found = picture([("v", value)])
    assert found is not None
    image = np.asarray(Image.open(io.BytesIO(found.png)))
    body = image[60:]
    return body[body[..., 3] == 255][:, :3]


def test_large_values_come_with_a_picture_and_the_text(cell: Notebook) -> None:
    cell("%%flow --quiet\nx = fb.placeholder((8, 8))\ny = x * 2.0\ns = fb.sum(y)")
    ran = cell("%flow run y s --feed x=np.eye(8)")
    assert [sorted(each) for each in ran.shown] == [["image/png"]]
    assert repr(ran.result) == "y  float32 (8, 8)  0 to 2, mean 0.25  █▁▁▁▁▁▁▁▁▁▁▂\ns  float32 ()      16"
    assert cell("kept = %flow run y --feed x=np.eye(8)").shown == []  # assigned, not shown
    assert cell("%flow run s --feed x=np.eye(8)").shown == []


def test_colours_tell_the_sign_and_what_is_not_finite() -> None:
    value = np.zeros((16, 16))
    value[0, 0], value[1, 1], value[2, 2] = -1, 1, np.nan
    found = {tuple(each) for each in pixels(value).tolist()}
    assert found == {(247, 247, 247), (33, 102, 172), (178, 80, 24), (209, 36, 47)}
    assert {tuple(each) for each in pixels(np.eye(8, dtype=bool)).tolist()} == {(38, 50, 84), (250, 222, 130)}


def test_images_keep_their_colours() -> None:
    red = np.zeros((2, 8, 8, 3), np.uint8)
    red[..., 0] = 200
    assert {tuple(each) for each in pixels(red).tolist()} == {(200, 0, 0)}


@pytest.mark.parametrize("shape", [(5000, 4), (4, 5000), (3, 40, 40), (2, 9, 9, 16), (2, 3, 9, 9, 9), (7, 9, 9, 1)])
def test_pictures_stay_small(shape: tuple[int, ...]) -> None:
    found = picture([("long name " * 10, np.random.default_rng(0).normal(size=shape))] * 9)
    assert found is not None and found.width <= 1100 and found.height <= 9 * (2 * SIDE + 60)
    assert len(found.png) < 500_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.full((8, 8), np.nan), "64 nan"),
        (np.array([np.inf] * 20 + [1.0] * 20), "1, 20 inf"),
        (np.arange(100) * 1j, "absolute values 0 to 99"),
        (np.array([-1e308, 1e308] * 20).reshape(5, 8), "-1e+308 to 1e+308, mean 0"),
        (np.arange(64, dtype=np.uint8).reshape(8, 8), "0 to 63, mean 31.5  █▇▇▇█▇▇▇█▇▇█"),
    ],
)
def test_unusual_values_have_a_text(value: Any, text: str) -> None:
    found = format_value(value)
    assert found == text or found.startswith(text + "  ")
    picture([("v", value)])  # does not raise


def test_a_profile_measures_every_node(cell: Notebook) -> None:
    cell("%%flow --quiet\nx = fb.placeholder((64, 64))\ny = fb.matmul(x, x)\nz = fb.sum(y)")
    found = fb.notebook.profile({"z": cell.names["z"]}, {"x": np.ones((64, 64), np.float32)}, steps=4)
    assert [(row.node, row.op, row.runs, row.bytes) for row in found.rows] == [
        ("y", "matmul", 4, 64 * 64 * 4),
        ("z", "sum", 4, 4),
    ]
    assert all(0 < row.least <= row.seconds <= row.most for row in found.rows)
    assert sum(row.share for row in found.rows) == pytest.approx(1)
    assert sum(row.seconds for row in found.rows) <= found.total * 1.5
    assert "µs" in str(found) or "ms" in str(found)


def test_a_profile_says_what_its_shares_are_of(cell: Notebook) -> None:
    cell("%%flow --quiet\nx = fb.placeholder((64, 64))\ny = fb.matmul(x, x)\nz = fb.sum(y)")
    found = fb.notebook.profile({"z": cell.names["z"]}, {"x": np.ones((64, 64), np.float32)}, steps=3)
    assert found.computing == pytest.approx(sum(row.seconds for row in found.rows)) and found.computing > 0
    head = str(found).splitlines()[0]
    assert re.fullmatch(r"3 x .+ \(median\), 2 nodes; shares are of the .+ that the nodes took together", head)


def test_nodes_of_one_name_in_two_cells_are_two_in_a_profile() -> None:
    graph, space = fb.Graph(), {"fb": fb}
    run_cell("x = fb.placeholder(())\nh = fb.exp(x)\ny = h * 2.0", space, name="one", graph=graph)
    first = space["y"]
    run_cell("h = fb.exp(x)\nz = h * 3.0", space, name="two", graph=graph)
    session = fb.Session(graph)
    session.run([first, space["z"]], {"x": 1.0}, trace=True)
    assert sorted(row.node for row in Profile([session.trace]).rows) == ["h (cell one)", "h (cell two)", "y", "z"]


@pytest.mark.parametrize(
    "names",
    [
        [f"minimize/gradients/transformer/block_{each}/attention/query/kernel" for each in range(30)],
        [f"{'x' * 40}{each}{'y' * 60}{other}" for each in range(3) for other in range(3)],
        ["a" * 50, "a" * 51, "a" * 36, "a"],
        ["größe", "gräße", "size"],
        ["k" * 80 + letter for letter in "äöü"],
    ],
)
def test_names_that_are_cut_stay_different(names: list[str]) -> None:
    shown = distinct(names, 36, ascii_only)
    assert len(set(shown)) == len(names) and all(len(each) <= 38 for each in shown)  # .. stands for …
    assert distinct(list(reversed(names)), 36, ascii_only)[-1] in shown
    assert "size" in shown or "size" not in names


def test_a_node_with_a_body_counts_once(cell: Notebook) -> None:
    cell("%%flow --quiet\nc = fb.cond(fb.constant(True), lambda: fb.constant(1.0) * 2.0, lambda: fb.constant(3.0))")
    found = fb.notebook.profile({"c": cell.names["c"]}, steps=2)
    assert [row.op for row in found.rows] == ["cond"]


def test_what_was_measured_is_not_in_the_text(cell: Notebook) -> None:
    cell("%%flow --quiet\ny = fb.sum(fb.random.normal((64, 64), name='r'))")
    found = cell("%flow profile y --steps 3")
    assert found.result is None and "3 x" in found.out and "median" in found.out  # a terminal prints it
    profile = fb.notebook.profile()
    assert isinstance(profile, Profile) and profile.runs == 1  # of the last traced run
    data, metadata = profile._repr_mimebundle_()
    assert data["text/plain"].startswith("profile of 1 run, 2 nodes") and "µs" not in data["text/plain"]
    assert data["image/png"][:4] == b"\x89PNG" and metadata["flowbook"]["rows"][0]["seconds"] > 0


def test_a_profile_of_nothing_says_what_to_do(cell: Notebook) -> None:
    ran = cell("%flow profile")
    assert not ran.ok and "no run was traced yet" in ran.out and "--trace" in ran.out
    assert "not a number of steps" in cell("%flow profile y --steps x").err + cell("%flow profile --steps 0").err


def test_a_run_is_exported_to_one_file(cell: Notebook, tmp_path: Path) -> None:
    cell("%%flow --quiet\nx = fb.placeholder((2,))\ny = fb.exp(x, name='the_exponential')")
    ran = cell(f"%flow export {tmp_path}/run.html")
    assert not ran.ok and "no traced run" in ran.out
    ran = cell(f"%flow export {tmp_path}/run.html y --feed x=[1,2] --title 'Two numbers'")
    assert ran.ok and repr(ran.result).startswith("wrote ")
    page = (tmp_path / "run.html").read_text()
    assert "<title>Two numbers</title>" in page and "http://" not in page.split("<script>")[0]
    assert cell(f"%flow export {tmp_path}/again.html").ok  # of that run
    assert "FileError" in cell(f"%flow export {tmp_path}/no/folder.html").out


def test_why_names_the_rule(cell: Notebook) -> None:
    cell("%%flow --quiet --name net\nx = fb.placeholder((2,))\nl = fb.log(x)\ny = fb.sum(l * x)")
    text = repr(cell("%flow why y --feed x=[1,0]").result)
    assert "begins in 'l'[1] (log)" in text and "net:3  l = fb.log(x)" in text
    assert "finite" in repr(cell("%flow why y --feed x=[1,2]").result)


def test_a_profile_in_a_kernel_is_a_picture(kernel: Kernel) -> None:
    kernel("%%flow --quiet\ny = fb.sum(fb.random.normal((64, 64), name='r'))")
    data = kernel("%flow profile y")["data"][0]
    assert data["text/plain"].startswith("profile of 10 runs, 2 nodes") and data["image/png"].startswith("iVBOR")


def test_ctrl_c_in_a_single_run_is_not_swallowed() -> None:
    def interrupted(value: Any) -> Any:
        raise KeyboardInterrupt

    with fb.Graph().as_default():
        y = fb.py_function(interrupted, [fb.constant(1.0)], "float32", shapes=())
        with pytest.raises(KeyboardInterrupt):
            fb.notebook.run({"y": y})
        assert fb.notebook.run({"y": y}, steps=2).steps == 0  # of several, what is done is kept and told
