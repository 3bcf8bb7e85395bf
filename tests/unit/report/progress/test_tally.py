import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.report.progress.tally import Pace, Tally, seconds_left
from ocync.transfer.events import (
    BytesExpected,
    BytesMoved,
    Event,
    ImageFinished,
    ImageStarted,
    MappingResolved,
    MappingsCounted,
)
from reports import copied, failed, unchanged
from steps import steps

KEY = copied().target


def tallied(*events: Event) -> Tally:
    tally = Tally()
    for event in events:
        tally.take(event)
    return tally


def test_a_pass_is_counted_from_its_events() -> None:
    tally = tallied(
        MappingsCounted(2),
        MappingResolved("a", 3),
        MappingResolved("b", 1),
        ImageFinished(unchanged()),
        ImageStarted(KEY),
        BytesExpected(KEY, 100),
        BytesMoved(KEY, 30),
        ImageFinished(failed()),
    )
    assert (tally.images, tally.images_done, tally.skipped, tally.failed) == (4, 2, 1, 1)
    assert (tally.bytes_moved, tally.bytes_left) == (30, 70)
    assert list(tally.flights) == [KEY]
    tally.take(ImageFinished(copied()))
    assert (tally.synced, tally.bytes_left, tally.flights) == (1, 0, {})


def test_an_image_that_is_tried_again_begins_anew() -> None:
    again = [ImageStarted(KEY), BytesExpected(KEY, 100), BytesMoved(KEY, 60)]
    tally = tallied(*again, *again)
    assert tally.bytes_left == 40
    assert tally.bytes_moved == 120
    assert tally.images == 1


def test_bytes_sent_twice_do_not_make_the_rest_negative() -> None:
    tally = tallied(ImageStarted(KEY), BytesExpected(KEY, 100), BytesMoved(KEY, 90), BytesMoved(KEY, 90))
    assert tally.bytes_left == 0


def test_images_that_no_mapping_announced_are_counted_when_they_begin() -> None:
    tally = tallied(MappingsCounted(1), ImageStarted(KEY))
    assert (tally.images, tally.mappings_pending) == (1, 0)
    tally.take(ImageFinished(copied()))
    assert (tally.images, tally.images_done, tally.mappings_pending) == (1, 1, 0)


def test_mappings_are_pending_until_their_tags_are_known() -> None:
    assert tallied(MappingsCounted(3), MappingResolved("a", 5)).mappings_pending == 2


@given(
    st.lists(
        st.one_of(
            st.builds(MappingsCounted, st.integers(0, 5)),
            st.builds(MappingResolved, st.just("m"), st.integers(0, 5)),
            st.builds(ImageStarted, st.sampled_from("ab")),
            st.builds(BytesExpected, st.sampled_from("ab"), st.integers(0, 100)),
            st.builds(BytesMoved, st.sampled_from("ab"), st.integers(0, 100)),
            st.builds(ImageFinished, st.sampled_from([copied("a", target="a"), failed(), unchanged()])),
        ),
        max_size=30,
    )
)
def test_no_order_of_events_makes_a_number_negative_or_more_done_than_there_is(events: list[Event]) -> None:
    tally = tallied(*events)
    assert tally.images >= tally.images_done + len(tally.flights)
    assert tally.mappings_pending >= 0
    assert tally.bytes_left >= 0
    left = seconds_left(tally, rate=1.0, elapsed=10.0)
    assert left is None or left >= 0


def test_a_piece_costs_few_steps_however_many_there_have_been() -> None:
    tally = tallied(ImageStarted(KEY), BytesExpected(KEY, 10**9))

    def take() -> None:
        for _ in range(10_000):
            tally.take(BytesMoved(KEY, 1000))

    assert steps(take) < 12 * 10_000
    assert steps(take) < 12 * 10_000


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace(0.0, window=10)
    assert pace.look(0.0, 0) == 0
    assert pace.look(5.0, 500) == 100
    for second in range(6, 40):
        speed = pace.look(float(second), 500)
    assert speed == 0
    assert pace.elapsed(40.0) == 40


@pytest.mark.parametrize(
    ("events", "rate", "elapsed", "left"),
    [
        pytest.param([], 0, 60, None, id="nothing known"),
        pytest.param([MappingsCounted(2), MappingResolved("a", 4)], 9, 60, None, id="tags are still listed"),
        pytest.param([MappingResolved("a", 4)], 9, 60, None, id="no image is done"),
        pytest.param([MappingResolved("a", 4), ImageFinished(unchanged())], 9, 2, None, id="it has just begun"),
        pytest.param([MappingResolved("a", 4), ImageFinished(unchanged())], 0, 60, 180, id="by images"),
        pytest.param(
            [MappingResolved("a", 1), ImageStarted(KEY), BytesExpected(KEY, 90)], 9, 60, 10, id="by bytes"
        ),
        pytest.param(
            [MappingResolved("a", 1), ImageStarted(KEY), BytesExpected(KEY, 90)],
            0,
            60,
            None,
            id="bytes stand still",
        ),
        pytest.param([MappingResolved("a", 1), ImageFinished(unchanged())], 0, 60, 0, id="all done"),
    ],
)
def test_what_is_left_is_estimated_where_it_can_be(
    events: list[Event], rate: float, elapsed: float, left: float | None
) -> None:
    assert seconds_left(tallied(*events), rate=rate, elapsed=elapsed) == left
