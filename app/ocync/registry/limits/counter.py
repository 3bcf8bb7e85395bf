"""Whether a host's count of remaining requests means anything: some hosts report the same number for ever."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

# A host that counts has reported another number by then, unless its window holds a single request.
_MORE = 2


class Counter:
    """
    Compares the number of requests that a host says remain with how many it accepts, for each kind of request.

    A number that stays the same while more requests than that succeed, all made after it was reported, limits
    nothing: it is a proxy's, or that of another window. A registry that does keep such a limit refuses requests
    (429), and refusals always count.
    """

    def __init__(self, host: str, *, clock: Callable[[], float]) -> None:
        self._host = host
        self._clock = clock
        self._reports: dict[str, _Report] = {}
        self.means_nothing = False
        """Whether the host was found to report no limit; this holds for the rest of the pass."""

    def __repr__(self) -> str:
        return f"<Counter of {self._host}: {self._reports}>"

    def report(self, left: int, *, of: str, begun: float) -> bool:
        """
        Record the number that a successful response reports, and return whether it counts.

        `of` is the kind of request, `begun` when it was made.
        """
        if self.means_nothing:
            return False
        last = self._reports.get(of)
        if last is None or last.left != left:
            self._reports[of] = _Report(left, self._clock())
        elif begun >= last.at:
            last.successes += 1
            if last.successes >= left + _MORE:
                self.means_nothing = True
                log.info(
                    "%s keeps reporting %d requests remaining while accepting more; "
                    "ignoring its rate-limit headers for this pass",
                    self._host,
                    left,
                )
        return not self.means_nothing


@dataclass(slots=True)
class _Report:
    left: int
    at: float
    """When this number was reported first."""
    successes: int = 0
    """How many requests have succeeded since."""
