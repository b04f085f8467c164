"""The built view is what its sources give: a stale bundle fails here."""

from __future__ import annotations

import shutil
import subprocess
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
    import json

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
    import json
    from importlib.metadata import version

    about = json.loads((LAB / "package.json").read_text(encoding="utf-8"))
    assert about["name"] == "flowbook-graph" and about["version"] == version("flowbook-graph")
