"""Evidence, on links whose traffic is written down."""

import asyncio
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.faults.base import FaultContext
from harness.faults.evidence import STANDSTILL, Ended, Moved, Reset, Unanswered, late
from harness.faults.net_down import NetDown
from harness.faults.net_hang import silent
from harness.faults.net_reset import NetReset
from harness.stack import Probe, Traffic
from tests.standin import StandIn


class Link(StandIn):
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


async def reset_seen(looks: list[Traffic], pids: list[int | None]) -> bool:
    """Whether one of the looks after the first saw a reset; ``pids`` are the service's at each look."""
    link, owner = Link(*looks), SimpleNamespace(pid=pids[0])
    reset = await Reset.since_now(link, owner, "reset")
    seen = []
    for pid in pids[1:]:
        owner.pid = pid
        seen.append(await reset.look() is not None)
    return any(seen)


def told(connections=None, unanswered=None, more=0) -> Traffic:
    """Traffic of a link that had accepted five connections when the fault was injected, and ``more`` since."""
    return traffic(connections, unanswered, accepted=5 + more)


IDLE = told({1: (5, 5)})
BUSY = told({1: (5, 5)}, {1: 0.2})


@pytest.mark.parametrize(
    ("looks", "bites"),
    [
        pytest.param([IDLE, told()], False, id="an idle connection that its server closed"),
        pytest.param([IDLE, IDLE], False, id="nothing"),
        pytest.param([IDLE, told({1: (9, 5)}), told()], True, id="a request came over it"),
        pytest.param([BUSY, told()], True, id="a request was under way"),
        pytest.param([IDLE, BUSY, told()], True, id="a request was seen under way"),
        pytest.param([IDLE, told({2: (0, 0)}, more=1)], True, id="the service connected again"),
        pytest.param([IDLE, told(), told(more=1)], True, id="again, and lost that too"),
        pytest.param([told(), told(more=1)], True, id="between two looks"),
        pytest.param([IDLE, told({1: (9, 9), 2: (0, 0)}, more=1)], False, id="one more, and none is gone"),
        pytest.param([told({1: (5, 5), 2: (5, 5)}), told({2: (9, 5)})], False, id="a request over another one"),
        pytest.param([traffic({1: (5, 5)}, accepted=None), traffic(accepted=None)], True, id="where nobody counts"),
        pytest.param(
            [traffic(accepted=None), traffic({2: (3, 0)}, accepted=None), traffic(accepted=None)],
            True,
            id="a new one, where nobody counts",
        ),
    ],
)
async def test_connections_that_were_reset(looks, bites) -> None:
    assert await reset_seen(looks, [7] * len(looks)) == bites
    assert await reset_seen(looks, [None] * len(looks)) == bites, "of a process elsewhere no pid is known"


@pytest.mark.parametrize(
    ("looks", "pids", "bites"),
    [
        pytest.param([BUSY, told()], [7, None], False, id="dead"),
        pytest.param([BUSY, told(more=1)], [7, 8], False, id="another process"),
        pytest.param([BUSY, told(), told({2: (0, 0)}, more=1)], [7, None, 8], False, id="another, which connects"),
        pytest.param([BUSY, told(), told(more=1)], [7, None, 8], True, id="another, which is reset"),
        pytest.param(
            [BUSY, told({2: (4, 0)}, {2: 0.2}, 1), told(more=1)], [7, 8, 8], True, id="another, reset later"
        ),
    ],
)
async def test_a_process_that_dies_is_not_reset_and_the_next_one_may_be(looks, pids, bites) -> None:
    assert await reset_seen(looks, pids) == bites


class LinkToBreak(Link):
    service = "a#1"

    async def probe(self, timeout: float, size: int = 0) -> Probe:
        return Probe(answered=True, seconds=0.001)

    on: tuple[str, ...] = ()

    async def toxics(self) -> tuple[str, ...]:
        return self.on

    @asynccontextmanager
    async def disturb(self, toxic: str, **attributes: int):
        yield


@pytest.mark.parametrize(
    ("looks", "pid", "bites"),
    [([IDLE, told()], 7, False), ([BUSY, told()], None, False), ([BUSY, told()], 7, True)],
    ids=["idle", "dead", "reset"],
)
async def test_what_net_reset_takes_for_a_bite(looks, pid, bites) -> None:
    link, owner = LinkToBreak(*looks), SimpleNamespace(pid=7)
    stack = SimpleNamespace(links={link.name: link}, services={link.service: owner})
    nobody: Any = None
    context = FaultContext(nobody, nobody, stack, nobody, Random(1))
    async with NetReset().inject(link.name, context) as injected:
        owner.pid = pid
        assert (await injected.bit() is not None) == bites
    assert (await injected.after() is not None) == bites


class Briefly(LinkToBreak):
    """A service that opens a connection for each request: it is there at one look in seven, or until it is answered.

    What was answered before the answers were held back is there at one more look.
    """

    def __init__(self, after: int) -> None:
        self.turn, self.held, self.down, self.ending, self.waiting = after, 0, False, False, set[int]()

    @asynccontextmanager
    async def disturb(self, toxic: str, **attributes: object):
        self.held += 1
        self.ending = True
        yield
        self.held -= 1

    @asynccontextmanager
    async def refuse(self):
        self.down = True
        self.waiting.clear()
        yield
        self.down = False

    async def traffic(self) -> Traffic:
        self.turn += 1
        there = {self.turn} if self.turn % 7 == 0 and not self.down else set()
        self.waiting |= there if self.held else set()
        ended, self.ending = {0} if self.ending else set(), False
        return traffic(dict.fromkeys(there | self.waiting | ended, (9, 0)), accepted=1)


@asynccontextmanager
async def down(link: Briefly, patience: float):
    """Take a link down, whose looks follow one another at once; gives it and what was injected."""

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0)

    nobody = cast("Any", None)
    system = SimpleNamespace(services={}, effects={}, load=SimpleNamespace(front=None), links=tuple)
    stack, planned = (
        SimpleNamespace(links={link.name: link}),
        cast("Any", SimpleNamespace(target=link.name, system=system)),
    )
    context = FaultContext(planned, nobody, cast("Any", stack), nobody, Random(1), patience=patience, sleep=sleep)
    async with NetDown().inject(link.name, context) as injected:
        yield link, injected


@pytest.mark.parametrize("after", range(7))
async def test_a_link_with_a_connection_a_request_is_taken_down_when_there_is_one(after) -> None:
    async with down(Briefly(after), patience=60) as (link, injected):
        assert (link.down, link.held) == (True, 0)
        bit = await injected.bit()
        assert bit is not None
        assert bit.before == {"connections": {link.name: 1}}
    assert not link.down


async def test_a_connection_that_was_given_up_before_anybody_looked_was_ended() -> None:
    """On a busy machine a look may take longer than the service waits for an answer."""

    class Hasty(Briefly):
        async def traffic(self) -> Traffic:
            self.turn += 0 if self.down else 1
            return traffic(accepted=self.turn)

    async with down(Hasty(0), patience=60) as (link, injected):
        assert (link.down, link.held) == (True, 0)
        assert await injected.bit() is not None


async def test_what_passed_while_the_fault_still_waited_was_not_ended() -> None:
    """The questions whether the service makes progress take a while, and one whole request passes meanwhile."""

    class Late(Briefly):
        async def traffic(self) -> Traffic:
            self.turn += 1
            return traffic(accepted=0 if self.turn < 2 else 1)

    async with down(Late(0), patience=0.0) as (link, injected):
        assert link.down
        assert await injected.bit() is None


async def test_what_ended_by_itself_as_the_link_fell_silent_was_not_ended() -> None:
    class Unused(Briefly):
        async def traffic(self) -> Traffic:
            ended, self.ending = {0} if self.ending or not self.held else set(), False
            return traffic(dict.fromkeys(ended, (9, 0)) if not self.down else {}, accepted=1)

    async with down(Unused(0), patience=0.2) as (link, injected):
        assert link.down
        assert await injected.bit() is None


async def test_a_link_whose_connections_nobody_can_see_is_not_silenced_until_it_is_down() -> None:
    class Elsewhere(Briefly):
        async def traffic(self) -> Traffic:
            assert not self.held, "the service would have no answer for as long as the fault waits for a connection"
            return traffic(accepted=None)

    async with down(Elsewhere(0), patience=0.1) as (link, _):
        assert link.down


async def test_a_link_of_a_busy_machine_is_found_silent_too() -> None:
    """It answers after a second, and is no link that another fault has silenced already."""

    class Slow(LinkToBreak):
        broken = False

        async def probe(self, timeout: float, size: int = 0) -> Probe:
            return Probe(answered=timeout > 1 and not self.broken, seconds=min(timeout, 1.0))

    link = Slow(IDLE)
    armed = await silent([link], "timeout")
    link.broken = True
    assert await armed() is None, "nothing is on it: the machine is as slow as that"
    link.on = ("timeout",)
    assert (await armed()).level == "armed"


@pytest.mark.parametrize(
    ("on", "seconds", "is_late"),
    [(("latency",), 0.3, True), (("latency",), 0.1, False), (("bandwidth",), 0.3, False), ((), 0.3, False)],
)
async def test_late_is_what_its_toxic_makes_late(on, seconds, is_late) -> None:
    class Late(LinkToBreak):
        async def probe(self, timeout: float, size: int = 0) -> Probe:
            return Probe(answered=True, seconds=seconds)

    link = Late(IDLE)
    link.on = on
    assert (await late(link, "latency", 0.2, patience=5) is not None) == is_late


async def test_a_process_whose_connections_go_a_moment_before_it_is_not_reset() -> None:
    owner = SimpleNamespace(pid=7)
    reset = await Reset.since_now(Link(BUSY, told()), owner, "reset")
    look = asyncio.create_task(reset.look())
    await asyncio.sleep(0)
    owner.pid = None
    assert await look is None


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
        ([traffic({1: (5, 5)}), traffic({1: (9, 5)}), traffic()], True),
        ([traffic({1: (5, 5)}), traffic({1: (5, 5)}), traffic()], False),
        ([traffic(), traffic({2: (9, 0)}), traffic({1: (0, 0)})], True),
        ([traffic(), traffic({2: (0, 0)}), traffic()], False),
        ([traffic({1: (9, 5)}), traffic({1: (9, 5)}), traffic()], False),
    ],
)
async def test_a_request_that_is_given_up_before_its_late_answer(looks, bites) -> None:
    link = Link(*looks)
    moved = await Moved.since_now(link, "moved")
    assert any([await moved.look() is not None for _ in looks[1:]]) == bites


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
