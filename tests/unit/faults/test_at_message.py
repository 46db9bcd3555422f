"""Faults on a message that is held: what they do with it, and that it is let go in any case."""

import asyncio
import signal
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import FaultError
from harness.faults import fault_type
from harness.faults.apply import apply
from harness.faults.base import FaultContext, PlannedFault
from harness.faults.condition import Condition
from harness.stack import Record, Twice
from harness.system import System
from tests.standin import StandIn

LINK = "essay_lifecycle#1->redis"


class Held(StandIn):
    link, what, command, key = LINK, "the reply to SET claim:7", "SET", "claim:7"
    commits: Any = ()

    def __init__(self, deeds, side="reply", waiting=True):
        self.side, self._waiting, self.deeds = side, waiting, deeds
        self.settled, self.looks = False, 0

    @property
    def waiting(self):
        """Whether the service waits; one that gives up does so after the fault's turn has come."""
        self.looks += 1
        return self._waiting or self.looks == 1

    def _settle(self, deed):
        if not self.settled:
            self.settled = True
            self.deeds.append(deed)

    def release(self):
        self._settle("released")

    def lose(self, *, close):
        self._settle(("lost", close))

    async def duplicate(self):
        self._settle("sent twice")
        return Twice("OK", [("essays", 2, 7)]) if self._waiting else None

    async def corrupt(self, topics, alter):
        self._settle(("corrupted", sorted(topics), alter(b"abc")))
        return Record("essays", 2, 7, b"k", b"abc") if self._waiting else None

    async def cut(self, after):
        self._settle(("cut", after))
        return after if self._waiting else None

    def refuse(self, error):
        self._settle(("refused", error))


class Notes(list, StandIn):
    def record(self, op, phase, actor, **fields):
        self.append((op, phase, fields))
        return len(self)

    @contextmanager
    def operation(self, op, actor, **fields):
        yield SimpleNamespace(ok=lambda **more: self.record(op, "ok", actor, **{**fields, **more}))

    def phases(self):
        return [phase for op, phase, _ in self if op == "fault"]


class Replica(StandIn):
    name = "essay_lifecycle#1"
    pid: int | None = 7
    status = "ready"

    def __init__(self, deeds):
        self.deeds = deeds

    async def kill(self):
        self.deeds.append("killed")
        self.pid, self.status = None, "exited"
        return -signal.SIGKILL

    async def start(self):
        self.deeds.append("started")
        self.pid = 8

    async def ready(self, timeout):
        pass

    async def state(self):
        return self.status

    async def pause(self):
        self.deeds.append("paused")
        self.status = "paused"

    async def resume(self):
        self.deeds.append("resumed")


class Broker(StandIn):
    async def committed(self, service):
        raise FaultError("the broker was asked while a message was held")


def context(system, held, name, *, target=LINK, lasts=None, **parameters):
    kind = fault_type(name)
    when = Condition("reply", ("SET *",), (LINK,))
    planned = PlannedFault("f1", kind.model_validate(parameters), target, None, lasts, 1, system, when)
    replica = Replica(held.deeds)
    locks = {}
    stack = SimpleNamespace(
        name="made up",
        services={"essay_lifecycle#1": replica},
        dependencies={},
        links={},
        turn=lambda name: locks.setdefault(name, asyncio.Lock()),
    )
    return FaultContext(planned, Notes(), stack, Broker(), Random(1), held=held)


@pytest.mark.parametrize(
    ("name", "parameters", "deed"),
    [
        ("tap.lose_reply", {}, ("lost", True)),
        ("tap.lose_reply", {"then": "silence"}, ("lost", False)),
        ("tap.lose_request", {"then": "silence"}, ("lost", False)),
        ("tap.error", {"error": "OOM"}, ("refused", "OOM")),
        ("tap.cut", {"after": "1KiB"}, ("cut", 1024)),
        ("tap.duplicate", {}, "sent twice"),
        ("tap.corrupt", {}, ("corrupted", ["essays"], b"\xff\xff\xff")),
        ("tap.delay", {"by": "50ms"}, "released"),
        ("tap.hold", {"for": "50ms"}, "released"),
    ],
)
async def test_a_message_meets_its_fate_and_that_is_a_bite(system, name, parameters, deed) -> None:
    held = Held([])
    world = context(system, held, name, **parameters)
    await apply(world)
    assert held.deeds == [deed]
    assert world.recorder.phases() == ["injected", "armed", "bit"]
    assert world.recorder[0][2]["evidence"] == {"message": f"the reply to SET claim:7 on {LINK}"}


async def test_a_delay_holds_it_for_as_long(system) -> None:
    held = Held([])
    begun = asyncio.get_running_loop().time()
    await apply(context(system, held, "tap.delay", by="200ms"))
    assert asyncio.get_running_loop().time() - begun >= 0.2


async def held_until(system, deeds, came, lasts):
    """Hold a message until another one, which comes or does not."""
    other = Held(deeds)
    other.what, other.link = "the reply to SET claim:7", "essay_lifecycle#2->redis"

    @contextmanager
    def armed(asked):
        assert asked.meets(other.link, "reply", "SET", "claim:7")
        if came:
            asked._take(other)
        yield asked
        asked.close()

    held = Held(deeds)
    held._settle = lambda deed: deeds.append(("held", deed))
    world = context(system, held, "tap.hold", **{"for": lasts})
    object.__setattr__(world, "armed", armed)
    object.__setattr__(world.planned, "until", Condition("reply", ("SET *",), (other.link,)))
    return world


async def test_a_held_message_goes_on_once_the_other_is_there_and_has_gone_on(system) -> None:
    deeds: list[object] = []
    world = await held_until(system, deeds, came=True, lasts="60s")
    await apply(world)
    assert deeds[:2] == ["released", ("held", "released")]
    assert world.recorder.phases() == ["injected", "armed", "bit"]
    assert "essay_lifecycle#2->redis was there" in world.recorder[-1][2]["evidence"]["what"]


async def test_a_message_whose_other_never_came_was_held_in_vain(system) -> None:
    world = await held_until(system, [], came=False, lasts="50ms")
    with pytest.raises(FaultError, match="number 1 of reply 'SET \\*' on essay_lifecycle#2->redis did not come"):
        await apply(world)
    assert world.recorder.phases() == ["injected", "failed"]


async def test_where_no_link_has_a_tap_no_message_can_be_waited_for(system) -> None:
    world = context(system, Held([]), "tap.hold", **{"for": "1s"})
    object.__setattr__(world.planned, "until", Condition("reply", ("SET *",), (LINK,)))
    with pytest.raises(FaultError, match="no link has a tap"):
        await apply(world)


async def test_it_is_said_that_a_delayed_message_was_given_up(system) -> None:
    world = context(system, Held([], waiting=False), "tap.delay", by="10ms")
    await apply(world)
    assert "given it up" in world.recorder[-1][2]["evidence"]["what"]


async def test_a_record_that_a_second_request_appended_is_the_faults(system) -> None:
    world = context(system, Held([]), "tap.duplicate")
    await apply(world)
    (published,) = [fields for op, phase, fields in world.recorder if (op, phase) == ("publish", "ok")]
    assert published == {
        "fault": "f1",
        "injected": "tap.duplicate",
        "topic": "essays",
        "partition": 2,
        "offset": 7,
        "malformed": None,
    }


async def test_a_record_that_a_fault_altered_is_malformed_and_what_it_was_is_told(system) -> None:
    world = context(system, Held([]), "tap.corrupt")
    spoiled, was = [], []
    object.__setattr__(world, "spoil", lambda value, reason: spoiled.append((value, reason)))
    object.__setattr__(world, "overwritten", was.append)
    await apply(world)
    assert spoiled == [(b"\xff\xff\xff", "spoiled by tap.corrupt: bytes")]
    assert was == [Record("essays", 2, 7, b"k", b"abc")]
    (published,) = [fields for op, phase, fields in world.recorder if (op, phase) == ("publish", "ok")]
    assert published["malformed"] == "spoiled by tap.corrupt: bytes"
    assert (published["topic"], published["partition"], published["offset"]) == ("essays", 2, 7)


async def test_an_altered_record_that_nobody_can_place_is_no_bite(system) -> None:
    world, was = context(system, Held([], waiting=False), "tap.corrupt"), []
    object.__setattr__(world, "overwritten", was.append)
    with pytest.raises(FaultError, match="nobody can say whether the broker took the altered record"):
        await apply(world)
    assert [(one.offset, one.value) for one in was] == [(-1, None)], "it may be in place of an event"
    assert world.recorder.phases() == ["injected", "failed"]


async def test_a_second_request_that_was_never_answered_is_no_bite(system) -> None:
    world = context(system, Held([], waiting=False), "tap.duplicate")
    with pytest.raises(FaultError, match="no second reply to the reply to SET claim:7 came"):
        await apply(world)
    assert world.recorder.phases() == ["injected", "failed"]


async def test_a_cut_that_never_came_is_no_bite(system) -> None:
    world = context(system, Held([], waiting=False), "tap.cut", after="1KiB")
    with pytest.raises(FaultError, match="ended before 1024 bytes had passed"):
        await apply(world)
    assert world.recorder.phases() == ["injected", "failed"]


@pytest.mark.parametrize("side", ["request", "reply"])
async def test_a_replica_dies_before_its_message_moves_and_the_message_with_it(system, side) -> None:
    held = Held([], side)
    world = context(system, held, "service.kill", target="essay_lifecycle#1", lasts=0.2)
    await apply(world)
    assert held.deeds[:2] == ["killed", ("lost", True)]
    assert world.recorder.phases() == ["injected", "armed", "bit", "healed"]


async def test_a_kill_at_anothers_message_lets_it_pass(system) -> None:
    held = Held([])
    held.link = "essay_lifecycle#2->redis"
    world = context(system, held, "service.kill", target="essay_lifecycle#1", lasts=0.1)
    await apply(world)
    assert held.deeds[:2] == ["killed", "released"]
    assert "bit" not in world.recorder.phases(), "it was idle itself"


async def test_a_message_is_work_though_nothing_else_was_asked_of_the_system(system) -> None:
    class Idle(StandIn):
        async def committed(self, service):
            return {}

        async def ends(self, topics):
            return {}

        async def records(self, begins, ends):
            return {at: max(0, ends.get(at, 0) - begin) for at, begin in begins.items()}

        async def assigned(self, service):
            return {}

    world = context(system, Held([]), "service.kill", target="essay_lifecycle#1", lasts=0.2)
    object.__setattr__(world, "broker", Idle())
    object.__setattr__(world, "begun", lambda: 0)
    await apply(world)
    assert world.recorder.phases() == ["injected", "armed", "bit", "healed"]


class Group(StandIn):
    """A group that has passed ten records on one partition; the marker of a transaction may follow."""

    marker = False

    def __init__(self, executed=()):
        self.has = {("essays", 0): 10, **{(topic, number): offset for topic, number, offset in executed}}

    async def committed(self, service):
        return self.has

    async def ends(self, topics):
        return {}

    async def records(self, begins, ends):
        return {at: max(0, ends.get(at, 0) - begin - self.marker) for at, begin in begins.items()}

    async def assigned(self, service):
        return {}


@pytest.mark.parametrize("name", ["service.kill", "tap.lose_reply"])
@pytest.mark.parametrize("side", ["request", "reply"])
@pytest.mark.parametrize(
    ("commits", "marker", "acts"),
    [
        ([("essays", 0, 11)], False, True),
        ([("essays", 0, 10)], False, False),
        ([("essays", 0, 10), ("essays", 1, 0)], False, False),
        ([("essays", 0, 10), ("essays", 1, 3)], False, True),
        ([("essays", 0, 11)], True, False),
        ([("essays", 0, 99)], True, True),
    ],
    ids=["a record", "nothing", "nothing at all", "another partition's", "a marker", "many"],
)
async def test_a_commit_by_the_clock_that_passes_no_record_is_not_acted_at(  # noqa: PLR0917
    system, name, side, commits, marker, acts
) -> None:
    """Whoever dies at it, or is not answered, had nothing to lose."""
    held, link = Held([], side=side), "essay_lifecycle#1->kafka"
    held.link, held.command, held.key, held.commits = link, "OffsetCommit", "essay_lifecycle", commits
    target = link if name == "tap.lose_reply" else "essay_lifecycle#1"
    world = context(system, held, name, target=target, lasts=0.1 if name == "service.kill" else None)
    group = Group(commits if side == "reply" else ())
    group.marker = marker
    object.__setattr__(world, "broker", group)
    object.__setattr__(world, "passed", lambda _service: {("essays", 0): 10})
    assert await apply(world) == acts
    assert ("bit" in world.recorder.phases()) == acts
    assert bool(held.deeds) == acts


@pytest.mark.parametrize(
    ("command", "executed", "acts"),
    [
        ("OffsetCommit", [], False),
        ("OffsetCommit", [("essays", 1, 3)], True),
        ("OffsetCommit", [("essays", 0, 12), ("essays", 1, 7)], True),
        ("TxnOffsetCommit", [], True),  # the offsets show once the transaction has ended
    ],
    ids=["refused", "in part", "passed since", "in a transaction"],
)
async def test_a_fault_does_not_act_at_the_reply_to_a_commit_that_was_refused(
    system, command, executed, acts
) -> None:
    """As commits are while the group rebalances: what it asked for is past what was committed before."""
    held = Held([])
    held.link, held.command, held.key = "essay_lifecycle#1->kafka", command, "essay_lifecycle"
    held.commits = [("essays", 0, 11), ("essays", 1, 3)]
    world = context(system, held, "service.kill", target="essay_lifecycle#1", lasts=0.1)
    object.__setattr__(world, "broker", Group(executed))
    object.__setattr__(world, "passed", lambda _service: {("essays", 0): 10})
    assert await apply(world) == acts
    assert bool(held.deeds) == acts


async def test_what_another_group_of_the_service_commits_is_not_held_against_its_own(system) -> None:
    held = Held([], side="request")
    held.link, held.command, held.key = "essay_lifecycle#1->kafka", "OffsetCommit", "essay_lifecycle-audit"
    held.commits = [("essays", 0, 4)]
    world = context(system, held, "tap.lose_request", target="essay_lifecycle#1->kafka")
    object.__setattr__(world, "broker", Group())
    assert await apply(world)


async def test_a_commit_counts_where_nobody_knows_what_was_committed_before(system) -> None:
    held = Held([])
    held.command, held.key, held.commits = "OffsetCommit", "essay_lifecycle", [("essays", 0, 10)]
    world = context(system, held, "tap.lose_reply")
    assert await apply(world)


@pytest.mark.parametrize(
    ("command", "bites"), [("Heartbeat", False), ("Fetch", False), ("Produce", True), ("EndTxn", True)]
)
async def test_what_keeps_a_client_in_its_group_is_no_work(system, command, bites) -> None:
    held = Held([])
    held.link, held.command = "essay_lifecycle#1->kafka", command
    world = context(system, held, "service.kill", target="essay_lifecycle#1", lasts=0.1)
    await apply(world)
    assert ("bit" in world.recorder.phases()) == bites


async def test_a_message_that_was_given_up_before_the_faults_turn_came_is_not_acted_at(system) -> None:
    held = Held([], waiting=False)
    held.looks = 1
    world = context(system, held, "service.kill", target="essay_lifecycle#1", lasts=0.1)
    assert not await apply(world)
    assert (held.deeds, world.recorder.phases()) == ([], [])


@pytest.mark.parametrize("name", ["service.kill", "service.pause"])
async def test_one_that_gives_up_at_the_last_moment_is_let_be(system, name) -> None:
    held = Held([], waiting=False)
    world = context(system, held, name, target="essay_lifecycle#1", lasts=0.1)
    assert not await apply(world)
    assert world.recorder.phases() == ["injected", "healed"], "nothing is left to heal"
    assert "killed" not in held.deeds
    assert "paused" not in held.deeds


async def test_a_replica_stands_still_before_its_message_moves(system) -> None:
    held = Held([])
    world = context(system, held, "service.pause", target="essay_lifecycle#1", lasts=0.6)
    await apply(world)
    assert held.deeds == ["paused", "released", "resumed"]
    assert world.recorder.phases() == ["injected", "armed", "bit", "healed"]


async def test_without_a_message_there_is_nothing_to_act_on(system) -> None:
    world = context(system, Held([]), "tap.error", error="OOM")
    object.__setattr__(world, "held", None)
    with pytest.raises(FaultError, match="none is held"):
        await apply(world)


async def test_the_broker_is_asked_only_when_the_message_has_gone(system) -> None:
    document = system.model_dump(mode="json", by_alias=True)
    document["services"]["essay_lifecycle"]["env"]["GROUP"] = "{group}"
    system, held = System.model_validate(document), Held([])
    asked = []

    class Asked(StandIn):
        async def committed(self, service):
            asked.append(held.settled)
            raise FaultError("no answer")

        assigned = committed

    world = context(system, held, "service.kill", target="essay_lifecycle#1", lasts=0.1)
    object.__setattr__(world, "broker", Asked())
    await apply(world)
    assert asked
    assert all(asked)
