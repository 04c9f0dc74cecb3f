"""Reading what may be damaged, foreign, or made to use up the machine: bounds first, one sentence for all that fails.

YAML, JSON, images and whatever a library reads go through here; tables of a run through `app.runs.folder.tables`. Each
function raises InputError that names the file and, where there is one, the line.
"""

from __future__ import annotations

import errno
import json
import lzma
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from app.errors import InputError, OmniTrackError, RunError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHECKSUM = "checksum"
"""Key of a JSON object under which the checksum of all else in it is kept."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read before it is taken for a mistake or for an attack.

    yaml_nodes: what a YAML text has after its aliases are written out.
    """

    yaml_bytes: int = 256 * 1024
    yaml_depth: int = 32
    yaml_nodes: int = 50_000
    json_bytes: int = 64 * 1024 * 1024
    image_pixels: int = 200_000_000
    member_bytes: int = 1024 * 1024 * 1024


LIMITS = Limits()
_LINE_LETTERS = 16
LINE_HEAD_BYTES = len(b'["') + _LINE_LETTERS
"""So many bytes at the beginning of a line from `line_with_checksum` differ where its text does."""

_CLUTTER = frozenset(
    ["__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "thumbnails", "_thumbs", "thumbs"]
)
"""What systems and picture programs leave in folders and zip files, in lower case; names that begin with a dot too."""

_NOT_OURS = (
    AttributeError, EOFError, LookupError, MemoryError, OSError, OverflowError, RecursionError, RuntimeError,
    SyntaxError, TypeError, ValueError, ZeroDivisionError, lzma.LZMAError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def is_clutter(name: str) -> bool:
    """Whether a file, named relative to a data set with forward slashes, is no data of its own.

    A Mac's `._x` and `__MACOSX/`, `.DS_Store`, `Thumbs.db`, previews such as `@eaDir/` and `.thumbnails/`.
    """
    return any(part.startswith(".") or part.lower() in _CLUTTER for part in name.split("/"))


@contextmanager
def reading(path: Path | str, what: str) -> Iterator[None]:
    """Turn whatever a library raises over a file into InputError; what: completes “cannot read …”.

    For the reading itself only: a mistake of ours in here would look like a damaged file.
    """
    try:
        yield
    except OmniTrackError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot read {what} ({error.strerror or _first_line(error)})") from error
    except _NOT_OURS as error:
        raise InputError(f"{path}: cannot read {what}: damaged, or something else ({_first_line(error)})") from error


def storage_problem(error: OSError | MemoryError | sqlite3.Error) -> OmniTrackError | None:
    """Return what an error of disk or memory means for the user, None if it is none that a user can help."""
    if isinstance(error, MemoryError):
        return RunError("there is not enough memory for this; what was finished before stays")
    if isinstance(error, sqlite3.Error):
        return RunError(f"the ledger or the audit log cannot be read or written ({error}); see `main.py check RUN`")
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return RunError(
            f"{where}the disk is full, or a limit on space or size is reached ({error.strerror}); what was finished "
            "before stays. Make room and go on with --resume"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return RunError(f"{where}may not be written or read by this user ({error.strerror})")
    if error.errno in (errno.EIO, errno.ENODEV, errno.ESTALE):
        return RunError(f"{where}the disk or its connection fails ({error.strerror})")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return RunError(f"{where}too many files are open at once; raise the limit (ulimit -n) and try again")
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ENOENT, errno.ELOOP):
        return InputError(f"{where}{error.strerror}; is the path right?")
    return None


def read_text(path: Path, what: str, limit_bytes: int) -> str:
    """Return the content of a UTF-8 file of at most `limit_bytes`."""
    with reading(path, what):
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise InputError(f"{path}: more than {limit_bytes:,} bytes, which is too long for {what}")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not a text file in UTF-8 (at byte {error.start}); expected {what}") from error


def read_json(path: Path, what: str, limits: Limits = LIMITS) -> dict[str, Any]:
    """Return the JSON object in a file, whose numbers are all finite, with its checksum if it has one."""
    text = read_text(path, what, limits.json_bytes)

    def refuse(name: str) -> None:
        raise InputError(f"{path}: holds the number {name}, which is none; expected {what}")

    with reading(path, what):
        values = json.loads(text, parse_constant=refuse)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected {what}, one JSON object")
    return values


def json_with_checksum(values: Mapping[str, Any]) -> bytes:
    """Return a JSON object as text, for people and programs, with the checksum of its content as the last entry."""
    own = {key: value for key, value in values.items() if key != CHECKSUM}
    return (json.dumps({**own, CHECKSUM: _checksum(own)}, indent=1, allow_nan=False) + "\n").encode()


def checksum_fits(values: Mapping[str, Any]) -> bool | None:
    """Return whether a JSON object is what was written, None if it carries no checksum."""
    if CHECKSUM not in values:
        return None
    return bool(values[CHECKSUM] == _checksum({key: value for key, value in values.items() if key != CHECKSUM}))


def line_with_checksum(text: bytes, salt: str = "") -> bytes:
    """Return a JSON text in one line, without its end, that begins with its checksum: `["<checksum>",<text>]`.

    salt: what the line is worth nothing without: whose it is.
    """
    return b'["%b",%b]' % (_line_checksum(text, salt), text)


def line_content(line: bytes, salt: str = "") -> bytes | None:
    """Return the text of a line from `line_with_checksum`, None if it is not what was written."""
    text = line[len(b'["",') + _LINE_LETTERS : -1]
    return text if line == line_with_checksum(text, salt) else None


def _line_checksum(text: bytes, salt: str) -> bytes:
    return sha256(salt.encode() + text).hexdigest()[:_LINE_LETTERS].encode()


def _checksum(values: Mapping[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def compose_yaml(text: str, where: Path | str, limits: Limits = LIMITS, unique_keys: bool = False) -> yaml.Node | None:
    """Return the nodes of a YAML text, bounded in depth and in size after its aliases are written out; None if empty.

    Aliases may not lead in a circle. unique_keys: no mapping may have a key twice, either.
    """
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > limits.yaml_depth:
                raise InputError(
                    f"{where}:{_line(event)}: nested more than {limits.yaml_depth} deep; nothing here needs that"
                )
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _yaml_error(error, where) from error
    if node is not None:
        known: dict[int, int] = {}
        _count_nodes(node, where, limits.yaml_nodes, known, frozenset())
        if unique_keys:
            _refuse_double_keys(node, where, set())
    return node


def construct_yaml(node: yaml.Node, where: Path | str) -> Any:
    """Return the plain value that a node stands for: mappings, lists, texts, numbers, dates, nothing else."""
    try:
        return yaml.SafeLoader("").construct_document(node)
    except yaml.YAMLError as error:
        raise _yaml_error(error, where) from error
    except (ValueError, TypeError, OverflowError, AttributeError, LookupError) as error:
        raise InputError(f"{where}:{_line(node)}: not a value that YAML can hold ({_first_line(error)})") from error


def yaml_value(text: str, where: Path | str, limits: Limits = LIMITS) -> Any:
    """Return the plain value of a YAML text, None if it is empty."""
    node = compose_yaml(text, where, limits)
    return None if node is None else construct_yaml(node, where)


def _line(part: yaml.Node | yaml.Event) -> int:
    return part.start_mark.line + 1 if part.start_mark else 1


def _yaml_error(error: yaml.YAMLError, where: Path | str) -> InputError:
    mark = getattr(error, "problem_mark", None)
    place = f"{where}:{mark.line + 1}" if mark else str(where)
    return InputError(f"{place}: not valid YAML ({getattr(error, 'problem', None) or _first_line(error)})")


def _count_nodes(node: yaml.Node, where: Path | str, limit: int, known: dict[int, int], above: frozenset[int]) -> int:
    """Return how many nodes there are below and with a node, each alias counted as what it stands for."""
    line = _line(node)
    if id(node) in above:
        raise InputError(f"{where}:{line}: this value contains itself")
    if id(node) in known:
        return known[id(node)]
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    count = 1
    for child in children:
        count += _count_nodes(child, where, limit, known, above | {id(node)})
        if count > limit:
            raise InputError(f"{where}:{line}: more than {limit:,} values with all aliases written out")
    known[id(node)] = count
    return count


def _refuse_double_keys(node: yaml.Node, where: Path | str, seen: set[int]) -> None:
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise InputError(f"{where}:{_line(key)}: {key.value} is given twice")
            keys.add(str(key.value))
            _refuse_double_keys(value, where, seen)
    else:
        for value in node.value:
            _refuse_double_keys(value, where, seen)


def decode_image(data: bytes, where: str, limits: Limits = LIMITS) -> NDArray[np.uint8]:
    """Return the (H, W, 3) uint8 BGR image in the bytes of a file. Its size is looked at before it is decoded."""
    import cv2
    import numpy as np
    from PIL import Image

    with reading(where, "this image"):
        try:
            with Image.open(BytesIO(data)) as header:
                width, height = header.size
        except Image.DecompressionBombError as error:
            raise InputError(f"{where}: an image of too many pixels ({_first_line(error)})") from error
        except ImportError as error:  # Ultralytics, once imported, makes Pillow look for packages that are not there
            raise InputError(f"{where}: not an image, or a damaged one") from error
        if width * height > limits.image_pixels:
            raise InputError(f"{where}: an image of {width} × {height} pixels; {limits.image_pixels:,} are the most")
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:
            raise InputError(f"{where}: not an image that can be decoded ({_first_line(error)})") from error
    if image is None:
        raise InputError(f"{where}: not an image, or a damaged one")
    return np.asarray(image, np.uint8)


def read_member(archive: zipfile.ZipFile, name: str, limits: Limits = LIMITS) -> bytes:
    """Return a file of a zip file, whose declared size is looked at before it is unpacked."""
    with reading(f"{archive.filename}: {name}", "this file of a zip file"):
        info = archive.getinfo(name)
        if info.flag_bits & 1:
            raise InputError(f"{archive.filename}: {name} is encrypted; unpack it yourself and give the folder")
        if info.file_size > limits.member_bytes:
            raise InputError(
                f"{archive.filename}: {name} unpacks to {info.file_size:,} bytes; {limits.member_bytes:,} are the most"
            )
        with archive.open(info) as member:
            return member.read(limits.member_bytes + 1)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
