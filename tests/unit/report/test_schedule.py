from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ocync.report.schedule import longest_gap
from steps import steps

HOUR = 3600
DAY = 24 * HOUR
SIXTY_YEARS = [date(1999, 1, 1) + timedelta(days=number) for number in range(60 * 365 + 15)]


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("* * * * *", 60),
        ("*/5 * * * *", 300),
        ("*/7 * * * *", 7 * 60),
        ("*/45 * * * *", 45 * 60),
        ("50/5 * * * *", 55 * 60),
        ("0-30 * * * *", 30 * 60),
        ("0-30/15 * * * *", 30 * 60),
        ("1,2,50 * * * *", 48 * 60),
        ("5,,10, * * * *", 55 * 60),
        ("0 */6 * * *", 6 * HOUR),
        ("0 */5 * * *", 5 * HOUR),
        ("0 */9 * * *", 9 * HOUR),
        ("0 8-18 * * *", 14 * HOUR),
        ("30 8,20 * * *", 12 * HOUR),
        ("0 0 * * *", DAY),
        ("0 9 * * MON-FRI", 3 * DAY),
        ("0 9-17 * * mon-fri", 2 * DAY + 16 * HOUR),
        ("0 0 * * 0", 7 * DAY),
        ("0 0 ? * 6", 7 * DAY),
        ("0 0 1 * ?", 31 * DAY),
        ("0 0 31 * *", 61 * DAY),
        ("0 0 30 * *", 60 * DAY),
        ("0 0 1 */3 *", 92 * DAY),
        ("0 0 1 mar,Jun,SEP,DEC *", 92 * DAY),
        ("0 0 1 feb-apr *", 306 * DAY),
        ("0 0 1 1 *", 366 * DAY),
        ("0 0 29 2 *", 1461 * DAY),
        ("0 0 1 * MON", 7 * DAY),
        ("0 0 1 1 MON", 342 * DAY),
        ("0 0 */2 * *", 2 * DAY),
        ("0 0 */16 * MON", 7 * DAY),
        ("0 0 */1 * MON", 7 * DAY),
        ("0 0 *,5 * MON", 7 * DAY),
        ("*/+5 * * * *", 300),
        ("  0 \t0  * * *  ", DAY),
        ("@hourly", HOUR),
        ("@daily", DAY),
        ("@midnight", DAY),
        ("@weekly", 7 * DAY),
        ("@monthly", 31 * DAY),
        ("@yearly", 366 * DAY),
        ("@annually", 366 * DAY),
        ("@every 1h30m", 5400),
        ("@every 1.5h", 5400),
        ("@every .5h", 1800),
        ("@every 1.h", HOUR),
        ("@every 90s", 90),
        ("@every 1m0.9s", 60),
        ("@every 2000ms", 2),
        ("@every 3000000us", 3),
        ("@every 3000000\u00b5s", 3),
        ("@every 3000000\u03bcs", 3),
        ("@every 4000000000ns", 4),
        ("@every +1h", HOUR),
        ("@every 10ms", 1),
        ("@every 0", 1),
        ("@every -1h", 1),
        ("TZ=Europe/Berlin 0 3 * * *", DAY),
        ("CRON_TZ=Asia/Tokyo   @hourly", HOUR),
        ("TZ=UTC @every 2h", 2 * HOUR),
    ],
)
def test_the_longest_gap_of_an_expression(expression: str, seconds: int) -> None:
    assert longest_gap(expression) == seconds


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 7",
        "5-1 * * * *",
        "0-60 * * * *",
        "1-2-3 * * * *",
        "1/2/3 * * * *",
        "*/0 * * * *",
        "*/ * * * *",
        "*/-5 * * * *",
        "-5 * * * *",
        "5- * * * *",
        "1.5 * * * *",
        "a * * * *",
        "* * * january *",
        "* MON * * *",
        "MON * * * *",
        "\u0665 * * * *",
        "0 0 L * *",
        "0 0 * * 1#2",
        "H * * * *",
        ", * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "@Hourly",
        "@reboot",
        "@every",
        "@every ",
        "@every soon",
        "@every 1",
        "@every 1d",
        "@every 1h 30m",
        "@every .h",
        "@every -+1h",
        "@every 9999999h",
        pytest.param("@every " + "9" * 5000 + "h", id="a duration of 5000 digits"),
        pytest.param("9" * 5000 + " * * * *", id="a minute of 5000 digits"),
        "TZ=UTC",
        "TZ= ",
        "TZ=UTC 0 0 * *",
    ],
)
def test_an_invalid_or_never_matching_expression_has_no_gap(expression: str) -> None:
    assert longest_gap(expression) is None


@given(st.text(alphabet="0123456789*/-,?@ =TZeveryhmsMONJAN.\u00b5", max_size=40) | st.text())
def test_no_text_is_too_odd_and_no_schedule_is_faster_than_its_unit(text: str) -> None:
    gap = longest_gap(text)

    assert gap is None or gap >= (1 if "@every" in text else 60)


def field(lowest: int, highest: int) -> st.SearchStrategy[tuple[str, set[int] | None]]:
    """Expressions for one field with the numbers they stand for; None for a field left open."""
    number = st.integers(lowest, highest)
    step = st.integers(2, highest + 2)
    bounds = st.tuples(number, number).map(sorted)
    part = st.one_of(
        number.map(lambda n: (str(n), {n})),
        bounds.map(lambda b: (f"{b[0]}-{b[1]}", set(range(b[0], b[1] + 1)))),
        st.tuples(bounds, step).map(
            lambda b: (f"{b[0][0]}-{b[0][1]}/{b[1]}", set(range(b[0][0], b[0][1] + 1, b[1])))
        ),
        st.tuples(number, step).map(lambda b: (f"{b[0]}/{b[1]}", set(range(b[0], highest + 1, b[1])))),
        step.map(lambda s: (f"*/{s}", set(range(lowest, highest + 1, s)))),
    )
    several = st.lists(part, min_size=1, max_size=3).map(
        lambda parts: (",".join(text for text, _ in parts), set().union(*(numbers for _, numbers in parts)))
    )
    return st.sampled_from([("*", None), ("?", None)]) | several


# Many steps each, on machines that may be busy: an example has no time limit of its own.
@settings(deadline=None)
@given(field(0, 59), field(0, 23), field(0, 6))
def test_a_walk_over_all_minutes_of_weeks_finds_the_same(
    minute: tuple[str, set[int] | None], hour: tuple[str, set[int] | None], weekday: tuple[str, set[int] | None]
) -> None:
    start = datetime(2023, 1, 1, tzinfo=UTC)
    days = [start + timedelta(days=number) for number in range(22)]
    minutes = [
        day_number * 1440 + h * 60 + m
        for day_number, day in enumerate(days)
        if weekday[1] is None or day.isoweekday() % 7 in weekday[1]
        for h in range(24)
        if hour[1] is None or h in hour[1]
        for m in range(60)
        if minute[1] is None or m in minute[1]
    ]

    gap = longest_gap(f"{minute[0]} {hour[0]} * * {weekday[0]}")

    assert gap == max(later - earlier for earlier, later in pairwise(minutes)) * 60


@settings(deadline=None, max_examples=50)
@given(field(1, 31), field(1, 12), field(0, 6))
def test_a_walk_over_all_days_of_sixty_years_finds_the_same(
    day: tuple[str, set[int] | None], month: tuple[str, set[int] | None], weekday: tuple[str, set[int] | None]
) -> None:
    def due(each: date) -> bool:
        chosen = [
            value in numbers
            for value, numbers in ((each.day, day[1]), (each.isoweekday() % 7, weekday[1]))
            if numbers is not None
        ]
        return (month[1] is None or each.month in month[1]) and (any(chosen) or not chosen)

    runs = [number for number, each in enumerate(SIXTY_YEARS) if due(each)]
    assume(runs)

    gap = longest_gap(f"0 0 {day[0]} {month[0]} {weekday[0]}")

    assert gap == max(later - earlier for earlier, later in pairwise(runs)) * DAY


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("* * * * *", id="each minute"),
        pytest.param("0 0 29 2 *", id="29 February"),
        pytest.param("1," * 50_000 + "1 0 * * *", id="a long list"),
        pytest.param("@every " + "1" * 100_000, id="a long number"),
        pytest.param("@every " + "1h" * 50_000 + "!", id="a long duration"),
    ],
)
def test_no_pass_waits_for_it(expression: str) -> None:
    # The days of 28 years, and what each part of a list costs.
    assert steps(lambda: longest_gap(expression)) < 100_000 + 15 * len(expression)
