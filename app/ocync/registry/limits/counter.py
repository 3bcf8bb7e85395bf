"""Whether what a host tells of the requests that are left means anything: some tell the same whatever is asked."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

# Of a window that holds two requests or more, another number is told by then.
_MORE = 2


class Counter:
    """
    What a host tells of the requests that are left, held against how many it takes; for each kind of them.

    A number which stays the same while more requests than that go well, all made after it was told, is none that
    is kept to: a proxy's, or that of another window. A registry that does keep to it refuses them (429), and that
    is heeded anyway.
    """

    def __init__(self, host: str, *, clock: Callable[[], float]) -> None:
        self._host = host
        self._clock = clock
        self._told: dict[str, _Told] = {}
        self.means_nothing = False
        """Whether it was found to be no limit; this holds for the rest of the pass."""

    def __repr__(self) -> str:
        return f"<Counter of {self._host}: {self._told}>"

    def told(self, left: int, *, of: str, begun: float) -> bool:
        """
        Take the number that a success has told; tell whether to heed it.

        `of` is the kind of request, `begun` when it was made.
        """
        if self.means_nothing:
            return False
        before = self._told.get(of)
        if before is None or before.left != left:
            self._told[of] = _Told(left, self._clock())
        elif begun >= before.at:
            before.since += 1
            if before.since >= left + _MORE:
                self.means_nothing = True
                log.info(
                    "%s tells with each answer that it takes %d more requests, and takes others as well: "
                    "what it tells of that is not heeded any more",
                    self._host,
                    left,
                )
        return not self.means_nothing


@dataclass(slots=True)
class _Told:
    """The number that was told last, when that was for the first time, and how many requests went well since."""

    left: int
    at: float
    since: int = 0
