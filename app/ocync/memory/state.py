"""
What is known, as one compressed sequence of records: for where there is no disk between passes.

It begins with a line that names the format. Each record has a kind and a length; those of unknown kinds are passed
over. Whatever a state says is checked row by row, for others may have written it.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING

from ocync.memory.facts import MAX_VALUE, Kind, Row, repository_key
from ocync.memory.tables import Changes, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = b"ocync-state-1\n"
MAX_PACKED = 16 * 1024 * 1024
"""Bytes of a compressed state that are read and written at most."""
_MAX_SIZE = 32 * 1024 * 1024
_MAX_ROWS = 200_000
_MAX_RECORDS = 2 * _MAX_ROWS
_MAX_KEY = 8192
_MAX_NAME = 1024
# gzip's format, with no time and no name in it: the same facts are the same bytes.
_GZIP = 31
_RECORD = struct.Struct("<BI")
_FACT = struct.Struct("<BqqH")
_IS_REPOSITORY, _IS_FACT = 1, 2
_KINDS = frozenset(int(kind) for kind in Kind)


def pack(known: Changes) -> bytes:
    """Return what is known as a compressed state; where that is too much, the latest facts of it."""
    rows = [row for row in known.facts.values() if row is not None]
    if len(rows) > _MAX_ROWS:
        rows = _latest(rows, _MAX_ROWS)
    while True:
        raw = _records(known, rows)
        packed = _compressed(raw)
        if len(raw) <= _MAX_SIZE and len(packed) <= MAX_PACKED:
            return packed
        rows = _latest(rows, len(rows) * 3 // 4)


def _latest(rows: list[Row], count: int) -> list[Row]:
    """Return so many of the rows, in their order."""
    since = sorted(row.learned for row in rows)[len(rows) - count] if count else 0
    return [row for row in rows if row.learned >= since][-count:] if count else []


def _records(known: Changes, rows: list[Row]) -> bytes:
    needed = {row.repository for row in rows}
    parts = [FORMAT]
    for number, repository in known.repositories.items():
        if number in needed or repository.since:
            named = json.dumps([repository.place, repository.path, repository.since]).encode()
            parts += [_RECORD.pack(_IS_REPOSITORY, len(named)), named]
    for row in rows:
        size = _FACT.size + len(row.key) + len(row.value)
        head = _FACT.pack(row.kind, row.repository, row.learned, len(row.key))
        parts += [_RECORD.pack(_IS_FACT, size), head, row.key, row.value]
    return b"".join(parts)


def _compressed(raw: bytes) -> bytes:
    # Most of it are digests, which do not get smaller whatever the effort.
    compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    return compressor.compress(raw) + compressor.flush()


def unpack(packed: bytes) -> Changes:
    """
    Read what `pack` made; raises ValueError for anything else.

    However much it would become, 32 MiB and 400,000 records of it are read at most. Rows that are odd are left out.
    """
    raw = _decompressed(packed)
    if not raw.startswith(FORMAT):
        raise ValueError("it is of another format")
    repositories: dict[int, Repository] = {}
    facts: dict[tuple[int, bytes, int], Row | None] = {}
    for kind, content in _read(raw):
        if kind == _IS_REPOSITORY:
            repository = _repository(content)
            if repository is not None:
                repositories[repository_key(repository.place, repository.path)] = repository
        elif kind == _IS_FACT and len(facts) < _MAX_ROWS:
            row = _row(content)
            if row is not None:
                facts[row.kind, row.key, row.repository] = row
    known = {key: row for key, row in facts.items() if key[2] == 0 or key[2] in repositories}
    return Changes(known, repositories)


def _decompressed(packed: bytes) -> bytes:
    inflater = zlib.decompressobj(_GZIP)
    try:
        raw = inflater.decompress(packed, _MAX_SIZE + 1)
    except zlib.error as error:
        raise ValueError("it is not compressed, or damaged") from error
    if len(raw) > _MAX_SIZE:
        raise ValueError("it is longer than any state")
    if not inflater.eof:
        raise ValueError("it is cut short")
    return raw


def _read(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the kind and the content of each record."""
    position, count = len(FORMAT), 0
    while position < len(raw):
        count += 1
        if count > _MAX_RECORDS:
            raise ValueError("it is longer than any state")
        if position + _RECORD.size > len(raw):
            raise ValueError("it is damaged")
        kind, size = _RECORD.unpack_from(raw, position)
        position += _RECORD.size
        if position + size > len(raw):
            raise ValueError("it is damaged")
        yield kind, raw[position : position + size]
        position += size


def _repository(content: bytes) -> Repository | None:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return None
    match fields:
        case [str(place), str(path), int(since)] if len(place) + len(path) <= _MAX_NAME and _is_time(since):
            return Repository(place, path, int(since))
    return None


def _row(content: bytes) -> Row | None:
    if len(content) < _FACT.size:
        return None
    kind, repository, learned, length = _FACT.unpack_from(content)
    key, value = content[_FACT.size : _FACT.size + length], content[_FACT.size + length :]
    if kind not in _KINDS or len(key) != length or length > _MAX_KEY or len(value) > MAX_VALUE:
        return None
    return Row.of(kind, key, repository, value, learned) if _is_time(learned) else None


def _is_time(milliseconds: int) -> bool:
    return 0 <= milliseconds < 1 << 53
