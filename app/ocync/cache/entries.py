"""
The facts that are remembered, and how they stand in a file or an artifact: a line each, below one for the format.

A line is a checksum and a JSON list. Others may have written what is read here, so each line is checked by itself,
and one that is damaged or of an unknown kind is left out.
"""

from __future__ import annotations

import io
import json
import sys
import zlib
from enum import StrEnum
from heapq import nlargest
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ocync.oci.reference import is_repository

if TYPE_CHECKING:
    from typing import BinaryIO

HEADER = b"ocync-memory-2\n"
"""The first line."""
MAX_FACTS = 100_000
"""Facts that are kept at most: those of twenty thousand images and more. In memory they take some 60 MiB."""
MAX_BYTES = 16 * 1024 * 1024
"""Bytes of lines that are kept at most."""
MAX_READ = 2 * MAX_BYTES
"""Bytes that are read at most."""
MAX_TEXT = 4096
"""Characters of a fact's names and value together."""
MAX_AGE = 30 * 86400.0
"""Seconds after which a fact that nobody has learned again is dropped."""
_SKEW = 300.0
"""Seconds by which other clocks may be ahead; what was learned later than that was not."""
# JSON takes twelve bytes for some characters.
_MAX_LINE = 12 * MAX_TEXT + 256
_MAX_LINES = 4 * MAX_FACTS
_GZIP = 31


class EntryKind(StrEnum):
    """What a fact tells. The names stand in files: none is ever used anew for something else."""

    BLOB = "blob"
    """A repository held the blob (name: its digest)."""
    HINT = "hint"
    """Anything else that is worth a try: limits, forms of uploads (place: what about, name: of whom)."""
    SEEN = "seen"
    """A source's tag (name) had the digest (value)."""
    MOVED = "moved"
    """A target's tag (name) was set to the digest (value)."""
    BELOW = "below"
    """All that lies below the digest (value) of a target's tag (name) was seen there."""


# Once and for all, since there may be a hundred thousand lines.
_encoded = json.JSONEncoder(separators=(",", ":")).encode
_decoded = json.JSONDecoder().decode
_KINDS = {str(kind): kind for kind in EntryKind}
Key: TypeAlias = tuple[EntryKind, str, str, str]
"""Kind, place, path and name."""


class Fact(NamedTuple):
    """What is known under a key; all times are seconds since 1970."""

    value: str | None
    """None says that it was forgotten: an earlier fact of the same key is void, wherever it stands."""
    since: float
    """When it was first known with this value."""
    learned: float
    """When it was last known with this value."""


Facts: TypeAlias = dict[Key, Fact]


def merged(known: Fact | None, other: Fact) -> Fact:
    """Return what two facts of the same key tell together; of different values, the one that was learned later."""
    if known is None or (known.value != other.value and other.learned >= known.learned):
        return other
    if known.value != other.value:
        return known
    return Fact(known.value, min(known.since, other.since), max(known.learned, other.learned))


def latest(facts: Facts, count: int) -> Facts:
    """Return so many of the facts at most, latest first, and those about blobs last: there are most of them."""
    # The key of a fact is there so that of those of one time the same ones are kept.
    return dict(
        nlargest(
            count, facts.items(), key=lambda item: (item[0][0] is not EntryKind.BLOB, item[1].learned, item[0])
        )
    )


def lines_of(facts: Facts) -> bytes:
    """Return the lines of facts; where there are too many bytes of them, those of the first ones."""
    lines, size = [], 0
    for line in map(_line, facts.items()):
        size += len(line)
        if size > MAX_BYTES:
            break
        lines.append(line)
    return b"".join(lines)


def read(stream: BinaryIO, now: float) -> tuple[Facts, int]:
    """
    Return the facts of a file that are neither too old nor from the future, and how many lines there are.

    Raises ValueError for what is of another format or too long.
    """
    if stream.readline(len(HEADER)) != HEADER:
        raise ValueError("it is of another format")
    facts: Facts = {}
    size = 0
    for count in range(_MAX_LINES):
        line = stream.readline(_MAX_LINE)
        size += len(line)
        if size > MAX_READ:
            break
        if not line:
            return facts, count
        found = _parsed(line)
        if found is not None and now - MAX_AGE <= found[1].learned <= now + _SKEW:
            facts[found[0]] = merged(facts.get(found[0]), found[1])
    raise ValueError("it is longer than any memory")


def packed(facts: Facts) -> bytes:
    """Return the latest facts, compressed: the same bytes for the same facts."""
    # Most of it are digests, which do not get smaller whatever the effort. No time is in the header.
    compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    return compressor.compress(HEADER + lines_of(latest(facts, MAX_FACTS))) + compressor.flush()


def unpacked(data: bytes, now: float) -> Facts:
    """Return what `read` does, of what `packed` gave; raises ValueError for anything else, a bomb among it."""
    inflater = zlib.decompressobj(_GZIP)
    try:
        raw = inflater.decompress(data, MAX_READ + 1)
    except zlib.error as error:
        raise ValueError("it is not compressed, or damaged") from error
    if len(raw) > MAX_READ:
        raise ValueError("it is longer than any memory")
    if not inflater.eof:
        raise ValueError("it is cut short")
    return read(io.BytesIO(raw), now)[0]


def _line(item: tuple[Key, Fact]) -> bytes:
    text = _encoded([*item[0], *item[1]]).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _parsed(line: bytes) -> tuple[Key, Fact] | None:
    mark, _, text = line.removesuffix(b"\n").partition(b" ")
    try:
        if int(mark, 16) != zlib.crc32(text):
            return None
        kind, host, path, name, value, since, learned = _decoded(text.decode())
        # What is no text can't be interned.
        key = (_KINDS[kind], sys.intern(host), sys.intern(path), name)
        is_told = isinstance(name, str) and (value is None or isinstance(value, str))
        # A registry is asked for a mount from there, and a token service for a token.
        is_fit = kind != EntryKind.BLOB or is_repository(path)
        if is_told and is_fit and 0 <= since <= learned < 1 << 53:
            return key, Fact(value, since, learned)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return None
