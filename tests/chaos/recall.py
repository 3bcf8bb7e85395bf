"""What passes remember of each other, and what happens to that: wrong clocks, a file that is damaged or gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ocync.cache import file
from ocync.cache.store import CacheStore, StateLocation

if TYPE_CHECKING:
    import random
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from ocync.cache.hints import Hints

DAY = 86_400.0


class Remembrance:
    """The memory that the passes of one world share, in a file."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance

    def memory(self, *, ttl: float | None = None) -> AbstractAsyncContextManager[Hints]:
        """Give what a new process remembers, whose clock may be off by days; `ttl` is by chance unless given."""
        offset = self._chance.choice([0.0, 0.0, 0.0, -3 * DAY, 3 * DAY, 400 * DAY])
        by_chance = self._chance.choice([0.0, 1.0, 12 * 3600.0])
        ttl = by_chance if ttl is None else ttl
        return CacheStore(clock=lambda: time.time() + offset).open(StateLocation(folder=self._folder), ttl=ttl)

    def befall(self) -> None:
        """Let something happen to the file."""
        path = self._folder / file.NAME
        if not path.exists():
            return
        chance = self._chance
        what = chance.randrange(6)
        data = bytearray(path.read_bytes())
        if what == 0:
            path.unlink()
        elif what == 1:
            path.write_bytes(data[: chance.randrange(len(data) + 1)])
        elif what == 2:
            path.write_bytes(chance.randbytes(chance.choice([0, 10, 5_000])))
        elif what == 3:
            for _ in range(chance.randint(1, 200)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
        elif what == 4:
            path.write_bytes(data.replace(b"memory-2", b"memory-4096", 1))
