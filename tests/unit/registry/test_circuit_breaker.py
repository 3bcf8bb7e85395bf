"""When a host is taken for dead, who asks it then, and who does not."""

from __future__ import annotations

import asyncio

import pytest

from ocync.lib.errors import UnreachableError
from ocync.registry.circuit_breaker import FAILURES, PATIENCE, CircuitBreaker
from ocync.registry.retry import is_retryable

HOST = "dead.example"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def dead() -> tuple[CircuitBreaker, Clock]:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    for _ in range(FAILURES):
        breaker.failed("refused")
    clock.now += PATIENCE
    return breaker, clock


@pytest.mark.parametrize(
    ("failures", "seconds", "expected"),
    [
        (FAILURES, PATIENCE, True),
        (FAILURES * 100, PATIENCE - 1, False),
        (FAILURES - 1, PATIENCE * 10, False),
    ],
    ids=["often and for long", "often and a moment ago", "seldom"],
)
async def test_a_host_is_dead_when_it_failed_often_and_for_long(
    failures: int, seconds: float, expected: bool
) -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    for _ in range(failures):
        breaker.failed("refused")
    clock.now += seconds

    assert breaker.is_long() is expected
    # The first to come is let through in any case: somebody has to find out.
    assert await breaker.admit(HOST) is expected


async def test_while_one_asks_a_dead_host_the_others_wait_a_moment_for_what_comes_of_it() -> None:
    breaker, _ = dead()
    assert await breaker.admit(HOST)

    others = [asyncio.ensure_future(breaker.admit(HOST)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(other.done() for other in others)
    breaker.end()
    breaker.probed()

    assert await asyncio.gather(*others) == [False, False, False]


async def test_who_waited_in_vain_fails_and_does_not_ask_too() -> None:
    breaker, _ = dead()
    assert await breaker.admit(HOST)

    others = [asyncio.ensure_future(breaker.admit(HOST)) for _ in range(3)]
    await asyncio.sleep(0)
    breaker.failed("refused again")
    breaker.probed()
    answers = await asyncio.gather(*others, return_exceptions=True)

    assert [type(answer) for answer in answers] == [UnreachableError] * 3
    assert str(answers[0]) == f"{HOST} gives no answer and is not waited for any more: refused again"
    assert await breaker.admit(HOST)


async def test_a_slow_answer_is_not_waited_for_by_all() -> None:
    breaker, clock = dead()
    assert await breaker.admit(HOST)
    clock.now += 2

    async with asyncio.timeout(0.5):
        with pytest.raises(UnreachableError):
            await breaker.wait(HOST)


def test_the_error_is_worth_another_try_at_the_end_and_none_before() -> None:
    error = dead()[0].error(HOST)

    assert error.retryable
    assert not is_retryable(error)
