"""How long a target may stand still before one blob is given up there, however many sessions that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memory import Place, put_image
from ocync.lib.errors import NetworkError
from ocync.registry.retry import GIVE_UP_AFTER, RetryPolicy
from ocync.transfer.blob_reads import BlobReads, Delivery
from passes import no_sleep

if TYPE_CHECKING:
    from ocync.lib.errors import OcyncError


class Course:
    """One blob on its way to a target that fails after some silence, on a clock that passes only there."""

    def __init__(self, *, silent: str, seconds: float, failures: int = 1000, nearer: bool = False) -> None:
        self.now, self.left = 1000.0, failures
        self.source, self.target = Place("source"), Place("a", step=self.step)
        self.blob = put_image(self.source.repository("app"), "1", b"a layer").blobs[1]
        put_image(self.target.repository("other"), "1", b"a layer")
        self.nearer = self.target.repository("other") if nearer else None
        self._silent, self._seconds = silent, seconds

    def step(self, operation: str, *_call: str) -> tuple[int, OcyncError | None]:
        if operation != self._silent or not self.left:
            return 0, None
        self.left -= 1
        self.now += self._seconds
        return 0, NetworkError("nothing came for long")

    async def run(self, *, attempts: int = 10) -> float:
        """Return the seconds that it takes; raises what it ends with."""
        reads = BlobReads(RetryPolicy(attempts=attempts, max_delay=0.001, sleep=no_sleep, clock=lambda: self.now))
        repository = self.target.repository("app")
        upload = await repository.open_upload(self.blob)
        assert upload is not None
        began = self.now
        await reads.send(Delivery(self.blob, repository, upload), self.source.repository("app"), nearer=self.nearer)
        return self.now - began


@pytest.mark.parametrize("silent", ["send", "commit"])
@pytest.mark.parametrize(("seconds", "sessions"), [(15.0, 5), (45.0, 2), (60.0, 2), (300.0, 1)])
async def test_a_target_that_stands_still_is_given_up_after_75_seconds(
    silent: str, seconds: float, sessions: int
) -> None:
    course = Course(silent=silent, seconds=seconds)

    with pytest.raises(NetworkError, match=r"^nothing came for long$"):
        await course.run()

    assert course.target.count(silent) == sessions
    assert course.now - 1000.0 < GIVE_UP_AFTER + seconds


async def test_sessions_that_took_the_blob_from_the_target_itself_count_too() -> None:
    course = Course(silent="commit", seconds=60.0, nearer=True)

    with pytest.raises(NetworkError):
        await course.run()

    assert course.target.count("commit") == 2


async def test_a_target_that_fails_at_once_has_all_its_attempts() -> None:
    course = Course(silent="commit", seconds=0.0)

    with pytest.raises(NetworkError):
        await course.run()

    assert course.target.count("commit") == 10


async def test_a_target_that_stood_still_for_a_while_gets_the_blob_all_the_same() -> None:
    course = Course(silent="commit", seconds=60.0, failures=1)

    assert await course.run() == 60.0
    assert course.blob.digest in course.target.blobs["app"]
