"""Golden texts: compared with the file beside the test; ``pytest --update-golden`` writes it."""

from __future__ import annotations

import pathlib

import pytest


@pytest.fixture
def golden(request):
    """``golden(name, text)``: the text has to be the one stored under that name."""
    path = pathlib.Path(request.path).with_suffix(".golden")

    def compare(name: str, text: str) -> None:
        stored = _read(path)
        if request.config.getoption("--update-golden"):
            stored[name] = text
            path.write_text("".join(f"=== {key}\n{value}\n\n" for key, value in sorted(stored.items())))
        assert text == stored.get(name), f"no golden text for {name!r}" if name not in stored else None

    return compare


def _read(path: pathlib.Path) -> dict[str, str]:
    if not path.exists():
        return {}
    parts = path.read_text().split("=== ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2].rstrip("\n") for part in parts}
