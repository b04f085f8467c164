"""The built view is what its sources give: a stale bundle fails here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

from flowbook.notebook import assets

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "extension"
LAB = EXTENSION / "labextension"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tools() -> str | None:
    """Why nothing can be built here, or None."""
    if shutil.which("node") is None:
        return "needs Node"
    return None if (EXTENSION / "node_modules" / "@jupyter" / "builder").is_dir() else "needs `npm ci` in extension/"


@pytest.fixture
def node() -> str:
    if reason := tools():
        pytest.skip(reason)
    return str(shutil.which("node"))


def test_the_committed_bundles_are_what_the_sources_give(node: str, tmp_path: Path) -> None:
    subprocess.run([node, "build.mjs", str(tmp_path)], cwd=EXTENSION, check=True, timeout=120)
    built = files(tmp_path)
    kept = files(assets.FOLDER) | {f"labextension/{name}": data for name, data in files(LAB).items()}
    stale = [name for name in {*built, *kept} if built.get(name) != kept.get(name)]
    assert not stale, f"stale: {stale}; `make extension` builds them again"


def test_types_and_unit_tests_of_the_view(node: str) -> None:
    for command in (["node_modules/typescript/bin/tsc", "--noEmit"], ["node_modules/vitest/vitest.mjs", "run"]):
        done = subprocess.run([node, *command], cwd=EXTENSION, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def test_the_bundles_are_small_and_know_no_place_of_their_own() -> None:
    assert len(assets.page().encode()) < 1_000_000 and len(assets.widget().encode()) < 1_000_000
    for name, text in {**files(assets.FOLDER), **files(LAB)}.items():
        assert str(ROOT).encode() not in text and b"sourceMappingURL" not in text, name


def test_the_lock_file_names_no_other_registry() -> None:
    lock = json.loads((EXTENSION / "package-lock.json").read_text(encoding="utf-8"))
    found = {entry["resolved"] for entry in lock["packages"].values() if "resolved" in entry}
    assert all(each.startswith("https://registry.npmjs.org/") for each in found)
    assert all("integrity" in entry for name, entry in lock["packages"].items() if name)


def test_the_extension_that_is_installed_is_the_one_that_was_built() -> None:
    """`pip install` puts it where JupyterLab looks, without Node; an installed one may be older than the checkout's."""
    from importlib.metadata import files as installed

    found = {
        path.as_posix().partition("/labextensions/flowbook-graph/")[2]: Path(str(path.locate())).read_bytes()
        for path in installed("flowbook-graph") or ()
        if "/labextensions/flowbook-graph/" in path.as_posix()
    }
    assert found == files(LAB), "`make venv` installs it again"


def test_the_extension_is_for_the_version_of_the_package() -> None:
    about = json.loads((LAB / "package.json").read_text(encoding="utf-8"))
    assert about["name"] == "flowbook-graph" and about["version"] == version("flowbook-graph")


def test_what_the_bundles_hold_of_others_is_named_with_its_license() -> None:
    text = (EXTENSION / "LICENSE-THIRD-PARTY.txt").read_text(encoding="utf-8")
    lock = json.loads((EXTENSION / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    bundle = (assets.FOLDER / "layout.js").read_text(encoding="utf-8")
    # JupyterLab shows these in its Help menu.
    for each in json.loads((LAB / "static" / "third-party-licenses.json").read_text(encoding="utf-8"))["packages"]:
        assert each["versionInfo"] == lock[f"node_modules/{each['name']}"]["version"]
        assert f"{each['name']} {each['versionInfo']}" in text and each["extractedText"] == text
    assert re.findall(r"Viz\.js [\d.]+", bundle) == re.findall(r"^Viz\.js [\d.]+", text, re.MULTILINE)
    assert "Eclipse Public License - v 2.0" in text
    # An exported page says in front of the program what it is, and so does the program.
    assert set(re.findall(r"Viz\.js [\d.]+\d", assets.page())) == set(
        re.findall(r"^Viz\.js [\d.]+", text, re.MULTILINE)
    )
    assert assets.page().startswith("/*! Laid out by Viz.js ")
    about = metadata("flowbook-graph")
    assert about.get_all("License-File") == ["LICENSE", "extension/LICENSE-THIRD-PARTY.txt"]


@pytest.mark.slow
def test_the_wheel_of_the_source_distribution_holds_what_is_installed_and_no_more(tmp_path: Path) -> None:
    """Without Node and without the network: the build backend is part of the test environment."""
    pytest.importorskip("scikit_build_core")

    def build(what: str, source: Path) -> Path:
        code = f"import sys; from scikit_build_core.build import {what}; print({what}(sys.argv[1]))"
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            cwd=source,
            env={"PATH": "", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return tmp_path / done.stdout.splitlines()[-1]

    with tarfile.open(build("build_sdist", ROOT)) as sources:
        sources.extractall(tmp_path / "sources", filter="data")
    (unpacked,) = (tmp_path / "sources").iterdir()
    assert not {"node_modules", "build", ".venv", ".git", "__pycache__"} & {
        part for path in unpacked.rglob("*") for part in path.relative_to(unpacked).parts
    }
    assert {"labextension", "src", "tests", "package-lock.json"} <= {
        path.name for path in (unpacked / "extension").iterdir()
    }
    with zipfile.ZipFile(build("build_wheel", unpacked)) as wheel:
        held = {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    name = f"flowbook_graph-{version('flowbook-graph')}"
    place = f"{name}.data/data/share/jupyter/labextensions/flowbook-graph/"
    wanted = {f"{place}{path}": data for path, data in files(LAB).items()}
    wanted |= {
        f"flowbook/{path}": data
        for path, data in files(ROOT / "flowbook").items()
        if path.endswith((".py", ".pyi", ".js", "py.typed"))
    }
    about = [f"{name}.dist-info/{each}" for each in ("METADATA", "WHEEL", "RECORD")]
    wanted |= {
        f"{name}.dist-info/licenses/{each}": (ROOT / each).read_bytes()
        for each in ("LICENSE", "extension/LICENSE-THIRD-PARTY.txt")
    }
    assert {each: held[each] for each in held if each not in about} == wanted
    assert set(about) < set(held) and "flowbook/py.typed" in held
