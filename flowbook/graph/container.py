r"""The one file format: a JSON document and named NumPy arrays, in one file.

Checkpoints, saved graphs, traces and repro files are all containers; they differ in their *kind* and in what
their document says. Reading one runs no code, whatever is in it, and takes time and memory in proportion to
its size: two bytes per byte of the arrays, and what Python takes to hold the document.

>>> data = dumps("graph", {"title": "demo", "limit": float("inf")}, {"w": np.arange(3)})
>>> document, arrays = loads(data, "graph")
>>> document
{'title': 'demo', 'limit': inf}
>>> arrays["w"]
array([0, 1, 2])

The bytes
---------

All integers are little-endian. ``H`` is the length of the header.

====== ====== ======================================================================
offset length meaning
====== ====== ======================================================================
0      8      the magic ``FLOWBOOK``, in ASCII
8      4      format version, u32: 1
12     8      ``H``, u64
20     32     SHA-256 of everything after it, from offset 52 to the end of the file
52     H      header, JSON in UTF-8
52+H   ...    for each array: zero bytes up to the next multiple of 64, counted from
              the start of the file, then its data
====== ====== ======================================================================

The file ends with the last array's data, or with the header when there are none. The digest does not cover
the first 20 bytes and need not: magic and version are compared, and only one ``H`` fits both the header's
text and the end of the file.

The header is an object with exactly these members::

    {"kind": "graph",
     "document": {...},
     "arrays": {"w": {"dtype": "int64", "shape": [3], "offset": 0, "nbytes": 24}, ...}}

An ``offset`` counts from the place of the first array, which is the first multiple of 64 at or after
``52+H``. Data is little-endian and in C order; ``nbytes`` is the product of ``shape`` and the dtype's size.
The dtypes are :data:`DTYPES`; a bool is a byte 0 or 1. Arrays lie in the order of their offsets, an array of
no bytes before a longer one of the same offset, with nothing but the padding between them.

JSON has no infinities and no NaN, so the header holds ``{"$float": "nan"}``, ``{"$float": "inf"}`` and
``{"$float": "-inf"}`` in their place. (The sign and payload of a NaN in the *document* are not kept; in an
array every bit is.) To keep such objects apart from a document's own, every key that starts with ``$`` is
written with one more ``$``; any other single ``$`` is an error. Finite floats are written with digits that
read back to the same float. Tuples become lists. Refused: duplicate keys, ``NaN`` and ``Infinity`` as bare
words, numbers of more than 640 digits or too large for float64, surrogates, and nesting deeper than
:data:`MAX_DEPTH`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import stat
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from flowbook.errors import ArgumentError, FileError

__all__ = ["DTYPES", "MAX_DEPTH", "VERSION", "dumps", "loads", "path_name", "read", "write"]

Document: TypeAlias = dict[str, Any]
Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

VERSION: Final = 1
"""The format version that is written, and the newest that is read."""

DTYPES: Final = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
"""The dtypes an array may have, by NumPy name."""

MAX_DEPTH: Final = 256
"""How deep the header's objects and arrays may nest, the header itself counted as 1."""

_MAGIC: Final = b"FLOWBOOK"
_PREFIX: Final = struct.Struct("<8sIQ32s")  # magic, version, header length, digest
_DIGESTED: Final = _PREFIX.size  # where the bytes under the digest start
_ALIGNMENT: Final = 64
_MAX_RANK: Final = 64  # NumPy's own limit
_MAX_DIGITS: Final = 640  # the longest number every Python converts, however it is configured
_MAX_INT: Final = 10**_MAX_DIGITS
_LITTLE: Final = {name: np.dtype(name).newbyteorder("<") for name in DTYPES}
_NON_FINITE: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_TO_TEXT: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
_DAMAGED_HINT: Final = "the file is incomplete or was changed; restore it from a copy, or save it again"

_LOADERS: Final = {
    "checkpoint": "Session.restore",
    "graph": "load_graph",
    "trace": "Trace.load",
    "repro": "load_repro",
}


# --- files ----------------------------------------------------------------------------------------


def write(
    path: str | os.PathLike[str],
    kind: str,
    document: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
) -> None:
    """Write a file, all or nothing: when this fails, a file that was at ``path`` is still there, unchanged.

    The bytes go to a new file ``.flowbook-*.tmp`` in the same folder, which takes the old one's place (and
    permissions) once it is safely on disk. A symbolic link stays, and the file it points to is replaced.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "weights.flow")
    ...     write(path, "checkpoint", {"runs": 3}, {"w": np.ones((2, 2))})
    ...     document, arrays = read(path, "checkpoint")
    >>> document["runs"], arrays["w"].shape
    (3, (2, 2))
    """
    name = path_name(path)
    parts = _encode(kind, document, arrays)
    try:
        _replace_file(name, parts)
    except (OSError, ValueError) as error:  # ValueError: a path the system cannot express
        raise _os_failure("write", name, error) from error


def read(path: str | os.PathLike[str], kind: str) -> tuple[Document, Arrays]:
    """Read a file of the given kind: its document and its arrays, which are fresh, writable and in C order.

    >>> read("no/such/file.flow", "graph")
    Traceback (most recent call last):
    flowbook.errors.FileError: cannot read no/such/file.flow: No such file or directory
    """
    name = path_name(path)
    try:
        with open(name, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "Not a regular file")
            data = file.read(len(_MAGIC))
            if data == _MAGIC:  # only then is it worth the memory
                file.seek(0)
                data = file.read(status.st_size)
    except (OSError, ValueError) as error:
        raise _os_failure("read", name, error) from error
    try:
        return loads(data, kind)
    except FileError as error:
        raise FileError(f"{name}: {error.message}", hint=error.hint) from error


def path_name(path: str | os.PathLike[str]) -> str:
    """A path as text; ``ArgumentError`` for what is none."""
    try:
        return os.fsdecode(path)
    except TypeError:
        raise ArgumentError(f"{path!r} is not a path", hint="text, or a pathlib.Path") from None


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a path; a named pipe with nobody at its other end does not block (and is refused afterwards)."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


def _replace_file(name: str, parts: Iterable[bytes | memoryview]) -> None:
    target = os.path.realpath(name)
    try:
        old_mode: int | None = os.stat(target).st_mode
    except FileNotFoundError:
        old_mode = None
    if old_mode is not None:
        if stat.S_ISDIR(old_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(old_mode):
            raise OSError(errno.EINVAL, "Not a regular file")
        if not os.access(target, os.W_OK):  # a rename would not ask
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    temporary = os.path.join(os.path.dirname(target), f".flowbook-{secrets.token_hex(8)}.tmp")
    file = open(temporary, "xb")  # noqa: SIM115 - closed below, before it is renamed or removed
    try:
        with file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        if old_mode is not None:
            os.chmod(temporary, stat.S_IMODE(old_mode))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _os_failure(verb: str, name: str, error: OSError | ValueError) -> FileError:
    reason = getattr(error, "strerror", None) or str(error)
    return FileError(f"cannot {verb} {name}: {reason}")


# --- writing --------------------------------------------------------------------------------------


def dumps(kind: str, document: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The bytes of a container; equal input, in equal order, gives equal bytes.

    >>> dumps("trace", {}, {})[:8]
    b'FLOWBOOK'
    >>> dumps("graph", {"nodes": [{"op": object}]}, {})
    Traceback (most recent call last):
    flowbook.errors.FileError: document.nodes[0].op: a value of type type cannot be stored
      hint: ...
    """
    return b"".join(_encode(kind, document, arrays))


def _encode(kind: str, document: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> list[bytes | memoryview]:
    """The pieces of a file, in order. Arrays that already are as the file wants them are not copied."""
    if not isinstance(kind, str):
        raise FileError(f"the kind of a file is text, not {_quote(kind)}")
    if not isinstance(document, Mapping):
        raise FileError(f"the document of a file is a dict, not {_quote(document)}")
    entries: dict[str, dict[str, Any]] = {}
    blocks: list[memoryview] = []
    end = 0  # of the array before, counted like offsets
    for name, array in arrays.items():
        raw = _little_endian(name, array)
        offset = end + _padding(end)
        entries[name] = {
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "offset": offset,
            "nbytes": raw.nbytes,
        }
        blocks.append(raw.data)
        end = offset + raw.nbytes

    header = _encode_header({"kind": kind, "document": document, "arrays": entries})
    body: list[bytes | memoryview] = [header]
    position = _DIGESTED + len(header)
    for block in blocks:
        padding = _padding(position)
        body += [bytes(padding), block]
        position += padding + len(block)

    digest = hashlib.sha256()
    for part in body:
        digest.update(part)
    return [_PREFIX.pack(_MAGIC, VERSION, len(header), digest.digest()), *body]


def _padding(position: int) -> int:
    """How many bytes lead from ``position`` to the next multiple of the alignment."""
    return -position % _ALIGNMENT


def _little_endian(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The bytes of an array as the file holds them."""
    if not isinstance(array, np.ndarray):
        raise FileError(f"array {_quote(name)}: a {type(array).__name__} is not a NumPy array")
    if array.dtype.name not in DTYPES:
        raise FileError(
            f"array {_quote(name)}: dtype {array.dtype} cannot be stored",
            hint=f"convert it with .astype; files hold {', '.join(DTYPES)}",
        )
    if array.dtype == np.bool_:
        array = array.view(np.uint8) != 0  # memory seen as bool may hold other bytes than 0 and 1
    plain = np.asarray(array, dtype=_LITTLE[array.dtype.name], order="C")
    return plain.reshape(-1).view(np.uint8)


def _encode_header(header: Mapping[str, Any]) -> bytes:
    try:
        return _TO_TEXT.encode(_to_json(header, [], 0)).encode("utf-8")
    except UnicodeEncodeError as error:
        around = error.object[max(0, error.start - 20) : error.start + 20]
        raise FileError(f"text with a lone surrogate cannot be stored: {_quote(around)}") from None


def _to_json(value: Any, path: list[str | int], depth: int) -> Any:
    """A value as plain JSON values. ``path`` leads to it, for messages; ``depth`` containers surround it."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if not -_MAX_INT < value < _MAX_INT:
            raise FileError(f"{_spell(path)}: an integer of more than {_MAX_DIGITS} digits cannot be stored")
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth >= MAX_DEPTH:
        raise FileError(f"{_spell(path[:8])}...: nested deeper than {MAX_DEPTH} levels, or contains itself")
    if isinstance(value, float):
        return {"$float": "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}
    if isinstance(value, Mapping):
        members: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise FileError(f"{_spell(path)}: the key {_quote(key)} is not text")
            path.append(key)
            members["$" + key if key.startswith("$") else key] = _to_json(item, path, depth + 1)
            path.pop()
        return members
    if isinstance(value, list | tuple):
        items: list[Any] = []
        for position, item in enumerate(value):
            path.append(position)
            items.append(_to_json(item, path, depth + 1))
            path.pop()
        return items
    raise FileError(
        f"{_spell(path)}: a value of type {type(value).__name__} cannot be stored",
        hint="documents hold None, bool, int, float, str, list, tuple and dict; NumPy arrays go into arrays",
    )


def _spell(path: Iterable[str | int]) -> str:
    """A path as text.

    >>> _spell(["document", "nodes", 3, "op"])
    'document.nodes[3].op'
    """
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


# --- reading --------------------------------------------------------------------------------------


def loads(data: bytes, kind: str) -> tuple[Document, Arrays]:
    """The document and the arrays in the bytes of a container of the given kind.

    >>> loads(b"PK...", "graph")
    Traceback (most recent call last):
    flowbook.errors.FileError: not a flowbook file
    >>> loads(dumps("graph", {}, {}), "trace")
    Traceback (most recent call last):
    flowbook.errors.FileError: this is a file of kind "graph"; expected was "trace"
      hint: load it with load_graph; Trace.load takes files of kind "trace"
    """
    if not data.startswith(_MAGIC):
        raise FileError("not a flowbook file" if data else "not a flowbook file: it is empty")
    if len(data) < _DIGESTED:
        _damaged("it ends too early")
    _, version, header_length, digest = _PREFIX.unpack_from(data)
    if version > VERSION:
        raise FileError(
            f"written by a newer flowbook (file format {version}; this one reads up to {VERSION})",
            hint="upgrade flowbook",
        )
    if version < 1:
        _damaged(f"there is no file format {version}")
    _check_digest(digest, memoryview(data)[_DIGESTED:])
    if header_length > len(data) - _DIGESTED:
        _damaged("its header is longer than the file")
    data_start = _DIGESTED + header_length
    header = _decode_header(data[_DIGESTED:data_start])

    found, document, entries = header["kind"], header["document"], header["arrays"]
    if not isinstance(found, str):
        _damaged("its kind is not text")
    if found != kind:
        raise _wrong_kind(found, kind)
    if not isinstance(document, dict) or not isinstance(entries, dict):
        _damaged("its document or its table of arrays is not an object")
    return document, _decode_arrays(entries, data, data_start)


def _damaged(reason: str) -> NoReturn:
    raise FileError(f"damaged: {reason}", hint=_DAMAGED_HINT)


def _check_digest(digest: bytes, body: memoryview) -> None:
    if hashlib.sha256(body).digest() != digest:
        _damaged("its checksum does not match its content")


def _wrong_kind(found: str, expected: str) -> FileError:
    advice = []
    if found in _LOADERS:
        advice.append(f"load it with {_LOADERS[found]}")
    if expected in _LOADERS:
        advice.append(f"{_LOADERS[expected]} takes files of kind {_quote(expected)}")
    return FileError(
        f"this is a file of kind {_quote(found)}; expected was {_quote(expected)}",
        hint="; ".join(advice) or None,
    )


def _decode_header(raw: bytes) -> Document:
    _check_text(raw)
    try:
        header = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_from_pairs,
            parse_int=_number(int),
            parse_float=_number(float),
            parse_constant=_refuse_constant,
        )
    except FileError:
        raise
    except ValueError as error:  # not UTF-8, or not JSON
        raise FileError(f"damaged: its header is not JSON: {error}", hint=_DAMAGED_HINT) from None
    if not isinstance(header, dict) or header.keys() != {"kind", "document", "arrays"}:
        _damaged("its header does not have the members kind, document and arrays")
    return header


def _check_text(raw: bytes) -> None:
    """Refuse what the JSON parser would not: deep nesting (it recurses) and surrogates (it lets them pass).

    Up to the first place where the bytes are not JSON, and the parser stops, this sees the same nesting as
    the parser. It works on whole arrays, as a loop over characters would take longer than the parsing.

    >>> _check_text(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    >>> _check_text(rb'"\\" [[[[')
    """
    plain = raw.replace(rb"\\", b"").replace(rb"\"", b"")  # now every quote begins or ends a string
    if _SURROGATE.search(plain):
        _damaged("its header holds an escaped surrogate")
    text = np.frombuffer(plain, np.uint8)
    outside = ~np.bitwise_xor.accumulate(text == ord('"'))
    opens = outside & ((text == ord("[")) | (text == ord("{")))
    closes = outside & ((text == ord("]")) | (text == ord("}")))
    steps = opens.astype(np.int8) - closes.astype(np.int8)
    if np.cumsum(steps, dtype=np.int64).max(initial=0) > MAX_DEPTH:
        _damaged(f"its header is nested deeper than {MAX_DEPTH} levels")


def _from_pairs(pairs: list[tuple[str, Any]]) -> Any:
    """A JSON object as the value it stands for; see the module's text for the meaning of ``$``."""
    members = dict(pairs)
    if len(members) != len(pairs):
        _damaged("an object in its header has two members of one name")
    if not any(key.startswith("$") for key in members):
        return members
    if members.keys() == {"$float"}:
        spelled = members["$float"]
        if isinstance(spelled, str) and spelled in _NON_FINITE:
            return _NON_FINITE[spelled]
    if not all(key.startswith("$$") for key in members if key.startswith("$")):
        _damaged("an object in its header has a reserved key, one that starts with a single $")
    return {key[1:] if key.startswith("$") else key: value for key, value in pairs}


def _number(convert: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if len(text) > _MAX_DIGITS + text.startswith("-"):
            _damaged(f"a number in its header has more than {_MAX_DIGITS} digits")
        value = convert(text)
        if value in (math.inf, -math.inf):
            _damaged("a number in its header is too large for float64")
        return value

    return parse


def _refuse_constant(word: str) -> NoReturn:
    _damaged(f"its header holds {word}, which is not JSON")


def _decode_arrays(entries: dict[str, Any], data: bytes, header_end: int) -> Arrays:
    """The arrays, in the header's order, after every byte behind the header is accounted for."""
    checked = {name: _check_entry(name, entry) for name, entry in entries.items()}
    start = header_end + _padding(header_end)  # offsets count from here
    position = header_end
    for name, (_, _, offset, nbytes) in sorted(checked.items(), key=lambda item: item[1][2:]):
        expected = position + _padding(position)
        if start + offset != expected:
            _damaged(f"array {_quote(name)} overlaps another one, or leaves a gap")
        if expected + nbytes > len(data):
            _damaged(f"array {_quote(name)} reaches beyond the end of the file")
        if any(data[position:expected]):
            _damaged(f"the padding before array {_quote(name)} is not zero")
        position = expected + nbytes
    if position != len(data):
        _damaged("something follows its last array")

    arrays: Arrays = {}
    for name, (dtype, shape, offset, nbytes) in checked.items():
        flat = np.frombuffer(data, np.uint8, nbytes, start + offset)
        if dtype == "bool" and flat.max(initial=0) > 1:
            _damaged(f"array {_quote(name)} is bool and has bytes other than 0 and 1")
        array = np.empty(shape, np.dtype(dtype))
        array[...] = flat.view(_LITTLE[dtype]).reshape(shape)
        arrays[name] = array
    return arrays


def _check_entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """The dtype, shape, offset and size of an array, when they make sense by themselves."""

    def refuse(reason: str) -> NoReturn:
        _damaged(f"array {_quote(name)} {reason}")

    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "offset", "nbytes"}:
        refuse("is not described by dtype, shape, offset and nbytes")
    dtype, shape, offset, nbytes = entry["dtype"], entry["shape"], entry["offset"], entry["nbytes"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        refuse(f"has the dtype {_quote(dtype)}, which files cannot hold")
    if not _is_size(offset) or not _is_size(nbytes):
        refuse("has an offset or size that is no size")
    if not isinstance(shape, list) or len(shape) > _MAX_RANK or not all(map(_is_size, shape)):
        refuse("has a shape that is no shape")
    itemsize = np.dtype(dtype).itemsize
    # Zeros aside, the product must fit as well: NumPy computes strides from it.
    if math.prod(dim or 1 for dim in shape) * itemsize > sys.maxsize:
        refuse("is too large")
    if math.prod(shape) * itemsize != nbytes:
        refuse("has another size than its shape says")
    return dtype, tuple(shape), offset, nbytes


def _is_size(value: Any) -> bool:
    """Whether a JSON value is a size: an integer, not a bool, not negative, and small enough for an index."""
    return type(value) is int and 0 <= value <= sys.maxsize


def _quote(value: object) -> str:
    """A value for a message: on one line, not too long, and no terminal tricks.

    >>> _quote("w"), _quote("x" * 100), _quote([3])
    ('"w"', '"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."', 'a list')
    """
    if not isinstance(value, str):
        return ascii(value) if value is None or type(value) in (bool, float) else f"a {type(value).__name__}"
    shown = value if len(value) <= 45 else value[:42] + "..."
    return json.dumps(shown, ensure_ascii=not shown.isprintable())
