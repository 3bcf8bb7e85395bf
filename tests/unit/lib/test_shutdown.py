import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ocync.lib.shutdown import Stop, stopped_by_signals

GRACE = 25.0


@pytest.fixture
def stop() -> Stop:
    return Stop(grace=GRACE)


Listen = Callable[[Stop], list[float]]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Make a list that grows by the seconds that are left, at each request."""
    with ExitStack() as listening:

        def start(stop: Stop) -> list[float]:
            seconds: list[float] = []
            listening.enter_context(stop.listening(seconds.append))
            return seconds

        yield start


def test_the_first_request_leaves_the_grace_and_the_second_nothing(stop: Stop, listen: Listen) -> None:
    seconds = listen(stop)
    assert (stop.requested(), stop.reason, seconds) == (False, None, [])

    stop.request("signal SIGTERM")
    assert (stop.requested(), stop.reason, stop.forced, seconds) == (True, "signal SIGTERM", False, [GRACE])

    stop.request("signal SIGINT")
    assert (stop.reason, stop.forced, seconds) == ("signal SIGTERM", True, [GRACE, 0.0])

    stop.request("signal SIGINT")
    assert seconds == [GRACE, 0.0]


def test_the_deadline_leaves_the_grace_and_forces_nothing(stop: Stop, listen: Listen) -> None:
    seconds = listen(stop)
    stop.expire("deadline of 5 s")
    stop.expire("deadline of 5 s")
    assert (stop.reason, stop.forced, seconds) == ("deadline of 5 s", False, [GRACE])


def test_a_signal_after_the_deadline_is_the_first_one_and_only_the_next_forces(stop: Stop, listen: Listen) -> None:
    seconds = listen(stop)
    stop.expire("deadline of 5 s")
    stop.request("signal SIGTERM")
    assert (stop.reason, stop.forced, seconds) == ("deadline of 5 s", False, [GRACE])
    stop.request("signal SIGTERM")
    assert (stop.forced, seconds) == (True, [GRACE, 0.0])


def test_a_deadline_after_a_signal_is_no_second_one(stop: Stop) -> None:
    stop.request("signal SIGTERM")
    stop.expire("deadline of 5 s")
    assert (stop.reason, stop.forced) == ("signal SIGTERM", False)


@pytest.mark.parametrize(("requests", "seconds"), [(0, []), (1, [GRACE]), (2, [0.0])])
def test_a_late_listener_is_called_at_once(stop: Stop, listen: Listen, requests: int, seconds: list[float]) -> None:
    for _ in range(requests):
        stop.request("signal SIGTERM")
    assert listen(stop) == seconds


def test_a_removed_listener_is_not_called(stop: Stop) -> None:
    seconds: list[float] = []
    with stop.listening(seconds.append):
        pass
    stop.request("signal SIGTERM")
    assert seconds == []


def test_a_pass_among_others_ends_with_all(stop: Stop, listen: Listen) -> None:
    with stop.for_one_pass() as own:
        seconds = listen(own)
        assert (own.grace, own.requested()) == (GRACE, False)
        stop.request("signal SIGTERM")
        assert (own.reason, own.forced) == ("signal SIGTERM", False)
        stop.request("signal SIGTERM")
        assert (own.forced, seconds) == (True, [GRACE, 0.0])


def test_the_deadline_of_a_pass_ends_it_alone(stop: Stop) -> None:
    with stop.for_one_pass() as own:
        own.expire("deadline of 5 s")
        assert (own.reason, stop.reason) == ("deadline of 5 s", None)
        stop.request("signal SIGTERM")
        assert not own.forced
        stop.request("signal SIGTERM")
        assert own.forced


def test_a_request_after_a_pass_does_not_reach_it(stop: Stop) -> None:
    with stop.for_one_pass() as own:
        pass
    stop.request("signal SIGTERM")
    assert not own.requested()


@pytest.mark.parametrize(("requests", "forced"), [(1, False), (2, True)])
def test_a_pass_that_comes_after_the_request_knows_of_it(stop: Stop, requests: int, forced: bool) -> None:
    for _ in range(requests):
        stop.request("signal SIGTERM")
    with stop.for_one_pass() as own:
        assert (own.reason, own.forced) == ("signal SIGTERM", forced)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_signals_request_the_stop(stop: Stop, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    asked = asyncio.Event()
    with stopped_by_signals(stop), stop.listening(lambda _seconds: asked.set()):
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await asked.wait()
    assert stop.reason == f"signal {number.name}"
    if number is signal.SIGTERM:
        assert signal.getsignal(number) == before
