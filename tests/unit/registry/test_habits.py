"""How a host's way of taking blobs is found out: by one small blob, that the others wait for, and not for long."""

from __future__ import annotations

import asyncio

import pytest

from ocync.registry.habits import PATIENCE, SMALL, Form, Habits


async def waits(habits: Habits, size: int = 10) -> asyncio.Task[Form]:
    """Begin to ask for a form, and make sure that the answer is not there yet."""
    task = asyncio.create_task(habits.form(size))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_the_first_small_blob_tries_and_all_others_wait_for_it() -> None:
    habits = Habits()
    assert await habits.form(SMALL) is Form.TRIAL
    others = [await waits(habits, size) for size in (10, SMALL, SMALL + 1, 10**10)]

    habits.takes_single_post(10)
    habits.trial_ended()

    assert [await task for task in others] == [Form.SINGLE] * 4
    assert habits.single_post is True


async def test_a_no_is_for_all() -> None:
    habits = Habits()
    assert await habits.form(10) is Form.TRIAL
    other = await waits(habits)

    habits.refuses_single_post()
    habits.trial_ended()

    assert await other is Form.SESSION
    assert habits.single_post is False


async def test_a_large_blob_never_tries_and_waits_for_nobody_who_has_not_begun() -> None:
    habits = Habits()

    assert await habits.form(SMALL + 1) is Form.SESSION
    assert await habits.form(SMALL) is Form.TRIAL


async def test_a_trial_that_was_given_up_is_made_by_one_of_those_who_waited() -> None:
    habits = Habits()
    assert await habits.form(10) is Form.TRIAL
    others = [await waits(habits), await waits(habits), await waits(habits, SMALL + 1)]

    habits.trial_ended()
    assert await others[0] is Form.TRIAL
    assert not others[1].done()
    habits.takes_single_post(10)
    habits.trial_ended()

    assert [await task for task in others[1:]] == [Form.SINGLE, Form.SINGLE]


async def test_nobody_waits_longer_than_patience_lasts() -> None:
    now = 0.0
    habits = Habits(clock=lambda: now)
    assert await habits.form(10) is Form.TRIAL
    now = PATIENCE - 0.01
    other = await waits(habits)

    now = PATIENCE + 0.01
    async with asyncio.timeout(2):
        assert await other is Form.SESSION
        # Neither is there a second trial beside the one that lasts.
        assert await habits.form(10) is Form.SESSION


async def test_a_host_that_says_neither_yes_nor_no_is_not_tried_for_ever() -> None:
    habits = Habits()
    for _ in range(3):
        assert await habits.form(10) is Form.TRIAL
        habits.trial_ended(failed=True)

    assert await habits.form(10) is Form.SESSION
    assert habits.single_post is False


async def test_large_blobs_that_fail_by_one_post_go_by_two_requests_and_small_ones_stay() -> None:
    habits = Habits(single_post=True)
    for _ in range(2):
        habits.stream_failed()
    habits.takes_single_post(SMALL + 1)
    for _ in range(3):
        assert await habits.form(SMALL + 1) is Form.SINGLE
        habits.stream_failed()

    assert await habits.form(SMALL + 1) is Form.SESSION
    assert await habits.form(SMALL) is Form.SINGLE


@pytest.mark.parametrize("known", [True, False])
async def test_what_is_known_is_not_tried(known: bool) -> None:
    assert await Habits(single_post=known).form(10) is (Form.SINGLE if known else Form.SESSION)
