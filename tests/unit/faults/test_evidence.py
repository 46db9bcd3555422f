"""Evidence, on links whose traffic is written down."""

import pytest

from harness.faults.evidence import STANDSTILL, Ended, Moved, Unanswered
from harness.stack import Traffic


class Link:
    name = "a#1->b"

    def __init__(self, *looks: Traffic) -> None:
        self._looks = list(looks)

    async def traffic(self) -> Traffic:
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]


def traffic(connections=None, unanswered=None, accepted=0) -> Traffic:
    return Traffic(connections or {}, unanswered or {}, accepted)


@pytest.mark.parametrize(
    ("before", "after", "bites"),
    [
        (traffic({1: (5, 5)}), traffic(), True),
        (traffic({1: (5, 5)}), traffic({1: (5, 5)}), False),
        (traffic({1: (5, 5)}), traffic({1: (9, 9), 2: (0, 0)}, accepted=1), False),
        (traffic(), traffic(accepted=1), True),
        (traffic(), traffic(), False),
    ],
)
async def test_connections_that_ended(before, after, bites) -> None:
    ended = await Ended.since_now([Link(before, after)], "gone")
    assert (await ended.look() is not None) == bites


@pytest.mark.parametrize(
    ("before", "after", "bites"),
    [
        ({1: (5, 5)}, {1: (6, 6)}, True),
        ({1: (5, 5)}, {1: (6, 5)}, False),
        ({1: (5, 5)}, {1: (5, 6)}, False),
        ({}, {2: (1, 1)}, True),
        ({1: (5, 5)}, {}, False),
    ],
)
async def test_bytes_that_moved_both_ways(before, after, bites) -> None:
    moved = await Moved.since_now(Link(traffic(before), traffic(after)), "moved")
    assert (await moved.look() is not None) == bites


@pytest.mark.parametrize(
    ("looks", "bites"),
    [
        ([traffic({1: (5, 5)}, {1: STANDSTILL})], True),
        ([traffic({1: (5, 5)}, {1: STANDSTILL - 0.01})], False),
        ([traffic({1: (5, 5)}, {1: 0.2}), traffic()], True),
        ([traffic({1: (5, 5)}, {1: 0.05}), traffic()], False),
        ([traffic({1: (5, 5)}, {1: 0.2}), traffic({1: (5, 9)}), traffic()], False),
        ([traffic({1: (5, 5)}), traffic()], False),
    ],
)
async def test_requests_without_an_answer(looks, bites) -> None:
    link = Link(*looks)
    unanswered = Unanswered([link], {link.name: set()})
    assert any([await unanswered.look() is not None for _ in looks]) == bites


async def test_a_connection_in_use_that_the_service_gives_up() -> None:
    link = Link(traffic({1: (9, 9), 2: (5, 5)}), traffic({2: (5, 5)}))
    unanswered = await Unanswered.since([link], [traffic({1: (5, 5), 2: (5, 5)})])
    assert await unanswered.look() is not None


async def test_a_connection_out_of_use_may_go() -> None:
    link = Link(traffic({1: (5, 5)}), traffic())
    unanswered = await Unanswered.since([link], [traffic({1: (5, 5)})])
    assert await unanswered.look() is None
