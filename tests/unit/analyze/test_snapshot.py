"""Answers that are kept for all rehearsals: each question is put once."""

from __future__ import annotations

import asyncio

import pytest

from ocync.analyze.snapshot import AnswerCache
from ocync.lib.errors import NetworkError, NotFoundError


class Asked:
    """A question of which it is counted how often it is put."""

    def __init__(self, answer: object = "yes") -> None:
        self.answer = answer
        self.times = 0

    async def __call__(self) -> object:
        self.times += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_a_question_is_put_once_by_all_who_ask_at_once_and_later() -> None:
    answers, asked = AnswerCache(), Asked()

    together = await asyncio.gather(*(answers.get("a", asked) for _ in range(3)))

    assert [*together, await answers.get("a", asked)] == ["yes"] * 4
    assert asked.times == 1


async def test_an_error_that_would_come_again_is_an_answer() -> None:
    answers, asked = AnswerCache(), Asked(NotFoundError("gone"))

    for _ in range(2):
        with pytest.raises(NotFoundError):
            await answers.get("a", asked)

    assert asked.times == 1


async def test_what_failed_in_passing_is_asked_again_and_not_once_the_first_rehearsal_is_over() -> None:
    answers, asked, other = AnswerCache(), Asked(NetworkError("reset")), Asked(NetworkError("reset"))
    for question in (asked, asked, other):
        with pytest.raises(NetworkError):
            await answers.get(question, question)
    asked.answer = "yes"
    assert await answers.get(asked, asked) == "yes"

    answers.are_final = True

    assert await answers.get(asked, asked) == "yes"
    with pytest.raises(NetworkError):
        await answers.get(other, other)
    assert (asked.times, other.times) == (3, 1)


async def test_an_error_that_is_raised_often_does_not_grow() -> None:
    answers, asked = AnswerCache(), Asked(NotFoundError("gone"))
    depths = []
    for _ in range(3):
        with pytest.raises(NotFoundError) as failure:
            await answers.get("a", asked)
        depths.append(len(failure.traceback))

    assert depths[1] == depths[2]


async def test_no_more_is_kept_than_may_be_and_what_was_asked_for_lately_stays() -> None:
    answers = AnswerCache(most=10_000)
    first, second, third = (Asked(("a tag",) * 10) for _ in range(3))

    for question in (first, second, first, third, first, second):
        await answers.get(question, question)

    assert (first.times, second.times, third.times) == (1, 2, 1)
