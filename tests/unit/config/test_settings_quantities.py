from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.config.settings import duration, size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90.0),
        (0, 0.0),
        ("0", 0.0),
        ("90", 90.0),
        ("90s", 90.0),
        ("30m", 1800.0),
        ("12h", 43200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        ("1d2h3m4s", 93784.0),
        ("30m1h", 5400.0),
        ("007s", 7.0),
    ],
)
def test_durations_are_seconds(written: str | int, seconds: float) -> None:
    assert duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "s", "1x", "1.5h", "-1s", -1, "1 h", "1h ", "h1", "1ms", "12H", "\u0661s", "P1D"]
)
def test_other_durations_are_refused(written: str | int) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration(written)


@pytest.mark.parametrize("written", ["99999999999d", "9" * 5000, "101d" * 1000, 10**15])
def test_durations_beyond_a_hundred_years_are_refused(written: str | int) -> None:
    with pytest.raises(ValueError, match="a hundred years"):
        duration(written)


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (0, 0),
        (1000, 1000),
        ("0", 0),
        ("1000", 1000),
        ("1000B", 1000),
        ("1KB", 1000),
        ("2GB", 2_000_000_000),
        ("1TB", 10**12),
        ("1KiB", 1024),
        ("10MiB", 10 * 1024**2),
        ("1Gi", 1024**3),
        ("2G", 2_000_000_000),
        ("500mb", 500_000_000),
        ("1.5GB", 1_500_000_000),
        ("0.5KiB", 512),
        ("0.1B", 0),
    ],
)
def test_sizes_are_bytes(written: str | int, count: int) -> None:
    assert size(written) == count


@pytest.mark.parametrize(
    "written", ["", "B", "GB", "-1", -1, "1 GB", "1PB", "1.GB", ".5GB", "1iB", "1,5GB", "2GBB"]
)
def test_other_sizes_are_refused(written: str | int) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        size(written)


@pytest.mark.parametrize("written", ["99999999TB", "9" * 5000, 10**30])
def test_sizes_beyond_any_disk_are_refused(written: str | int) -> None:
    with pytest.raises(ValueError, match="larger than any disk"):
        size(written)


@given(st.integers(0, 10**9))
def test_a_number_alone_is_itself(number: int) -> None:
    assert duration(number) == duration(str(number)) == duration(f"{number}s") == number
    assert size(number) == size(str(number)) == size(f"{number}B") == number


@given(st.text("0123456789smhdKMGTiB. -", max_size=12))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    for read in (duration, size):
        try:
            assert read(text) >= 0
        except ValueError as error:
            assert str(error).startswith("is ")
