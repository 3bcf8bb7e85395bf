"""
What is known, as one compressed text: for where there is no disk between passes.

The first line says the format, each other one is a repository or a fact as JSON. Whatever such a text says is
checked row by row, for others may have written it.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

from ocync.memory.facts import MAX_VALUE, Kind, Row, repository_key
from ocync.memory.tables import Changes, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "ocync-state-1"
MAX_PACKED = 16 * 1024 * 1024
"""Bytes of a compressed text that are read and written at most."""
_MAX_TEXT = 64 * 1024 * 1024
_MAX_ROWS = 200_000
_MAX_LINES = 2 * _MAX_ROWS
_MAX_KEY = 8192
_MAX_NAME = 1024
_PIECE = 256 * 1024
# gzip's format, with no time and no name in it: the same facts are the same bytes.
_GZIP = 31


def pack(known: Changes) -> bytes:
    """Return what is known as a compressed text; where that is too much, the latest facts of it."""
    rows = sorted((row for row in known.facts.values() if row is not None), key=lambda row: row.learned)
    rows = rows[-_MAX_ROWS:]
    while len(packed := _packed(known, rows)) > MAX_PACKED:
        rows = rows[len(rows) // 4 :]
    return packed


def _packed(known: Changes, rows: list[Row]) -> bytes:
    needed = {row.repository for row in rows}
    compressor = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    pieces = [compressor.compress(f"{FORMAT}\n".encode())]
    for number, repository in sorted(known.repositories.items()):
        if number in needed or repository.since:
            pieces.append(compressor.compress(_line([repository.place, repository.path, repository.since])))
    for row in sorted(rows, key=lambda row: (row.kind, row.repository, row.key)):
        key, value = (base64.b85encode(each).decode() for each in (row.key, row.value))
        pieces.append(compressor.compress(_line([row.kind, key, row.repository, value, row.learned])))
    pieces.append(compressor.flush())
    return b"".join(pieces)


def _line(fields: list[Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def unpack(packed: bytes) -> Changes:
    """
    Read what `pack` made; raises ValueError for anything else.

    However much a text would become, 64 MiB and 400,000 lines of it are read at most. Rows that are odd are left
    out.
    """
    lines = _lines(packed)
    if next(lines, b"") != FORMAT.encode():
        raise ValueError("it is of another format")
    repositories: dict[int, Repository] = {}
    facts: dict[tuple[int, bytes, int], Row | None] = {}
    for line in lines:
        match _parsed(line):
            case [str(place), str(path), int(since)] if len(place) + len(path) <= _MAX_NAME and _is_time(since):
                repositories[repository_key(place, path)] = Repository(place, path, since)
            case [int(kind), str(key), int(repository), str(value), int(learned)] if len(facts) < _MAX_ROWS:
                row = _row(kind, key, repository, value, learned)
                if row is not None:
                    facts[row.kind, row.key, row.repository] = row
    return Changes({key: row for key, row in facts.items() if key[2] == 0 or key[2] in repositories}, repositories)


def _row(kind: int, key: str, repository: int, value: str, learned: int) -> Row | None:
    if kind not in set(Kind) or not -(1 << 63) <= repository < 1 << 63 or not _is_time(learned):
        return None
    if len(key) > _MAX_KEY or len(value) > 2 * MAX_VALUE:
        return None
    try:
        return Row.of(Kind(kind), base64.b85decode(key), repository, base64.b85decode(value), learned)
    except ValueError:
        return None


def _is_time(milliseconds: int) -> bool:
    return 0 <= milliseconds < 1 << 53


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _lines(packed: bytes) -> Iterator[bytes]:
    """Give the lines of a compressed text; raises ValueError for what is none, or is too long."""
    inflater = zlib.decompressobj(_GZIP)
    rest, read, count = b"", 0, 0
    data = packed
    try:
        while not inflater.eof:
            piece = inflater.decompress(data, _PIECE)
            data = inflater.unconsumed_tail
            if not piece and not data:
                raise ValueError("it is cut short")
            read += len(piece)
            if read > _MAX_TEXT or len(rest) > _PIECE + 4 * MAX_VALUE:
                raise ValueError("it is longer than any state")
            *lines, rest = (rest + piece).split(b"\n")
            count += len(lines)
            if count > _MAX_LINES:
                raise ValueError("it is longer than any state")
            yield from lines
    except zlib.error as error:
        raise ValueError("it is not compressed, or damaged") from error
