"""C++ text to a library that can be loaded: which compiler, where the result is kept, what an error says.

Libraries are kept by a hash of all they are made of (text, own headers, flags, compiler, CPU, ``flowbook_op.h``), so
one that is there is never compiled again, and a changed one has another name. Files appear under their name when they
are complete: two processes may compile the same text at once.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from flowbook.errors import ArgumentError, FlowError

FLAGS = ("-O3", "-march=native", "-fPIC", "-shared", "-std=c++17", "-fvisibility=hidden")
NAME = "operator"  # what the compiler calls the text; texts with several operators are compiled once
BEFORE = "#include <flowbook_op.h>\n#include <cmath>\n"  # what every text may use without saying so
KEPT_DAYS = 90  # a library that nobody used for so long is deleted
ERRORS = 3  # that are shown
PATIENCE = 10.0  # seconds without a word


class NoCompiler(FlowError, RuntimeError):
    """There is no C++ compiler."""


class CompileError(FlowError, ValueError):
    """The C++ text of an operator is wrong."""


class Text(NamedTuple):
    """C++ text, and where its writer sees it."""

    text: str
    what: str  # the name that errors give it
    folder: Path | None = None  # of a file: where its own headers are
    offset: int = 0  # lines before it in the cell that it stands in
    place: str = ""  # what its lines are lines of, where that is not the cell


# ------------------------------------------------------------------------------------------------ the compiler


def compiler() -> list[str]:
    """The command of the C++ compiler: ``$CXX``, one on the path, or ``ziglang``; ``NoCompiler`` without any."""
    wanted = shlex.split(os.environ.get("CXX", ""))
    if wanted:
        found = shutil.which(wanted[0])
        if found is None:
            raise NoCompiler(f"there is no C++ compiler: CXX={os.environ['CXX']} is no program", hint="unset CXX")
        return [found, *wanted[1:]]
    for name in ("c++", "g++", "clang++"):
        found = shutil.which(name)
        if found is not None:
            return [found]
    if find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "c++"]
    raise NoCompiler(
        "there is no C++ compiler: no c++, g++ or clang++ on the path",
        hint="install the system's (such as apt install g++), or one from PyPI: pip install ziglang",
    )


def include() -> Path:
    """The folder of ``flowbook_op.h``: beside the library, or in the sources."""
    here = Path(__file__).resolve()
    for folder in (here.parent / "include", here.parents[2] / "kernels" / "include"):
        if (folder / "flowbook_op.h").is_file():
            return folder
    raise FlowError("flowbook_op.h is missing from this installation", hint="install flowbook again")


def _identity(command: Sequence[str]) -> str:
    """What tells a compiler from another version of it, without starting it."""
    if "ziglang" in command:
        found = find_spec("ziglang")
        program = found.origin if found is not None and found.origin else command[0]
    else:
        program = os.path.realpath(command[0])
    about = os.stat(program)
    return f"{program} {about.st_size} {about.st_mtime_ns}"


def _processor() -> str:
    """What ``-march=native`` stands for: a home folder may be shared between machines."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            rows = file.read().partition("\n\n")[0].splitlines()
        return "\n".join(row for row in rows if row.startswith(("model", "flags", "Features", "CPU")))
    except OSError:
        return platform.processor()


# ------------------------------------------------------------------------------------------------ the cache


def cache_folder() -> Path:
    """Where libraries are kept: ``$FLOWBOOK_CACHE``, or in the user's cache, or among temporary files. Of this user
    alone, as what is in it gets loaded."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    temporary = os.path.join(tempfile.gettempdir(), f"flowbook-{os.getuid() if hasattr(os, 'getuid') else 0}")
    wanted = os.environ.get("FLOWBOOK_CACHE") or os.path.join(base, "flowbook")
    for folder in (Path(wanted) / "operators", Path(temporary) / "operators"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            about = folder.stat()
            own = not hasattr(os, "getuid") or (
                about.st_uid == os.getuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            )
            if own and os.access(folder, os.W_OK | os.X_OK):
                return folder
        except OSError:
            pass
    return Path(tempfile.mkdtemp(prefix="flowbook-operators-"))


def _own_headers(text: str, folder: Path | None, seen: set[Path]) -> Iterator[bytes]:
    """The contents of what a file includes in quotes, and what that includes."""
    if folder is None:
        return
    for name in re.findall(r'^\s*#\s*include\s*"([^"\n]+)"', text, re.MULTILINE):
        path = (folder / name).resolve()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        content = path.read_bytes()
        yield f"{name} {len(content)}\n".encode() + content
        yield from _own_headers(content.decode("utf-8", "replace"), path.parent, seen)


def fingerprint(source: Text) -> Any:
    """A hash of the text and of its own headers."""
    digest = sha256(source.text.encode("utf-8", "surrogatepass"))
    for content in _own_headers(source.text, source.folder, set()):
        digest.update(content)
    return digest


def _prune(folder: Path) -> None:
    old = time.time() - KEPT_DAYS * 86400
    for path in folder.glob("*.so"):
        try:
            if path.stat().st_mtime < old:
                path.unlink()
        except OSError:
            pass


def build(source: Text, flags: Sequence[str] = ()) -> Path:
    """The library of a C++ text, compiled now or earlier.

    Raises ``CompileError`` with the compiler's words, ``NoCompiler``.
    """
    command = compiler()
    header = (include() / "flowbook_op.h").read_bytes()
    facts = (BEFORE, [*command, *FLAGS, *flags], _identity(command), _processor(), platform.platform())
    digest = fingerprint(source)
    digest.update(repr(facts).encode("utf-8", "surrogatepass") + header)
    folder = cache_folder()
    library = folder / f"{NAME}-{digest.hexdigest()[:32]}.so"
    if library.is_file():
        with suppress(OSError):
            os.utime(library)
        return library
    _prune(folder)
    with tempfile.TemporaryDirectory(prefix="compiling-", dir=folder) as inside:
        written, made = Path(inside) / "operator.cpp", Path(inside) / "operator.so"
        text = f'{BEFORE}#line 1 "{NAME}"\n{source.text}\n'
        written.write_text(text, encoding="utf-8", errors="surrogateescape")
        where = [f"-I{include()}"] + ([] if source.folder is None else ["-iquote", str(source.folder)])
        output, status = _run([*command, *FLAGS, *where, *flags, str(written), "-o", str(made)])
        if status != 0 or not made.is_file():
            raise _failure(source, output, str(written), status)
        os.replace(made, library)
    return library


def _run(command: Sequence[str]) -> tuple[str, int]:
    """What a compiler says, in English, and its status. When it takes long, a note says what is going on."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
    ) as process:
        try:
            try:
                output, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                first = ", which has to build its C++ library the first time" if "ziglang" in command else ""
                print(f"flowbook: compiling C++ code with {command[0]}{first} ...", file=sys.stderr)
                output, _ = process.communicate()
        except BaseException:  # Ctrl-C
            process.kill()
            raise
    return output.decode("utf-8", "replace"), process.returncode


# ------------------------------------------------------------------------------------------------ its errors


def _failure(source: Text, output: str, written: str, status: int) -> CompileError:
    """What the compiler said, in the user's own lines."""
    errors = re.findall(rf"^{NAME}:(\d+):(\d+): (?:fatal )?error: (.*)$", output, re.MULTILINE)
    if not errors:  # inside a header, with the user's line as the place that led there
        message = re.search(r"^.*?:\d+:\d+: (?:fatal )?error: (.*)$", output, re.MULTILINE)
        led = re.findall(rf"^{NAME}:(\d+):(\d+): +(?:required from here|note: in instantiation)", output, re.MULTILINE)
        if message and led:
            errors = [(*led[-1], message[1])]
    if not errors:
        rest = [row.replace(written, NAME) for row in output.strip().splitlines()[-12:]]
        said = "\n".join(f"  {row}" for row in rest) or f"  the compiler ended with status {status}"
        return CompileError(f"the C++ code of '{source.what}' does not compile:\n{said}")
    lines = source.text.splitlines()
    said = "".join(_told(int(row), int(column), message, lines, source) for row, column, message in errors[:ERRORS])
    more = f"\n  and {len(errors) - ERRORS} more" if len(errors) > ERRORS else ""
    return CompileError(f"the C++ code of '{source.what}' does not compile:{said}{more}")


def _told(row: int, column: int, message: str, lines: Sequence[str], source: Text) -> str:
    text = lines[row - 1] if 0 < row <= len(lines) else ""
    bare = text.lstrip()
    shown = f"\n      {bare.rstrip()}\n      {' ' * max(column - 1 - len(text) + len(bare), 0)}^" if bare else ""
    return f"\n  line {row + source.offset}{source.place}: {message}{shown}"


def check_flags(flags: object) -> tuple[str, ...]:
    """Further arguments for the compiler."""
    if isinstance(flags, str):
        flags = shlex.split(flags)
    if not isinstance(flags, (list, tuple)) or not all(isinstance(each, str) for each in flags):
        raise ArgumentError(f"flags={flags!r} are not arguments of a compiler", hint='flags=("-ffast-math",)')
    return tuple(flags)
