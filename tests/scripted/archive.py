"""tar and gzip whose bytes depend on nothing but what is put in: no clock, no version of a compressor."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib

_STORED = 65535


def tar_of(name: str, data: bytes) -> bytes:
    """Return a tar with one file."""
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def stored_gzip(data: bytes) -> bytes:
    """Return gzip without compression (RFC 1951, 3.2.4; RFC 1952)."""
    pieces = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"]
    for at in range(0, max(len(data), 1), _STORED):
        piece = data[at : at + _STORED]
        final = at + _STORED >= len(data)
        pieces += [struct.pack("<BHH", final, len(piece), len(piece) ^ 0xFFFF), piece]
    pieces.append(struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))
    return b"".join(pieces)
