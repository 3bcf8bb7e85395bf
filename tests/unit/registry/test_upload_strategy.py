"""How a host's way of taking blobs is found out: by one small blob, that the others wait for, and not for long."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from ocync.oci.providers import MIB, Settings
from ocync.registry.upload_strategy import PART, PATIENCE, SMALL, Form, UploadStrategy, form_in, text_of_form


async def waits(strategy: UploadStrategy, size: int = 10) -> asyncio.Task[Form]:
    """Begin to ask for a form, and make sure that the answer is not there yet."""
    task = asyncio.create_task(strategy.form(size))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_the_first_small_blob_tries_and_all_others_wait_for_it() -> None:
    strategy = UploadStrategy()
    assert await strategy.form(SMALL) is Form.TRIAL
    others = [await waits(strategy, size) for size in (10, SMALL, SMALL + 1, 10**10)]

    strategy.takes_single_post(10)
    strategy.trial_ended()

    assert [await task for task in others] == [Form.SINGLE] * 4
    assert strategy.single_post is True


async def test_a_no_is_for_all() -> None:
    strategy = UploadStrategy()
    assert await strategy.form(10) is Form.TRIAL
    other = await waits(strategy)

    strategy.refuses_single_post()
    strategy.trial_ended()

    assert await other is Form.SESSION
    assert strategy.single_post is False


async def test_a_large_blob_never_tries_and_waits_for_nobody_who_has_not_begun() -> None:
    strategy = UploadStrategy()

    assert await strategy.form(SMALL + 1) is Form.SESSION
    assert await strategy.form(SMALL) is Form.TRIAL


async def test_a_trial_that_was_given_up_is_made_by_one_of_those_who_waited() -> None:
    strategy = UploadStrategy()
    assert await strategy.form(10) is Form.TRIAL
    others = [await waits(strategy), await waits(strategy), await waits(strategy, SMALL + 1)]

    strategy.trial_ended()
    assert await others[0] is Form.TRIAL
    assert not others[1].done()
    strategy.takes_single_post(10)
    strategy.trial_ended()

    assert [await task for task in others[1:]] == [Form.SINGLE, Form.SINGLE]


async def test_a_trial_whose_task_was_cancelled_is_made_by_one_of_those_who_waited() -> None:
    strategy = UploadStrategy()
    began = asyncio.Event()

    async def give_up() -> None:
        assert await strategy.form(10) is Form.TRIAL
        began.set()
        await asyncio.Event().wait()

    trying = asyncio.create_task(give_up())
    await began.wait()
    other = await waits(strategy)
    trying.cancel()

    assert await other is Form.TRIAL


async def test_nobody_waits_longer_than_patience_lasts() -> None:
    now = 0.0
    strategy = UploadStrategy(clock=lambda: now)
    assert await strategy.form(10) is Form.TRIAL
    now = PATIENCE - 0.01
    other = await waits(strategy)

    now = PATIENCE + 0.01
    async with asyncio.timeout(2):
        assert await other is Form.SESSION
        # Neither is there a second trial beside the one that lasts.
        assert await strategy.form(10) is Form.SESSION


async def test_a_host_that_says_neither_yes_nor_no_is_not_tried_for_ever() -> None:
    strategy = UploadStrategy()
    for _ in range(3):
        assert await strategy.form(10) is Form.TRIAL
        strategy.trial_ended(failed=True)

    assert await strategy.form(10) is Form.SESSION
    assert strategy.single_post is False


async def test_large_blobs_that_fail_by_one_post_go_by_two_requests_and_small_ones_stay() -> None:
    strategy = UploadStrategy(Settings(single_post=True))
    for _ in range(2):
        strategy.stream_failed()
    strategy.takes_single_post(SMALL + 1)
    for _ in range(3):
        assert await strategy.form(SMALL + 1) is Form.SINGLE
        strategy.stream_failed()

    assert await strategy.form(SMALL + 1) is Form.SESSION
    assert await strategy.form(SMALL) is Form.SINGLE


@pytest.mark.parametrize("known", [True, False])
async def test_what_is_known_is_not_tried(known: bool) -> None:
    assert await UploadStrategy(Settings(single_post=known)).form(10) is (Form.SINGLE if known else Form.SESSION)


def test_parts_have_a_size_that_the_host_bears() -> None:
    assert UploadStrategy().part(10**9) is None
    for settings, size, part in (
        (Settings(), 10**9, PART),
        (Settings(chunk_least=5 * MIB, chunk_most=10 * MIB), 10**9, 5 * MIB),
        (Settings(chunk_most=MIB), 10**9, MIB),
        (Settings(), 3 * MIB, 3 * MIB // 2),
    ):
        strategy = UploadStrategy(settings)
        assert strategy.too_large(size)
        assert strategy.part(size) == part
        assert strategy.part(part) is None


@pytest.mark.parametrize(
    ("settings", "size"),
    [(Settings(chunks=False), 10**9), (Settings(), 100_000), (Settings(chunk_least=5 * MIB), 5 * MIB)],
    ids=["no parts there", "too small", "no smaller than the least"],
)
def test_where_parts_can_t_help_the_whole_is_all_there_is(settings: Settings, size: int) -> None:
    strategy = UploadStrategy(settings)

    assert not strategy.too_large(size)
    assert strategy.part(size) is None


def test_a_part_that_is_too_large_is_halved_and_in_the_end_given_up() -> None:
    strategy = UploadStrategy()
    assert strategy.too_large(10**9)
    sizes = [PART]
    while (smaller := strategy.part_too_large(sizes[-1])) is not None:
        sizes.append(smaller)

    assert sizes[1] == PART // 2
    assert sizes[-1] >= 64 * 1024
    assert strategy.part(10**9) is None


def test_large_uploads_that_break_one_after_the_other_go_in_parts() -> None:
    strategy = UploadStrategy()
    for _ in range(2):
        assert strategy.part(10**9) is None
        strategy.whole_broke(strategy.whole_begins(), 20 * MIB)

    assert strategy.part(10**9) == PART


def test_uploads_that_break_together_count_as_one() -> None:
    strategy = UploadStrategy()
    began = [strategy.whole_begins() for _ in range(16)]
    for each in began:
        strategy.whole_broke(each, 20 * MIB)

    assert strategy.part(10**9) is None


@pytest.mark.parametrize(("arrived", "parts"), [(20 * MIB, False), (MIB, True)])
def test_one_that_gets_as_far_shows_that_it_was_only_a_bad_moment(arrived: int, *, parts: bool) -> None:
    strategy = UploadStrategy()
    strategy.whole_broke(strategy.whole_begins(), 20 * MIB)
    strategy.whole_arrived(arrived)
    strategy.whole_broke(strategy.whole_begins(), 20 * MIB)

    assert (strategy.part(10**9) is not None) is parts


def test_what_breaks_early_says_nothing_of_size() -> None:
    strategy = UploadStrategy()
    for _ in range(9):
        strategy.whole_broke(strategy.whole_begins(), 100_000)

    assert strategy.part(10**9) is None


def test_few_parts_are_kept_in_memory_at_once() -> None:
    strategy = UploadStrategy()
    with ExitStack() as stack:
        assert [stack.enter_context(strategy.buffer()) for _ in range(6)] == [True] * 4 + [False] * 2
    with strategy.buffer() as is_free:
        assert is_free


def test_a_blob_has_no_more_parts_than_registries_allow() -> None:
    ecr = UploadStrategy(Settings(chunk_least=5 * MIB, chunk_most=10 * MIB))
    for strategy in (ecr, UploadStrategy()):
        assert strategy.too_large(10**9)
        for size in (20 * 1024 * MIB, 39_000 * MIB):
            part = strategy.part(size)
            assert part is not None
            assert -(-size // part) <= 4200
    # A size that was too large is not sent again for the sake of that.
    other = UploadStrategy()
    assert other.too_large(10**9)
    assert other.part_too_large(PART) == PART // 2
    assert other.part(20 * 1024 * MIB) == PART // 2


@pytest.mark.parametrize("single", [True, False])
def test_what_a_host_has_shown_is_kept_from_pass_to_pass(single: bool) -> None:
    strategy = UploadStrategy()

    strategy.begin_at(form_in(text_of_form(single, 1_700_000_000.4), 1_700_086_400))

    assert strategy.single_post is single


def test_a_no_is_forgotten_after_a_week_and_a_yes_is_not() -> None:
    later = 1_700_000_000 + 8 * 86_400

    assert form_in(text_of_form(False, 1_700_000_000), later) is None
    assert form_in(text_of_form(True, 1_700_000_000), later) is True


def test_what_was_shown_just_now_is_believed_at_once() -> None:
    assert form_in(text_of_form(False, 1_700_000_000.7), 1_700_000_000.8) is False


@pytest.mark.parametrize("text", [None, "", "yes", "no later", "maybe 1700000000", "no -5", "no ¹²"])
def test_what_is_no_note_of_a_host_tells_nothing(text: str | None) -> None:
    assert form_in(text, 1_700_000_000) is None
