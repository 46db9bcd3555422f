"""Delta debugging on lists of numbers."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from harness.shrink.ddmin import ddmin

LENGTHS = st.integers(1, 14)


def shrunk(items, breaks):
    asked = []

    async def oracle(part):
        asked.append(tuple(part))
        return breaks(part)

    return list(asyncio.run(ddmin(items, oracle))), asked


@given(LENGTHS.flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1))))
def test_a_planted_part_is_found(planted) -> None:
    length, guilty = planted
    result, _ = shrunk(range(length), lambda part: guilty <= set(part))
    assert result == sorted(guilty)


@given(LENGTHS, st.randoms(use_true_random=False))
def test_whatever_the_oracle_says_the_result_breaks_and_no_single_item_can_go(length: int, random) -> None:
    answers = {tuple(range(length)): True, (): False}

    def breaks(part) -> bool:
        return answers.setdefault(tuple(part), random.random() < 0.3)

    result, asked = shrunk(range(length), breaks)
    assert answers[tuple(result)]
    if len(result) > 1:
        assert not any(breaks([*result[:at], *result[at + 1 :]]) for at in range(len(result)))
    assert len(asked) <= 2 * length * (length + 3)


def test_one_guilty_of_many_is_found_with_few_questions() -> None:
    result, asked = shrunk(range(64), lambda part: 41 in part)
    assert result == [41]
    assert len(asked) <= 12


def test_two_guilty_far_apart_cost_some_more() -> None:
    result, asked = shrunk(range(64), lambda part: {3, 60} <= set(part))
    assert result == [3, 60]
    assert len(asked) <= 70


def test_items_that_are_equal_stay_apart() -> None:
    assert shrunk(["kill", "kill", "kill"], lambda part: len(part) >= 2)[0] == ["kill", "kill"]


def test_one_item_needs_no_question() -> None:
    assert shrunk([1], lambda _: True) == ([1], [])
