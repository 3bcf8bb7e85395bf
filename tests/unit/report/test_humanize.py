import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.report import humanize


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (31_457_280, "31.5 MB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (4 * 1024**3, "4.3 GB"),
        (10**18, "1000.0 PB"),
    ],
)
def test_bytes_are_shown_in_decimal_units(count: int, shown: str) -> None:
    assert humanize.size(count) == shown


@given(st.integers(min_value=0, max_value=10**17))
def test_no_number_of_bytes_is_shown_with_four_digits_before_the_point(count: int) -> None:
    assert float(humanize.size(count).split()[0]) < 1000


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (-1, "0.0 s"),
        (4.2004, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1m00s"),
        (65, "1m05s"),
        (3599.7, "1h00m"),
        (7385, "2h03m"),
        (187_200, "2d04h"),
        (math.inf, "unknown"),
    ],
)
def test_a_span_is_shown_with_two_figures_that_matter(seconds: float, shown: str) -> None:
    assert humanize.span(seconds) == shown


def test_a_rate_over_no_time_at_all_is_a_number() -> None:
    assert humanize.rate(1000, 0) == "1.0 MB/s"
    assert humanize.rate(31_457_280, 4.2) == "7.5 MB/s"


def test_nouns_follow_their_number() -> None:
    assert humanize.counted(1, "image") == "1 image"
    assert humanize.counted(1234, "image") == "1,234 images"
    assert humanize.counted(0, "retry", "retries") == "0 retries"


def test_a_digest_is_shortened_behind_its_algorithm() -> None:
    assert humanize.short("sha256:" + "ab" * 32) == "sha256:abababababab"
