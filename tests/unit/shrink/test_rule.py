"""In how many of how many runs a candidate must break."""

import pytest

from harness.shrink.rule import Ran, decided, needed, seed_of

LOST = frozenset({"lost", "outcome_missing"})
BREAK = Ran(1, "invalid", ("lost", "undecided"), "a")
OTHER = Ran(1, "invalid", ("duplicate",), "b")
UNKNOWN = Ran(1, "unknown", ("lost",), "c")
VALID = Ran(1, "valid", (), "d")


def test_a_break_is_invalid_with_one_of_the_anomalies() -> None:
    assert BREAK.broke(LOST)
    assert not any(ran.broke(LOST) for ran in (OTHER, UNKNOWN, VALID))


@pytest.mark.parametrize(("broke", "least"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (10, 5)])
def test_half_as_many_as_the_whole_schedule_and_at_least_one(broke: int, least: int) -> None:
    assert needed(broke) == least


@pytest.mark.parametrize(
    ("ran", "least", "answer"),
    [
        ([], 2, None),
        ([BREAK], 2, None),
        ([BREAK, BREAK], 2, True),
        ([VALID], 2, None),
        ([VALID, BREAK], 2, None),
        ([VALID, BREAK, BREAK], 2, True),
        ([VALID, VALID], 2, False),
        ([UNKNOWN, OTHER], 2, False),
        ([BREAK], 1, True),
        ([VALID, VALID], 1, None),
        ([VALID, VALID, VALID], 1, False),
        ([VALID, VALID, BREAK], 1, True),
    ],
)
def test_it_is_decided_as_soon_as_further_runs_change_nothing(ran, least: int, answer) -> None:
    assert decided(ran, LOST, runs=3, least=least) is answer


def test_the_first_seed_is_the_broken_run_s_and_the_others_are_always_the_same() -> None:
    assert [seed_of(41, number) for number in range(3)] == [41, 829173, 724573]
    assert len({seed_of(41, number) for number in range(50)}) == 50
    assert seed_of(42, 1) != seed_of(41, 1)
