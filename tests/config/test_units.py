"""Durations, sizes and pixel counts: read exactly, printed back, refused with a sentence."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.sections.units import (
    LONGEST_MS,
    format_bytes,
    format_duration,
    format_pixels,
    parse_bytes,
    parse_duration,
    parse_pixels,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7d", 604_800),
        ("12h", 43_200),
        ("30s", 30),
        ("7d 12h 30s", 648_030),
        ("1h30m", 5_400),
        ("1.5h", 5_400),
        ("250ms", 0.25),
        ("2 min", 120),
        ("1w", 604_800),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "7", "d", "7 days", "-1d", "1d -1h", "1e3s", "7dd", "0.5ms", "40000d"]
)
def test_a_text_that_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"should be a duration|finer than|longer than"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("20MB", 20_000_000), ("16 MiB", 16 * 2**20), ("1.5kB", 1500), ("17", 17), ("17B", 17), ("2gib", 2**31)],
)
def test_sizes_as_people_write_them(text: str, amount: int) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "20 megabytes", "0.3B", "1MB 2kB", "20MP"])
def test_a_text_that_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"should be a whole number|is not a whole number"):
        parse_bytes(text)


@given(st.integers(min_value=0, max_value=LONGEST_MS))
def test_durations_survive_printing(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.one_of(st.integers(0, 2**50), st.integers(0, 10**6).map(lambda n: n * 10**6)))
def test_sizes_and_pixel_counts_survive_printing(amount: int) -> None:
    assert parse_bytes(format_bytes(amount)) == amount
    assert parse_pixels(format_pixels(amount)) == amount


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused_and_never_crashes(text: str) -> None:
    for parse in (parse_duration, parse_bytes, parse_pixels):
        with suppress(ValueError):
            assert parse(text) is not None
