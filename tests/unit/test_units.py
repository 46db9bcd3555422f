"""Durations, sizes, rates and shares as people write them."""

import pytest

from harness.units import parse_bandwidth, parse_duration, parse_moment, parse_rate, parse_share, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("3s", 3.0), ("1.5s", 1.5), ("2m", 120.0), ("1h", 3600.0), (" 3 s ", 3.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", [3, 3.5, None, "", "3", "s", "-3s", "3 seconds", "1s2s", "3S", "1e3s", True])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="250ms"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("100B", 100), ("64KiB", 65536), ("5MiB", 5 * 1024**2), ("1GiB", 1024**3)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bandwidth(f"{text}/s") == size
    assert parse_size(text) == size


@pytest.mark.parametrize("text", [100, "64KB/s", "64K/s", "KiB/s"])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="64KiB"):
        parse_bandwidth(text)
    with pytest.raises(ValueError, match="1000B"):
        parse_size(text)


def test_rates_bandwidths_and_shares() -> None:
    assert parse_rate("15/s") == 15.0
    assert parse_bandwidth("64KiB/s") == 65536
    assert parse_share("20%") == pytest.approx(0.2)
    assert parse_share("100%") == 1.0


@pytest.mark.parametrize("text", ["101%", "20", 0.2, "-5%"])
def test_what_is_no_share(text: object) -> None:
    with pytest.raises(ValueError, match="%"):
        parse_share(text)


def test_moments_are_seconds_or_a_share_of_the_load() -> None:
    assert parse_moment("3s") == 3.0
    assert parse_moment("25%") == "25%"
    with pytest.raises(ValueError, match="25%"):
        parse_moment("soon")
