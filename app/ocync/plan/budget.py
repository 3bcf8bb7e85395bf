"""How much one image may make a pass read: its manifests, those below them and those attached to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.lib.errors import ProtocolError

if TYPE_CHECKING:
    import asyncio

    from ocync.oci.manifest import Manifest

MAX_MANIFESTS = 2_000
"""Manifests of one image; the largest indexes in public registries list some hundred."""
MAX_BYTES = 64 * 1024 * 1024
"""Bytes of these manifests."""
HEAVY = 2 * 1024 * 1024
"""Bytes of manifests from which on images are copied one at a time: hundreds of them would fill the memory."""
MAX_DEPTH = 50
"""Indexes within indexes; real images have one index of manifests."""


class Budget:
    """
    What is left for one image at one target; shared by copying, auditing and looking for what is attached.

    An image that needs more memory than most takes the `gate`, which lets one of them through at a time, until it
    is closed. Who holds a claim that others may wait for must not wait for the gate.
    """

    def __init__(self, name: str, host: str = "", *, gate: asyncio.Lock | None = None) -> None:
        """`name` is the image's, for the error."""
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
        """Count manifests, and bytes of them, that are not kept; raises ProtocolError where that is too many."""
        self._manifests -= manifests
        self._bytes -= size
        if self._manifests < 0:
            raise self.exceeded(f"more than {MAX_MANIFESTS:,} manifests belong to it")
        if self._bytes < 0:
            raise self.exceeded(f"its manifests have more than {MAX_BYTES // 1024**2} MiB")

    def check(self, manifests: int) -> None:
        """Raise ProtocolError where the image consists of so many manifests that it can't be mirrored."""
        if manifests > MAX_MANIFESTS:
            raise self.exceeded(f"more than {MAX_MANIFESTS:,} manifests belong to it")

    async def take(self, manifest: Manifest) -> None:
        """Count a manifest that is kept until the image is done; raises ProtocolError where that is too much."""
        await self.take_some(1, manifest.size)

    async def take_some(self, manifests: int, size: int = 0) -> None:
        """Count manifests that are kept, or bytes of them; raises ProtocolError where that is too many."""
        self.count(manifests, size)
        if MAX_BYTES - self._bytes > HEAVY:
            await self.enter()

    async def enter(self) -> None:
        """Go through the gate, where there is one."""
        if self._gate is None or self._holds_gate:
            return
        self._holds_gate = True
        try:
            await self._gate.acquire()
        except BaseException:
            self._holds_gate = False
            raise

    def may_keep(self, manifest: Manifest) -> bool:
        """Return whether a manifest may stay in memory while others wait at the gate."""
        return manifest.size <= HEAVY or self._gate is None or self._holds_gate

    def exceeded(self, why: str) -> ProtocolError:
        """Return the error of an image that is too large to be mirrored."""
        return ProtocolError(
            f"{self._name}: {why}, which is the most that is read for one image",
            host=self._host,
            hint="exclude the tag, or choose platforms",
        )
