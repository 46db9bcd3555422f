"""Whom a fault hits, what a replica has in hand, and links that nobody uses."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import StackError
from harness.faults.base import FaultContext
from harness.faults.work import Hit, InHand, Work, never_connected, starting
from harness.stack import Traffic
from harness.system import System
from tests.standin import StandIn

SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "shop",
        "dependencies": {"kafka": {"topics": {"orders": 2}}, "redis": {}},
        "services": {
            "blobs": {"command": "x"},
            "front": {"command": "x", "env": {"KAFKA": "{kafka}", "BLOBS": "{blobs}"}},
            "desk": {
                "command": "x",
                "replicas": 2,
                "env": {"KAFKA": "{kafka}", "REDIS": "{redis}", "BLOBS": "{blobs}"},
            },
        },
        "load": {"upload": {"to": "front", "post": "/"}},
        "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
        "effects": {"desk": {"applies": ["x"], "sql": {"url": "sqlite:////x", "query": "SELECT"}}},
    }
)


class Link(StandIn):
    def __init__(self, service, dependency, traffic=None) -> None:
        self.name, self.service, self.dependency = f"{service}->{dependency}", service, dependency
        self.seen = traffic or Traffic({}, {}, 0)

    async def traffic(self) -> Traffic:
        return self.seen

    @asynccontextmanager
    async def disturb(self, toxic, *, stream="downstream", **attributes):
        yield


class Began(Link):
    """One whose request begins once it was looked at."""

    looked = False

    async def traffic(self) -> Traffic:
        seen, self.looked = self.seen if self.looked else Traffic({}), True
        return seen


class Broker(StandIn):
    """Two members, a partition each."""

    def __init__(self, passed=(10, 10), end=10) -> None:
        self.members: dict[tuple[str, int], str] | None = {("orders", 0): "one", ("orders", 1): "two"}
        self.passed, self.end = passed, end
        self.markers: set[int] = set()

    async def committed(self, service):
        return {("orders", n): offset for n, offset in enumerate(self.passed)}

    async def assigned(self, service):
        return self.members

    async def ends(self, topics):
        return {("orders", n): self.end for n in (0, 1)}

    async def records(self, begins, ends):
        """Those offsets that hold a record: the markers of transactions do not."""
        return {
            at: sum(offset not in self.markers for offset in range(begin, ends.get(at, 0)))
            for at, begin in begins.items()
        }


class Unheard:
    """The broker does not answer."""

    async def __call__(self, _service):
        raise StackError("Kafka does not answer")


def context(links=(), broker=None, **more) -> FaultContext:
    replicas = dict.fromkeys(SYSTEM.replicas())
    stack = SimpleNamespace(links={link.name: link for link in links}, services=replicas)
    planned: Any = SimpleNamespace(system=SYSTEM)
    recorder: Any = None
    return FaultContext(planned, recorder, stack, broker or Broker(), Random(1), **more)


async def nothing() -> None:
    pass


async def in_hand(replica: str, world: FaultContext) -> InHand:
    """What it has in hand when it is killed, and nothing could be undone."""
    return await InHand.at(replica, world, nothing)


@pytest.mark.parametrize(
    ("target", "services", "front"),
    [
        ("desk#1->redis", {"desk"}, False),
        ("desk#2", {"desk"}, False),
        ("redis", {"desk"}, False),
        ("kafka", {"desk"}, True),
        ("front#1->kafka", set(), True),
        ("blobs#1", {"desk"}, True),
        ("orders", set(), False),
    ],
)
def test_a_fault_hits_those_who_use_its_target(target: str, services: set[str], front: bool) -> None:
    assert Hit.by(target, context()) == Hit(frozenset(services), front)


async def test_what_was_owed_and_what_came_are_given_and_what_was_done_before_is_not() -> None:
    broker = Broker(passed=(8, 10), end=10)
    work = await Work.since_now("desk#1->redis", context(broker=broker))
    assert await work.given() == 2
    broker.end, broker.passed = 13, (13, 13)
    assert await work.given() == 2 + 6
    assert await work.passed() == 5 + 3


async def test_a_group_whose_members_are_all_dead_is_given_what_comes_meanwhile() -> None:
    """Counted by the operations begun in its place, a window would end before it saw work."""
    broker, begun = Broker(passed=()), iter(range(100))
    work = await Work.since_now("desk#1", context(broker=broker, begun=lambda: next(begun)))
    broker.members, broker.end = {}, 12
    assert await work.counts() == (4, None)


async def test_a_group_that_is_still_joining_is_given_nothing_yet() -> None:
    broker, begun = Broker(passed=()), iter(range(100))
    broker.members = {}
    work = await Work.since_now("desk#1", context(broker=broker, begun=lambda: next(begun)))
    assert await work.counts() == (0, None)
    broker.members, broker.end = {("orders", 0): "one"}, 12
    assert await work.counts() == (2, None)


async def test_a_group_that_commits_nothing_is_given_what_comes() -> None:
    broker = Broker(passed=(), end=10)
    work = await Work.since_now("desk#1", context(broker=broker))
    broker.end = 12
    assert await work.given() == 4


async def test_a_consumer_that_shows_nothing_of_what_it_reads_leaves_it_to_the_load() -> None:
    """It assigns its partitions itself, and commits nowhere."""
    broker = Broker(passed=())
    broker.members = None
    begun = iter([10, 13])
    work = await Work.since_now("desk#1", context(broker=broker, begun=lambda: next(begun)))
    assert await work.counts() == (None, 3)


async def test_where_nobody_counts_nothing_is_said() -> None:
    assert await (await Work.since_now("front#1", context())).most() is None


async def test_a_request_under_way_is_in_hand() -> None:
    asked = Link("desk#1", "blobs", Traffic({1: (9, 3)}, {1: 0.01}, 1))
    assert "desk#1->blobs" in (await in_hand("desk#1", context([asked]))).what


async def test_a_poll_of_the_broker_is_not() -> None:
    polls = Link("desk#1", "kafka", Traffic({1: (9, 3)}, {1: 0.4}, 1))
    assert not (await in_hand("desk#1", context([polls], broker=Broker()))).what


async def test_records_are_in_hand_where_each_member_has_some() -> None:
    assert "each of the 2 members" in (await in_hand("desk#1", context(broker=Broker((9, 9), 10)))).what
    one = await in_hand("desk#1", context(broker=Broker((9, 10), 10)))
    assert not one.what, "they may be the other replica's"


async def test_they_were_the_dead_members_if_it_is_gone_afterwards() -> None:
    broker = Broker((9, 10), 10)
    hand = await in_hand("desk#1", context(broker=broker))
    assert not await hand.gone()
    broker.members = {("orders", 0): "two", ("orders", 1): "two"}
    assert "1 partitions" in await hand.gone()


async def test_they_were_not_if_the_other_one_is_gone() -> None:
    broker = Broker((9, 10), 10)
    hand = await in_hand("desk#1", context(broker=broker))
    broker.members = {("orders", 0): "one", ("orders", 1): "one"}
    assert not await hand.gone()


async def test_what_a_dead_process_was_given_is_not_in_the_hand_of_the_next() -> None:
    """The broker keeps its member until its session is over, and the new process has yet to join."""
    broker = Broker((9, 9), 10)
    world = context(broker=broker)
    await starting(world, "desk#1")
    hand = await in_hand("desk#1", world)
    assert not hand.what
    broker.members = {("orders", 0): "two", ("orders", 1): "two"}
    assert not await hand.gone(), "the dead member's session is over"
    broker.members = {("orders", 0): "three", ("orders", 1): "two"}
    assert "each of the 2 members" in (await in_hand("desk#1", world)).what
    assert "each of the 2 members" in (await in_hand("desk#2", world)).what


async def test_who_was_in_the_group_is_not_known_where_the_broker_does_not_say() -> None:
    broker = Broker((9, 9), 10)
    broker.assigned = Unheard()
    await starting(context(broker=broker), "desk#1")
    del broker.assigned
    assert (await in_hand("desk#1", context(broker=broker))).what


async def test_records_that_were_passed_before_it_stood_still_were_not_in_hand() -> None:
    broker = Broker((9, 9), 10)

    async def kill() -> None:
        broker.passed = (10, 10)

    hand = await InHand.at("desk#1", context(broker=broker, patience=60.0), kill)
    assert not hand.what
    broker.members = {("orders", 0): "two", ("orders", 1): "two"}
    assert not await hand.gone(), "the dead member's were passed too"


async def test_records_that_came_only_once_it_stood_still_were_not_in_hand() -> None:
    broker = Broker((10, 10), 10)

    async def kill() -> None:
        broker.end = 11

    assert not (await InHand.at("desk#1", context(broker=broker), kill)).what


async def test_what_turns_out_to_have_been_idle_goes_on_and_is_stopped_again_at_work() -> None:
    broker, steps = Broker((9, 9), 10), []

    async def stop() -> None:
        steps.append("stop")
        if len(steps) == 1:
            broker.passed = (10, 10)

    async def go_on() -> None:
        steps.append("go on")
        broker.end = 11

    hand = await InHand.at("desk#1", context(broker=broker, patience=60.0), stop, go_on)
    assert steps == ["stop", "go on", "stop"]
    assert "each of the 2 members" in hand.what


async def test_it_goes_on_if_it_cannot_be_seen_what_it_had() -> None:
    broker, steps = Broker((9, 9), 10), []

    async def stop() -> None:
        steps.append("stop")
        broker.committed = Unheard()

    async def go_on() -> None:
        steps.append("go on")

    with pytest.raises(StackError):
        await InHand.at("desk#1", context(broker=broker), stop, go_on)
    assert steps == ["stop", "go on"]


async def test_uploads_are_in_hand_at_the_front_doors_first_replica_alone() -> None:
    busy = context(under_way=lambda: 3)
    assert "3 uploads" in (await in_hand("front#1", busy)).what
    assert not (await in_hand("front#2", busy)).what
    assert not (await in_hand("desk#1", busy)).what


@pytest.mark.parametrize("moved", ["a request", "uploads", ""])
async def test_what_ended_before_it_stood_still_was_not_in_hand(moved: str) -> None:
    link = Began("front#1", "blobs", Traffic({1: (9, 3)}, {1: 0.01}, 1) if moved != "uploads" else None)
    uploads, steps = [3 if moved == "uploads" else 0], []

    async def stop() -> None:
        steps.append("stop")
        uploads[0] = 0
        if moved == "a request" and len(steps) == 1:
            link.seen = Traffic({1: (12, 6)}, {}, 1)

    async def go_on() -> None:
        steps.append("go on")
        link.seen = Traffic({1: (15, 6)}, {1: 0.01}, 1)

    world = context([link], patience=60.0, under_way=lambda: uploads[0])
    hand = await InHand.at("front#1", world, stop, go_on)
    assert steps == (["stop", "go on", "stop"] if moved else ["stop"])
    assert hand.what == "a request on front#1->blobs was under way"


@pytest.mark.parametrize(("committed", "stops"), [(0, 1), (4, 2)])
async def test_an_answer_that_came_as_it_stood_still_does_not_undo_its_request_unless_more_was_sent(
    committed: int, stops: int
) -> None:
    """Whoever has committed the offset has the work no more in hand."""
    link, broker = (
        Began("desk#1", "blobs", Traffic({1: (9, 3)}, {1: 0.01}, 1)),
        Link("desk#1", "kafka", Traffic({2: (5, 5)})),
    )
    steps = []

    async def stop() -> None:
        steps.append("stop")
        if len(steps) == 1:
            link.seen, broker.seen = Traffic({1: (9, 6)}, {}, 1), Traffic({2: (5 + committed, 5)})

    async def go_on() -> None:
        link.seen = Traffic({1: (12, 6)}, {1: 0.01}, 1)

    world = context([link, broker], broker=Broker((9, 10), 10), patience=60.0)
    hand = await InHand.at("desk#1", world, stop, go_on)
    assert "desk#1->blobs" in hand.what
    assert len(steps) == stops


@pytest.mark.parametrize("replica", ["desk#1", "front#1"])
async def test_a_request_that_was_under_way_before_may_be_one_that_nobody_answers(replica: str) -> None:
    """A blocked read of a queue, a long poll, or what is written where nothing is ever sent back."""
    link, steps = Link(replica, "blobs", Traffic({1: (9, 3)}, {1: 3600.0}, 1)), []

    async def stop() -> None:
        steps.append("stop")

    async def sleep(_: float) -> None:
        await asyncio.sleep(0.01)

    world = replace(context([link], patience=0.2), sleep=sleep)
    assert not (await InHand.at(replica, world, stop, nothing)).what
    assert steps == ["stop"]

    async def begins(_: float) -> None:
        link.seen = Traffic({1: (12, 3)}, {1: 0.01}, 1)

    world = replace(context([link], broker=Broker((9, 10), 10), patience=60.0), sleep=begins)
    assert (await InHand.at(replica, world, stop, nothing)).what == f"a request on {replica}->blobs was under way"


class Polls(Link):
    """One on which another request is under way at each look."""

    async def traffic(self) -> Traffic:
        received, sent = self.seen.connections.get(1, (0, 0))
        self.seen = Traffic({1: (received + 9, sent + 3)}, {1: 0.01}, 1)
        return self.seen


async def test_a_kill_that_cannot_be_undone_waits_for_a_group_that_only_polls() -> None:
    broker, looks, killed = Broker((10, 10), 10), 0, []

    async def sleep(_: float) -> None:
        nonlocal looks
        await asyncio.sleep(0)
        looks += 1
        if looks == 5:
            broker.passed, broker.end = (11, 11), 11

    async def kill() -> None:
        killed.append(looks)

    world = replace(context([Polls("desk#1", "redis")], broker=broker, patience=60.0), sleep=sleep)
    assert (await InHand.at("desk#1", world, kill)).what == "a request on desk#1->redis was under way"
    assert killed == [5]


@pytest.mark.parametrize(
    ("does", "what"),
    [
        ("nothing", ""),
        ("is owed a record", "a request on desk#1->redis was under way"),
        ("passes a record", "a request on desk#1->redis was under way"),
        ("commits what it receives", "a request on desk#1->redis was under way"),
        ("commits nothing", "a request on desk#1->redis was under way"),
    ],
)
async def test_a_consumer_that_polls_while_its_group_has_nothing_to_do_is_idle(does: str, what: str) -> None:
    broker = Broker(() if does == "commits nothing" else (10, 10), 10)

    async def sleep(_: float) -> None:
        await asyncio.sleep(0.01)
        if does == "passes a record":
            broker.passed, broker.end = (11, 11), 11
        elif does == "is owed a record":
            broker.passed, broker.end = (10, 11), 11

    world = replace(context([Polls("desk#1", "redis")], broker=broker, patience=0.3), sleep=sleep)
    if does == "commits what it receives":
        desk = SYSTEM.services["desk"].model_copy(update={"commits": "on_receipt"})
        planned: Any = SimpleNamespace(
            system=SYSTEM.model_copy(update={"services": {**SYSTEM.services, "desk": desk}})
        )
        world = replace(world, planned=planned)
    assert (await InHand.at("desk#1", world, nothing, nothing)).what == what


async def test_whether_it_polls_does_not_matter_where_the_broker_does_not_say() -> None:
    broker = Broker()
    broker.committed = Unheard()
    link = Began("desk#1", "redis", Traffic({1: (9, 3)}, {1: 0.01}, 1))
    assert "desk#1->redis" in (await in_hand("desk#1", context([link], broker=broker, patience=60.0))).what


async def test_something_in_hand_is_waited_for() -> None:
    broker = Broker()
    looks = 0

    async def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            broker.end = 11

    assert (await in_hand("desk#1", replace(context(broker=broker, patience=60.0), sleep=sleep))).what
    assert looks == 3


async def test_a_request_is_waited_for_before_records_will_do() -> None:
    link = Link("desk#1", "blobs")

    async def begins(_: float) -> None:
        link.seen = Traffic({1: (9, 3)}, {1: 0.01}, 1)

    world = context([link], broker=Broker((9, 9), 10), patience=60.0)
    assert "desk#1->blobs" in (await in_hand("desk#1", replace(world, sleep=begins))).what


async def test_answers_are_held_back_where_no_request_lasts_long_enough_to_be_met() -> None:
    """One link after the other, until a request waits for its answer; then they are let go."""
    held = []

    class Quick(Link):
        @asynccontextmanager
        async def disturb(self, toxic, *, stream="downstream", **attributes):
            held.append(self.name)
            if self.dependency == "redis":
                self.seen = Traffic({1: (9, 3)}, {1: 0.01}, 1)
            yield
            held.remove(self.name)

    async def stop() -> None:
        assert held == ["desk#1->redis"]

    now = 0.0

    class Clock(asyncio.AbstractEventLoop):
        def time(self) -> float:
            return now

    async def sleep(_: float) -> None:
        nonlocal now
        now += 1.0

    links = [Quick("desk#1", "blobs"), Quick("desk#1", "redis")]
    world = replace(context(links, broker=Broker((9, 10), 10), patience=60.0), sleep=sleep)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.faults.work.asyncio.get_running_loop", Clock)
        hand = await InHand.at("desk#1", world, stop)
    assert "desk#1->redis" in hand.what
    assert not held


async def test_records_will_do_where_no_request_is_seen_for_a_while() -> None:
    looks = []

    async def sleep(_: float) -> None:
        looks.append(_)
        await asyncio.sleep(0)

    world = context([Link("desk#1", "blobs")], broker=Broker((9, 9), 10), patience=60.0)
    assert "each of the 2 members" in (await in_hand("desk#1", replace(world, sleep=sleep))).what
    assert looks
    assert "each of the 2 members" in (await in_hand("desk#1", replace(world, patience=0.0))).what


async def test_the_wait_is_bounded_by_time_where_each_look_takes_long() -> None:
    sleeps = []

    async def sleep(_: float) -> None:
        sleeps.append(_)
        await asyncio.sleep(0.1)

    world = replace(context([Link("desk#1", "blobs")], broker=Broker(), patience=0.4), sleep=sleep)
    assert not (await in_hand("desk#1", world)).what
    assert len(sleeps) < 10


@pytest.mark.parametrize(
    ("looks", "never"),
    [
        ([Traffic({}, {}, 0)], True),
        ([Traffic({}, {}, 2)], False),
        ([Traffic({1: (0, 0)}, {}, 0)], False),
        ([Traffic({}, {}, None)], False),
        ([Traffic({}, {}, 0), Traffic({}, {}, 1)], False),
        ([], False),
    ],
)
async def test_a_link_that_was_never_used_is_told_only_where_it_is_counted(looks: list[Traffic], never: bool) -> None:
    links = [Link(f"desk#{n}", "redis", seen) for n, seen in enumerate(looks, 1)]
    assert bool(await never_connected(links)) == never


async def test_a_marker_of_a_transaction_is_no_record() -> None:
    """A group that passed every record stands before the marker behind the last one."""
    broker = Broker((9, 9), 10)
    broker.markers = {9}
    assert not (await in_hand("desk#1", context(broker=broker))).what
    work = await Work.since_now("desk#1", context(broker=broker))
    assert await work.given() == 0
    broker.end = 13
    broker.markers |= {11}
    assert await work.given() == 4


@pytest.mark.parametrize("offsets", [3, 10, 11, 200])
async def test_what_was_aborted_is_not_in_hand(offsets: int) -> None:
    """A transactional producer that was killed leaves records that no group passes until the next one is committed."""
    broker = Broker((10, 10), 10 + offsets)
    broker.markers = set(range(10, 10 + offsets))
    assert not (await in_hand("desk#1", context(broker=broker))).what
    broker.markers.remove(10)
    assert "each of the 2 members" in (await in_hand("desk#1", context(broker=broker))).what


async def test_many_offsets_are_not_read_one_by_one() -> None:
    """While 38 faults read what each had been given, none of them was seen to bite."""

    class Unread(Broker):
        async def records(self, begins, ends):
            raise AssertionError

    broker = Unread((9, 9), 10)
    work = await Work.since_now("desk#1", context(broker=broker))
    broker.end = 20
    assert await work.given() == 22
