"""What registries tell of their limits, and what we make of it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import QuotaError
from ocync.registry.http.message import Headers
from ocync.registry.pull_quota import PullQuota
from ocync.registry.ratelimit_headers import Allowance, go_duration, read_allowance

NOW = 1_800_000_000.0
HOURS = 21600.0


def told(**fields: str) -> Allowance | None:
    return read_allowance(Headers([(name.replace("_", "-"), value) for name, value in fields.items()]), NOW)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"ratelimit_limit": "100;w=21600", "ratelimit_remaining": "20;w=21600"},
            Allowance(remaining=20, limit=100, window=HOURS),
        ),
        (
            {"RateLimit_Limit": "2000", "RateLimit_Remaining": "0", "RateLimit_Reset": "1800000060"},
            Allowance(remaining=0, limit=2000, resets_in=60.0),
        ),
        ({"RateLimit_Remaining": "3", "RateLimit_Reset": "30"}, Allowance(remaining=3, resets_in=30.0)),
        (
            {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "59", "x_ratelimit_reset": "1700000000"},
            Allowance(remaining=59, limit=60, resets_in=0.0),
        ),
        (
            {"ratelimit_limit": "100, 100;w=60", "ratelimit_remaining": "5"},
            Allowance(remaining=5, limit=100, window=60),
        ),
        (
            {"RateLimit": '"hour";r=50;t=30', "RateLimit_Policy": '"hour";q=100;w=3600'},
            Allowance(remaining=50, limit=100, window=3600.0, resets_in=30.0),
        ),
        (
            {
                "RateLimit": '"burst";r=7;t=1 , "day" ; r=3; pk=:cHN0LCI7:; t=5000',
                "RateLimit_Policy": '"burst";q=10;w=1,"day";q=100;qu="requests, all; r=1";w=86400',
            },
            Allowance(remaining=3, limit=100, window=86400.0, resets_in=5000.0),
        ),
        ({"RateLimit": '"a \\"b, c";r=4'}, Allowance(remaining=4)),
        (
            {"RateLimit": '"x";r=1;t=1', "RateLimit_Remaining": "20", "RateLimit_Reset": "9"},
            Allowance(remaining=20, resets_in=9.0),
        ),
        ({"RateLimit": '"x";t=1'}, None),
        ({"RateLimit": '"x";r=-1, "y;r=2'}, None),
        ({"RateLimit_Policy": '"x";q=10;w=1'}, None),
        ({"ratelimit_limit": "100;w=21600"}, None),
        ({"ratelimit_remaining": "many"}, None),
        ({"ratelimit_remaining": ""}, None),
        ({"ratelimit_remaining": "-1"}, None),
        ({}, None),
    ],
)
def test_what_is_left_is_read_in_all_forms_and_what_is_not_told_is_no_zero(
    fields: dict[str, str], expected: Allowance | None
) -> None:
    assert told(**fields) == expected


@pytest.mark.parametrize("rest", ['/\\"', '"x";qu=:', '"x";qu="', '";', '" ', "9"])
def test_of_a_field_that_does_not_end_the_beginning_is_read(rest: str) -> None:
    # Four KiB take milliseconds; what is searched to its end from each quote would take hours.
    endless = rest * (256 * 1024 // len(rest))

    assert told(RateLimit=f'"hour";r=5,{endless}', RateLimit_Policy=f'"hour";q=9,{endless}') == Allowance(
        remaining=5, limit=9
    )
    assert told(RateLimit=f'"hour";r=5{endless}') in (None, Allowance(remaining=5))


def test_a_number_that_is_cut_is_not_read() -> None:
    before = '"a";r=7,"b";x="' + "y" * 100 + '",'
    filler = ("," * 4096)[: 4096 - len(before) - len('"c";r=12')]

    assert told(RateLimit=f'{before}{filler}"c";r=1234567') == Allowance(remaining=7)


@given(st.text('";=:rtqw, \\\\x01', max_size=60), st.text('";=:rtqw, \\\\x01', max_size=60))
def test_any_structured_field_is_an_allowance_or_none(told_now: str, policy: str) -> None:
    found = told(RateLimit=told_now, RateLimit_Policy=policy)

    assert found is None or found.remaining >= 0


@given(*(st.text(st.characters(max_codepoint=255), max_size=30) for _ in range(3)))
def test_any_header_is_an_allowance_or_none(remaining: str, limit: str, reset: str) -> None:
    found = told(ratelimit_remaining=remaining, ratelimit_limit=limit, ratelimit_reset=reset)

    assert found is None or (found.remaining >= 0 and (found.resets_in is None or found.resets_in >= 0))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1m30s", 90.0),
        ("1h0m0.5s", 3600.5),
        ("10.305464ms", 0.010305464),
        ("75µs", 75e-6),
        ("75\u03bcs", 75e-6),
        (".5s", 0.5),
        ("0s", 0.0),
        ("1ns", 1e-9),
        ("", None),
        ("s", None),
        ("1", None),
        ("1m30", None),
        ("-1s", None),
        ("1 s", None),
        ("9" * 400 + "s", None),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float | None) -> None:
    assert go_duration(text) == (pytest.approx(seconds) if seconds is not None else None)


@given(st.text(max_size=40))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    seconds = go_duration(text)

    assert seconds is None or 0 <= seconds < 1e20


def quota(remaining: int, limit: int | None = 100, **changes: float) -> PullQuota:
    made = PullQuota("r.example", clock=lambda: NOW)
    made.note(Allowance(remaining=remaining, limit=limit, **(changes or {"window": HOURS})))
    return made


async def no_wait(seconds: float) -> None:
    raise AssertionError(f"{seconds} s were waited for")


async def pulls(made: PullQuota) -> bool:
    try:
        async with made.pull("fetch x", no_wait):
            return True
    except QuotaError:
        return False


@pytest.mark.parametrize(
    ("remaining", "limit", "allowed"),
    [(100, 100, True), (3, 100, True), (2, 100, False), (1, 100, False), (2, None, True), (1, None, False)],
)
async def test_some_pulls_of_a_quota_of_hours_are_left_for_others(
    remaining: int, limit: int | None, allowed: bool
) -> None:
    assert await pulls(quota(remaining, limit)) is allowed


async def test_pulls_that_are_under_way_count() -> None:
    made = quota(4)
    async with made.pull("fetch 1", no_wait), made.pull("fetch 2", no_wait):
        assert not await pulls(made)
    assert await pulls(made)


async def test_an_error_says_how_many_are_left_and_when_there_are_more() -> None:
    with pytest.raises(
        QuotaError, match=r"only 1 of 100 pulls of r\.example's quota are left.*2027-01-15 14:00 UTC"
    ) as e:
        async with quota(1).pull("fetch x", no_wait):
            raise AssertionError("nothing is asked")

    assert not e.value.retryable


async def test_more_that_is_told_later_is_used() -> None:
    made = quota(1)
    assert not await pulls(made)
    made.note(None)
    assert not await pulls(made)
    made.note(Allowance(remaining=30, limit=100, window=HOURS))
    assert await pulls(made)


@pytest.mark.parametrize("told_wait", [HOURS, None])
async def test_after_a_refusal_nothing_is_asked_until_the_quota_is_renewed(told_wait: float | None) -> None:
    now = NOW
    made = PullQuota("r.example", clock=lambda: now)
    refusal = QuotaError("used up", host="r.example", status=429, retry_after=told_wait, hint="wait")
    with pytest.raises(QuotaError):
        async with made.pull("fetch x", no_wait):
            raise refusal

    with pytest.raises(QuotaError, match="not asked for any more") as caught:
        async with made.pull("fetch y", no_wait):
            raise AssertionError("nothing is asked")
    assert caught.value.hint == "wait"
    now += HOURS + 1
    assert await pulls(made) is (told_wait is not None)


async def test_a_window_of_a_minute_is_waited_for_and_then_forgotten() -> None:
    made, waits = quota(0, resets_in=40.0), list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    for _ in range(2):
        async with made.pull("fetch x", sleep):
            pass

    assert waits == [40.0]


@pytest.mark.parametrize(
    "made", [quota(5, resets_in=40.0), quota(0), PullQuota("r.example")], ids=["left", "hours", "untold"]
)
async def test_nothing_else_is_waited_for(made: PullQuota) -> None:
    assert await pulls(made)


async def test_an_empty_quota_of_hours_is_asked_by_one_at_a_time_until_it_refuses() -> None:
    made, at_once = quota(0), list[int]()

    async def pull() -> None:
        async with made.pull("fetch x", no_wait):
            at_once.append(1)
            await asyncio.sleep(0.01)
            raise QuotaError("used up", host="r.example", status=429)

    results = await asyncio.gather(*(pull() for _ in range(20)), return_exceptions=True)

    assert len(at_once) == 1
    assert all(isinstance(result, QuotaError) for result in results)


async def test_a_quota_that_gives_though_it_is_told_to_be_empty_is_none() -> None:
    now = NOW
    made = PullQuota("r.example", clock=lambda: now)
    empty = Allowance(remaining=0, limit=100, window=HOURS)
    under_way = most = 0
    made.note(empty)

    async def pull() -> None:
        nonlocal now, under_way, most
        async with made.pull("fetch x", no_wait) as begun:
            under_way += 1
            most = max(most, under_way)
            now += 1
            await asyncio.sleep(0)
            made.note(empty, begun=begun)
            under_way -= 1

    for _ in range(3):
        await asyncio.gather(*(pull() for _ in range(1)))
    assert most == 1
    await asyncio.gather(*(pull() for _ in range(30)))
    assert most == 30
