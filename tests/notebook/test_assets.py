"""The built view is what its sources give: a stale bundle fails here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from flowbook.notebook import assets

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "extension"


def tools() -> str | None:
    """Why nothing can be built here, or None."""
    if shutil.which("node") is None:
        return "needs Node"
    return None if (EXTENSION / "node_modules" / "esbuild").is_dir() else "needs `npm ci` in extension/"


@pytest.fixture
def node() -> str:
    if reason := tools():
        pytest.skip(reason)
    return str(shutil.which("node"))


def test_the_committed_bundles_are_what_the_sources_give(node: str, tmp_path: Path) -> None:
    subprocess.run([node, "build.mjs", str(tmp_path)], cwd=EXTENSION, check=True, timeout=120)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in assets.FOLDER.iterdir()}
    stale = [name for name in {*built, *kept} if built.get(name) != kept.get(name)]
    assert not stale, f"stale: {stale}; `make extension` builds them again"


def test_types_and_unit_tests_of_the_view(node: str) -> None:
    for command in (["node_modules/typescript/bin/tsc", "--noEmit"], ["node_modules/vitest/vitest.mjs", "run"]):
        done = subprocess.run([node, *command], cwd=EXTENSION, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def test_the_bundles_are_small_and_know_no_place_of_their_own() -> None:
    assert len(assets.page().encode()) < 1_000_000 and len(assets.widget().encode()) < 1_000_000
    for path in assets.FOLDER.iterdir():
        text = path.read_bytes()
        assert str(ROOT).encode() not in text and b"sourceMappingURL" not in text, path.name


def test_the_lock_file_names_no_other_registry() -> None:
    import json

    lock = json.loads((EXTENSION / "package-lock.json").read_text(encoding="utf-8"))
    found = {entry["resolved"] for entry in lock["packages"].values() if "resolved" in entry}
    assert all(each.startswith("https://registry.npmjs.org/") for each in found)
    assert all("integrity" in entry for name, entry in lock["packages"].items() if name)
