"""Limits on the manifests that a pass reads for one image: its own, those below and those attached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.lib.errors import ProtocolError

if TYPE_CHECKING:
    import asyncio

    from ocync.oci.manifest import Manifest

MAX_MANIFESTS = 2_000
"""Manifests of one image; the largest indexes in public registries list a few hundred."""
MAX_BYTES = 64 * 1024 * 1024
"""Bytes of these manifests."""
HEAVY = 2 * 1024 * 1024
"""Bytes of manifests above which images are copied one at a time: hundreds of such images would fill the memory."""
MAX_DEPTH = 50
"""Levels of indexes within indexes; real images have one."""


class Budget:
    """
    What one image at one target may still read; shared by copying, auditing and the search for artifacts.

    An image with large manifests holds the `gate` until its budget is closed, so that one such image is copied at a
    time. A task that holds a claim must not wait for the gate.
    """

    def __init__(self, name: str, host: str = "", *, gate: asyncio.Lock | None = None) -> None:
        """`name` is the image's name, and `host` its source, for the error."""
        self._name = name
        self._host = host
        self._manifests = MAX_MANIFESTS
        self._bytes = MAX_BYTES
        self._gate = gate
        self._holds_gate = False

    def __repr__(self) -> str:
        return f"<Budget of {self._name}: {self._manifests} manifests, {self._bytes} bytes left>"

    def close(self) -> None:
        """Let the next image through the gate."""
        if self._gate is not None and self._holds_gate:
            self._holds_gate = False
            self._gate.release()

    def count(self, manifests: int, size: int = 0) -> None:
        """Count manifests, and their bytes, that are not kept in memory; raises ProtocolError over the limit."""
        self._manifests -= manifests
        self._bytes -= size
        self.check(MAX_MANIFESTS - self._manifests)
        if self._bytes < 0:
            raise self.exceeded(f"its manifests have more than {MAX_BYTES // 1024**2} MiB")

    def check(self, manifests: int) -> None:
        """Raise ProtocolError if this many manifests are too many for one image."""
        if manifests > MAX_MANIFESTS:
            raise self.exceeded(f"more than {MAX_MANIFESTS:,} manifests belong to it")

    async def take(self, manifests: int, size: int = 0) -> None:
        """
        Count manifests, and their bytes, that are kept until the image is done; may wait at the gate.

        Raises ProtocolError over the limit.
        """
        self.count(manifests, size)
        if MAX_BYTES - self._bytes > HEAVY:
            await self.enter()

    async def enter(self) -> None:
        """Wait until no other image with large manifests is being copied."""
        if self._gate is None or self._holds_gate:
            return
        self._holds_gate = True
        try:
            await self._gate.acquire()
        except BaseException:
            self._holds_gate = False
            raise

    def may_keep(self, manifest: Manifest) -> bool:
        """Return whether the manifest may stay in memory while this image waits at the gate."""
        return manifest.size <= HEAVY or self._gate is None or self._holds_gate

    def exceeded(self, why: str) -> ProtocolError:
        """Return the error of an image that is over a limit."""
        return ProtocolError(
            f"{self._name}: {why}, which is the limit for one image",
            host=self._host,
            hint="exclude the tag, or choose platforms",
        )
