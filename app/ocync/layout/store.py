"""
The files of one layout.

    oci-layout              the version of the format
    index.json              its images (ocync.layout.index)
    blobs/ALGORITHM/HEX     everything else
    .ocync/                 the lock of index.json, and drafts

Everything here blocks, and raises errors of `ocync.lib.errors`. Symbolic links are followed within the layout and
refused if they lead out of it: a layout may come from people who are not trusted.
"""

from __future__ import annotations

import json
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ocync.layout import index as indexes
from ocync.layout.atomic_file import Draft, sweep, sync
from ocync.layout.files import Reader, Stamp, storage_error, storage_errors
from ocync.lib.errors import ProtocolError, StorageError, VerificationError
from ocync.oci import manifest as manifests
from ocync.oci.digest import Digest

if TYPE_CHECKING:
    from pathlib import Path

    from ocync.layout.index import Index
    from ocync.oci.manifest import Descriptor, Manifest

_SCRATCH = ".ocync"
_VERSION = "1.0.0"
_MAX_MARKER = 64 * 1024
_SETTLED = 1_000_000_000


class Store:
    """A layout in the folder `root`, which need not exist before `establish`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: tuple[Stamp, Index] | None = None

    @property
    def lock(self) -> Path:
        """The lock file of index.json; `make_scratch` creates its folder."""
        return self.root / _SCRATCH / "lock"

    def make_scratch(self) -> None:
        """Create the folder of the layout and the one of its lock and drafts."""
        self._make_folder(_SCRATCH)

    def establish(self) -> None:
        """Create the required files and remove abandoned drafts; the caller holds the lock."""
        # Raises before anything is written if this can't be a layout.
        self.index(fresh=True)
        self._make_folder("blobs")
        if not self._has_marker():
            self._write(json.dumps({"imageLayoutVersion": _VERSION}).encode(), self.root / "oci-layout")
        if self._find("index.json") is None:
            self._write(indexes.EMPTY, self.root / "index.json")
        sweep(self.root / _SCRATCH, now=time.time())

    def index(self, *, fresh: bool = False) -> Index | None:
        """Return index.json, from memory if unchanged and not `fresh`; None if there is no layout."""
        path = self._find("index.json")
        if path is None:
            return indexes.parse(indexes.EMPTY) if self._has_marker() else None
        self._has_marker()
        with Reader(path) as reader:
            if not fresh and self._read is not None and self._read[0] == reader.stamp:
                return self._read[1]
            raw = reader.read_all(indexes.MAX_SIZE)
            try:
                parsed = indexes.parse(raw)
            except ValueError as error:
                raise self._unreadable("index.json", str(error)) from error
        # A file may be written twice within the resolution of its times.
        settled = time.time_ns() - reader.stamp.modified > _SETTLED
        self._read = (reader.stamp, parsed) if settled else None
        return parsed

    def point(self, tag: str, descriptor: Descriptor) -> None:
        """Ensure that the tag points to an image; the caller holds the lock."""
        found = self.index(fresh=True) or indexes.parse(indexes.EMPTY)
        try:
            changed = found.pointing(tag, descriptor)
        except ValueError as error:
            raise self._unreadable("index.json", str(error)) from error
        if changed is not None:
            self._write(changed, self.root / "index.json")

    def find_blob(self, digest: Digest) -> Path | None:
        """Return the path of a blob, None if it is missing."""
        return self._find("blobs", digest.algorithm, digest.encoded)

    def blob_home(self, digest: Digest) -> Path:
        """Return the path at which to write a blob, and create its folder."""
        return self._make_folder("blobs", digest.algorithm) / digest.encoded

    def draft(self) -> Draft:
        """Return a draft for a file of this layout."""
        return Draft(self.root / _SCRATCH)

    def read_manifest(self, digest: Digest, size: int | None) -> bytes | None:
        """Return a manifest, None if it is missing; raises VerificationError if it is damaged."""
        path = self.find_blob(digest)
        if path is None:
            return None
        with Reader(path) as reader:
            if size is not None and reader.size != size:
                raise damaged(path, f"it has {reader.size} bytes, not {size}")
            if reader.size > manifests.MAX_SIZE:
                raise ProtocolError(f"{path} is too large for a manifest: {reader.size} bytes")
            raw = reader.read_all(manifests.MAX_SIZE)
        actual = Digest.of(raw, digest.algorithm)
        if actual != digest:
            raise damaged(path, f"it hashes to {actual}")
        return raw

    def write_manifest(self, manifest: Manifest) -> None:
        """Ensure that a manifest is stored; a damaged one is replaced."""
        with suppress(VerificationError):
            if self.read_manifest(manifest.digest, manifest.size) is not None:
                return
        self._write(manifest.raw, self.blob_home(manifest.digest))

    def link(self, path: Path, stamp: Stamp, digest: Digest) -> Stamp | None:
        """
        Create a blob as a hard link to the file with this stamp and return its stamp; None if that is impossible.

        Files of other users are not linked, as their owners can change them at any time.
        """
        if stamp.owner != os.geteuid():
            return None
        home = self.blob_home(digest)
        try:
            os.link(path, home, follow_symlinks=False)
        except OSError:
            # Another device, no or too many links, a damaged blob in its place: the caller copies the bytes instead
            # and gets the error, if any.
            return None
        linked = Stamp.at(home)
        if linked is None or not linked.is_as(stamp):
            with storage_errors("remove", home):
                home.unlink(missing_ok=True)
            return None
        with storage_errors("write", home):
            # Another program may have written it without a sync.
            sync(home)
            sync(home.parent)
        return linked

    def _has_marker(self) -> bool:
        """Return whether there is an oci-layout; raises StorageError for another version."""
        path = self._find("oci-layout")
        if path is None:
            return False
        with Reader(path) as reader:
            raw = reader.read_all(_MAX_MARKER)
        try:
            version = json.loads(raw)["imageLayoutVersion"]
        except (ValueError, RecursionError, TypeError, KeyError) as error:
            raise self._unreadable("oci-layout", "it is no JSON object with an imageLayoutVersion") from error
        if not isinstance(version, str) or not version.startswith("1."):
            raise self._unreadable("oci-layout", f"its version is {version!r:.40}, not {_VERSION}")
        return True

    def _find(self, *parts: str) -> Path | None:
        """Return the resolved path of a file of the layout, None if it is missing."""
        path = self.root.joinpath(*parts)
        try:
            real = path.resolve(strict=True)
            root = self.root.resolve(strict=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error("read", path, error) from error
        except RuntimeError as error:
            # Python before 3.13 raises this for circular links.
            raise self._unreadable("/".join(parts), "its symbolic links lead in a circle") from error
        if not real.is_relative_to(root):
            raise StorageError(
                f"{path} leads out of the layout by a symbolic link",
                hint="replace the link by a copy of the file or folder",
            )
        return real

    def _make_folder(self, *parts: str) -> Path:
        path = self.root.joinpath(*parts)
        with storage_errors("make the folder", path):
            _create_folder(path)
        self._find(*parts)
        return path

    def _write(self, content: bytes, destination: Path) -> None:
        """Write a small file; one that it replaces keeps its permissions."""
        draft = self.draft()
        try:
            draft.open()
            draft.write([content])
            draft.commit(destination, mode=_mode(destination))
        finally:
            draft.discard()

    def _unreadable(self, file: str, why: str) -> StorageError:
        return StorageError(
            f"{self.root / file} can't be used: {why}",
            hint="repair it, or use another folder: a new OCI layout needs an empty one",
        )


def damaged(path: Path, how: str) -> VerificationError:
    """Return the error of a blob that does not match its digest or size."""
    return VerificationError(f"{path} is damaged: {how}", hint="copy the image into this layout again")


def _create_folder(path: Path) -> None:
    if path.is_dir():
        return
    _create_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        sync(path.parent)


def _mode(path: Path) -> int | None:
    with storage_errors("read", path), suppress(FileNotFoundError):
        return stat.S_IMODE(path.stat().st_mode)
    return None
