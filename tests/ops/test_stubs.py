"""The typed stub is current, formatted, and says what type checkers need to know."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flowbook as fb
from flowbook.errors import ArgumentError
from flowbook.graph.opdef import REGISTRY
from flowbook.ops import stubs

ROOT = Path(fb.__file__).parents[1]

USER_CODE = """
from __future__ import annotations

import numpy as np
import flowbook as fb

x = fb.placeholder(("batch", 3), "float32", name="x")
w = fb.Variable(np.zeros((3, 2)), name="w", trainable=True)
y: fb.Tensor = fb.tanh(x @ w + [1.0, 2.0]) * 2
total: fb.Tensor = fb.sum(y, axis=(0, 1), keepdims=True)
first, second = fb.split(y, 2, axis=1)
picked = fb.concat([first, np.ones((3, 1))], axis=-1)
done: fb.Node = fb.group(fb.assign(w, 0.0))
noise = fb.random.normal((2, 3), seed=1)
with fb.Session() as session:
    value = session.run(total, {x: [[1.0, 2.0, 3.0]]})
(dw,) = fb.gradients(total, [w])

fb.tanh("a text")  # wrong: arg-type
fb.sum(y, axis="rows")  # wrong: arg-type
fb.tanh(y, bad=1)  # wrong: call-arg
fb.astype(y)  # wrong: call-arg
number: int = fb.exp(y)  # wrong: assignment
fb.concat(y)  # wrong: arg-type
fb.argmax(y, axis=(0, 1))  # wrong: arg-type
fb.no_such_op(y)  # wrong: attr-defined
"""


def test_the_stub_is_current() -> None:
    assert stubs.difference() == "", "flowbook/__init__.pyi is out of date: python -m flowbook.ops.stubs --write"


def test_check_shows_the_difference(monkeypatch, tmp_path: Path, capsys) -> None:
    old = tmp_path / "__init__.pyi"
    old.write_text(stubs.stub().replace("def tanh(", "def tangent("))
    monkeypatch.setattr(stubs, "STUB", old)
    assert stubs.main(["--check"]) == 1
    text = capsys.readouterr().err
    assert "-def tangent(" in text and "+def tanh(" in text and "--write" in text
    assert stubs.main(["--write"]) == 0
    assert stubs.main(["--check"]) == 0
    assert stubs.main(["--nonsense"]) == 1


def test_every_public_name_is_in_the_stub() -> None:
    text = stubs.stub()
    for name, definition in REGISTRY.items():
        assert bool(re.search(rf"^def {name}\(", text, re.M)) == (not definition.hidden), name
    for name in ("Graph", "Tensor", "Node", "Session", "Variable", "gradients", "device", "errors", "random"):
        assert f" import {name} as {name}\n" in text, name
    compile(text, "__init__.pyi", "exec")


def test_an_attribute_without_a_type_is_an_error() -> None:
    parameter = inspect.Parameter("mystery", inspect.Parameter.KEYWORD_ONLY)
    with pytest.raises(ArgumentError, match="'mystery' of tanh") as caught:
        stubs._type(REGISTRY["tanh"], parameter)
    assert "annotate it in the kernel" in str(caught.value)


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "flowbook" / "py.typed").is_file()


def test_user_code_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "user.py"
    file.write_text(USER_CODE)
    options = ["--strict", "--no-pretty", "--no-error-summary", "--hide-error-context", "--no-color-output"]
    command = [
        sys.executable,
        "-m",
        "mypy",
        *options,
        "--config-file=",
        f"--cache-dir={ROOT / '.mypy_cache' / 'user-code'}",
    ]
    done = subprocess.run([*command, str(file)], cwd=ROOT, capture_output=True, text=True, check=False)
    # By name, not by path: what mypy has in its cache keeps the path of the run that found it.
    lines = re.findall(r"user\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.M)
    found = {(int(line), code) for line, code in lines}
    wanted = {
        (number, line.partition("# wrong: ")[2])
        for number, line in enumerate(USER_CODE.splitlines(), 1)
        if "# wrong: " in line
    }
    assert found == wanted, done.stdout + done.stderr
