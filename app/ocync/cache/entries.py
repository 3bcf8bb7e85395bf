"""
The entries of the cache and their serialisation in a file or an artifact: a header, then one line an entry.

A line is a checksum and a JSON list. The input is not trusted: each line is checked by itself, and skipped if it is
damaged or of an unknown kind.
"""

from __future__ import annotations

import io
import json
import sys
import zlib
from contextlib import suppress
from enum import StrEnum
from heapq import nlargest
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ocync.oci.reference import is_repository

if TYPE_CHECKING:
    from typing import BinaryIO

HEADER = b"ocync-memory-2\n"
"""The first line."""
MAX_ENTRIES = 100_000
"""Most entries that are kept: enough for twenty thousand images. They take some 60 MiB in memory."""
MAX_BYTES = 16 * 1024 * 1024
"""Most bytes of lines that are kept."""
MAX_READ = 2 * MAX_BYTES
"""Most bytes that are read."""
MAX_TEXT = 4096
"""Most characters of an entry's names and value together."""
MAX_AGE = 30 * 86400.0
"""Seconds after which an entry that was not learned again is dropped."""
_SKEW = 300.0
"""Seconds by which other clocks may be ahead; later entries are ignored."""
# JSON escapes some characters as twelve bytes.
_MAX_LINE = 12 * MAX_TEXT + 256
_MAX_LINES = 4 * MAX_ENTRIES
_GZIP = 31


class EntryKind(StrEnum):
    """What an entry says. The names are in files: none is ever reused with another meaning."""

    BLOB = "blob"
    """A repository held the blob (name: its digest)."""
    HINT = "hint"
    """Anything else worth a try: limits, upload strategies (host: the subject; name: of which host or pair)."""
    SEEN = "seen"
    """A source's tag (name) had the digest (value)."""
    MOVED = "moved"
    """A target's tag (name) was set to the digest (value)."""
    BELOW = "below"
    """An audit found everything below the digest (value) of a target's tag (name)."""


# Made once, since there may be a hundred thousand lines.
_encoded = json.JSONEncoder(separators=(",", ":")).encode
_decoded = json.JSONDecoder().decode
_KINDS = {str(kind): kind for kind in EntryKind}
Key: TypeAlias = tuple[EntryKind, str, str, str]
"""Kind, host, path and name."""


class CacheEntry(NamedTuple):
    """The value of a key; times are in seconds since 1970."""

    value: str | None
    """None if it was forgotten: earlier entries with the same key are void, in whatever file."""
    since: float
    """When this value was first learned."""
    learned: float
    """When this value was last learned."""


CacheEntries: TypeAlias = dict[Key, CacheEntry]


def merged(known: CacheEntry | None, other: CacheEntry) -> CacheEntry:
    """Return the combination of two entries with one key; of different values, the one learned later."""
    if known is None or (known.value != other.value and other.learned >= known.learned):
        return other
    if known.value != other.value:
        return known
    return CacheEntry(known.value, min(known.since, other.since), max(known.learned, other.learned))


def latest(entries: CacheEntries, count: int) -> CacheEntries:
    """Return at most `count` entries, latest first, with those about blobs last, as they are the most numerous."""
    # The key makes the choice among entries of one time deterministic.
    order = nlargest(
        count, entries.items(), key=lambda item: (item[0][0] is not EntryKind.BLOB, item[1].learned, item[0])
    )
    return dict(order)


def lines_of(entries: CacheEntries) -> bytes:
    """Return the lines of the entries, up to MAX_BYTES."""
    lines, size = [], 0
    for line in map(_line, entries.items()):
        size += len(line)
        if size > MAX_BYTES:
            break
        lines.append(line)
    return b"".join(lines)


def read(stream: BinaryIO, now: float) -> tuple[CacheEntries, int]:
    """
    Return the entries of a file that are neither too old nor from the future, and the number of its lines.

    Raises ValueError for another format or too long a file.
    """
    if stream.readline(len(HEADER)) != HEADER:
        raise ValueError("its format is unknown")
    entries: CacheEntries = {}
    size = 0
    for count in range(_MAX_LINES):
        line = stream.readline(_MAX_LINE)
        size += len(line)
        if size > MAX_READ:
            break
        if not line:
            return entries, count
        found = _parsed(line)
        if found is not None and now - MAX_AGE <= found[1].learned <= now + _SKEW:
            entries[found[0]] = merged(entries.get(found[0]), found[1])
    raise ValueError("it is too long")


def packed(entries: CacheEntries) -> bytes:
    """Return the latest entries, compressed; the result depends on nothing else."""
    # Digests do not compress, so more effort gains nothing. The header has no time.
    compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    return compressor.compress(HEADER + lines_of(latest(entries, MAX_ENTRIES))) + compressor.flush()


def unpacked(data: bytes, now: float) -> CacheEntries:
    """Return the entries in the result of `packed`; raises ValueError for anything else, zip bombs included."""
    inflater = zlib.decompressobj(_GZIP)
    try:
        raw = inflater.decompress(data, MAX_READ + 1)
    except zlib.error as error:
        raise ValueError("it is not compressed, or it is damaged") from error
    if len(raw) > MAX_READ:
        raise ValueError("it is too long")
    if not inflater.eof:
        raise ValueError("it is cut short")
    return read(io.BytesIO(raw), now)[0]


def _line(item: tuple[Key, CacheEntry]) -> bytes:
    text = _encoded([*item[0], *item[1]]).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _parsed(line: bytes) -> tuple[Key, CacheEntry] | None:
    mark, _, text = line.removesuffix(b"\n").partition(b" ")
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        if int(mark, 16) != zlib.crc32(text):
            return None
        kind, host, path, name, value, since, learned = _decoded(text.decode())
        # Raises TypeError for anything but text.
        key = (_KINDS[kind], sys.intern(host), sys.intern(path), name)
        has_text = isinstance(name, str) and (value is None or isinstance(value, str))
        # The path goes into the URL of a mount and the scope of a token.
        has_path = kind != EntryKind.BLOB or is_repository(path)
        if has_text and has_path and 0 <= since <= learned < 1 << 53:
            return key, CacheEntry(value, since, learned)
    return None
