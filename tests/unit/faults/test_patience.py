"""A machine that is busy gets more time, and not for ever."""

import asyncio

import pytest

from harness.faults.patience import Patience


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]

    class Loop(asyncio.AbstractEventLoop):
        def time(self) -> float:
            return now[0]

    monkeypatch.setattr("harness.faults.patience.asyncio.get_running_loop", Loop)
    return now


def lasts(clock: list[float], seconds: float, look: float) -> float:
    begun, patience = clock[0], Patience(seconds)
    while not patience.over():
        clock[0] += look
    return clock[0] - begun


@pytest.mark.parametrize(("look", "last"), [(0.05, 60), (0.25, 60), (0.5, 120), (0.75, 180), (5.0, 180)])
def test_each_look_counts_as_a_quarter_of_a_second_at_most(clock: list[float], look: float, last: float) -> None:
    assert lasts(clock, 60.0, look) == pytest.approx(last, abs=0.1)


def test_there_may_be_none(clock: list[float]) -> None:
    assert lasts(clock, 0.0, 1.0) == 0.0


def test_time_that_does_not_count_is_given_again(clock: list[float]) -> None:
    patience = Patience(60.0)
    for _ in range(100):
        clock[0] += 5.0
        assert not patience.over(counts=False)
    assert lasts(clock, 60.0, 0.25) == pytest.approx(60, abs=0.1)
    for _ in range(239):
        clock[0] += 0.25
        patience.over()
    clock[0] += 0.3
    assert patience.over()
