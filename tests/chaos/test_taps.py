"""Taps on a real stack: each fault on a message, and deaths on the right side of one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from harness.faults import TABLE, fault_type
from harness.faults.apply import apply
from harness.faults.base import FaultContext, PlannedFault
from harness.faults.condition import Condition
from harness.session.tapped import tapped
from harness.stack import RunNames
from harness.taps.trigger import Trigger
from tests.chaos.notes import Notes

on_the_rig = pytest.mark.asyncio(loop_scope="session")
REDIS, PEER, KAFKA = "worker#1->redis", "worker#1->peer", "worker#1->kafka"
TIMES = 10
"""Kills on each side of a message."""


@dataclass(frozen=True)
class Case:
    fault: str
    on: str
    side: Any
    pattern: str
    became: str
    parameters: dict[str, Any] = field(default_factory=dict)
    until: Condition | None = None

    def __str__(self) -> str:
        return "-".join([self.fault, self.on, self.side, *map(str, self.parameters.values())])


CASES = [
    Case("tap.lose_request", REDIS, "request", "SET worker", "lost_request"),
    Case("tap.lose_request", REDIS, "request", "SET worker", "lost_request", {"then": "silence"}),
    Case("tap.lose_reply", REDIS, "reply", "SET worker", "lost_reply"),
    Case("tap.lose_reply", PEER, "reply", "GET /", "lost_reply", {"then": "silence"}),
    Case("tap.delay", REDIS, "reply", "GET *", "answered", {"by": "300ms"}),
    Case("tap.cut", REDIS, "request", "SET worker", "cut_request", {"after": "20B"}),
    Case("tap.cut", PEER, "reply", "GET /", "cut_reply", {"after": "10B"}),
    Case("tap.cut", KAFKA, "request", "Produce work", "cut_request", {"after": "64KiB"}),
    Case("tap.cut", KAFKA, "reply", "Fetch work", "cut_reply", {"after": "0B"}),
    Case("tap.duplicate", REDIS, "request", "SET worker", "repeated"),
    Case("tap.duplicate", PEER, "request", "GET /", "repeated"),
    Case("tap.duplicate", KAFKA, "request", "OffsetCommit worker", "repeated"),
    Case("tap.hold", REDIS, "request", "SET *", "answered", {"for": "300ms"}),
    Case(
        "tap.hold", KAFKA, "request", "Produce *", "answered", {"for": "60s"}, Condition("reply", ("GET /",), (PEER,))
    ),
    Case("tap.error", REDIS, "request", "SET *", "refused", {"error": "READONLY"}),
    Case("tap.error", PEER, "request", "GET /", "refused", {"error": "503"}),
    Case("tap.error", PEER, "reply", "GET /", "refused_reply", {"error": "500"}),
    Case("tap.lose_request", KAFKA, "request", "Produce work", "lost_request"),
    Case("tap.lose_request", KAFKA, "request", "Heartbeat worker", "lost_request", {"then": "silence"}),
    Case("tap.lose_reply", KAFKA, "reply", "OffsetCommit worker", "lost_reply"),
    Case("tap.delay", KAFKA, "reply", "Fetch work", "answered", {"by": "300ms"}),
    Case("tap.error", KAFKA, "request", "OffsetCommit worker", "refused", {"error": "NOT_COORDINATOR"}),
    Case("tap.error", KAFKA, "request", "Heartbeat worker", "refused", {"error": "REBALANCE_IN_PROGRESS"}),
    Case("tap.error", KAFKA, "request", "Produce work", "refused", {"error": "NOT_LEADER_OR_FOLLOWER"}),
    Case("tap.corrupt", KAFKA, "request", "Produce work", "answered"),
    Case("tap.error", KAFKA, "request", "Fetch work", "refused", {"error": "NOT_LEADER_OR_FOLLOWER"}),
    Case("tap.error", KAFKA, "reply", "OffsetCommit worker", "refused_reply", {"error": "COORDINATOR_NOT_AVAILABLE"}),
    Case("tap.error", KAFKA, "reply", "Fetch work", "refused_reply", {"error": "REQUEST_TIMED_OUT"}),
]


@asynccontextmanager
async def taps_on(rig: Any, notes: Notes) -> AsyncIterator[Any]:
    plan: Any = SimpleNamespace(taps={REDIS: "redis", PEER: "http", KAFKA: "kafka"})
    async with tapped(plan, rig.stack, notes, RunNames("chaos")) as taps:
        yield taps


async def applied(rig: Any, notes: Notes, planned: PlannedFault, held: Any, taps: Any) -> None:
    """Apply a fault at a message that is held for it."""
    context = FaultContext(planned, notes, rig.stack, rig.kafka, Random(1), deadline=30, held=held, armed=taps.armed)
    try:
        await apply(context)
    finally:
        held.release()


async def met(trigger: Trigger) -> Any:
    async with asyncio.timeout(60):
        return await trigger.met()


def test_every_fault_on_a_message_has_a_case() -> None:
    assert {case.fault for case in CASES} == {name for name in TABLE if fault_type(name).at_message}


@pytest.mark.parametrize("case", CASES, ids=str)
@on_the_rig
async def test_it_acts_on_one_message_and_the_system_goes_on(rig, case) -> None:
    await rig.busy()
    notes = Notes()
    async with taps_on(rig, notes) as taps:
        await rig.working()
        fault = fault_type(case.fault).model_validate(case.parameters)
        planned = PlannedFault("f1", fault, case.on, None, None, 1, rig.system, until=case.until)
        with taps.armed(Trigger(side=case.side, patterns=[case.pattern], links=[case.on], nth=3)) as trigger:
            await applied(rig, notes, planned, await met(trigger), taps)
        await rig.working()
    assert notes.phases() == ["injected", "armed", "bit"]
    became = [record["phase"] for record in notes.wire() if record["phase"] not in {"answered", "unanswered"}]
    assert became == ([case.became] if case.became != "answered" else [])
    await rig.working()


async def at_a_produce(rig: Any, fault: str) -> tuple[tuple[int, int], dict[tuple[int, int], bytes | None]]:
    """Apply a fault at a Produce; return the place of the record that it published, and the value at each place."""
    await rig.busy()
    notes = Notes()
    async with taps_on(rig, notes) as taps:
        await rig.working()
        planned = PlannedFault("f1", fault_type(fault)(), KAFKA, None, None, 1, rig.system)
        with taps.armed(Trigger(side="request", patterns=["Produce work"], links=[KAFKA], nth=3)) as trigger:
            await applied(rig, notes, planned, await met(trigger), taps)
        records = {(one.partition, one.offset): one.value for one in await rig.kafka.tail("work", 1000)}
    (made,) = [record for record in notes.records if (record["op"], record["phase"]) == ("publish", "ok")]
    return (made["partition"], made["offset"]), records


@on_the_rig
async def test_where_the_record_of_a_second_produce_lies_is_known(rig) -> None:
    place, records = await at_a_produce(rig, "tap.duplicate")
    same = sorted(one for one in records if records[one] == records[place])
    assert len(same) == 2
    assert same[1] == place, "the first one is the service's own"


@on_the_rig
async def test_the_broker_takes_a_record_with_another_value(rig) -> None:
    place, records = await at_a_produce(rig, "tap.corrupt")
    value = records[place]
    assert value
    assert value == b"\xff" * len(value)


@on_the_rig
async def test_what_passes_is_understood(rig) -> None:
    await rig.busy()
    notes = Notes()
    expected = {
        (REDIS, "SET", "worker", "OK"),
        (REDIS, "GET", "worker", "bulk"),
        (PEER, "GET", "/", "200"),
        (KAFKA, "Produce", "work", "ok"),
        (KAFKA, "OffsetCommit", "worker", "ok"),
        (KAFKA, "ApiVersions", None, "ok"),
    }
    passed: set[tuple[object, ...]] = set()
    async with taps_on(rig, notes):
        # Work goes on before its offsets are committed, on a busy machine for a while.
        async with asyncio.timeout(120):
            while not expected <= passed or "Fetch" not in {command for _, command, _, _ in passed}:
                await rig.working()
                passed = {
                    (record["link"], record.get("command"), record.get("key"), record.get("kind"))
                    for record in notes.wire()
                }
    places = [
        place for record in notes.wire() if record["phase"] == "answered" for place in record.get("places") or ()
    ]
    assert {topic for topic, _, _ in places} == {"work"}
    assert "plain" not in {record["phase"] for record in notes.wire()}


@on_the_rig
async def test_a_tap_stays_when_its_proxy_is_started_again(rig) -> None:
    await rig.busy()
    notes = Notes()
    async with taps_on(rig, notes):
        await rig.stack.links[REDIS]._toxiproxy._restart()
        notes.records.clear()
        await rig.working()
        assert REDIS in {record["link"] for record in notes.wire()}
    await rig.working()
    notes.records.clear()
    await rig.working()
    assert not notes.wire(), "the links lead past the taps again"


@pytest.mark.parametrize("side", ["request", "reply"])
@on_the_rig
async def test_a_replica_dies_on_the_right_side_of_a_message_every_time(rig, side) -> None:
    """A request at which it dies is never executed; a reply at which it dies has come, and it never does the next thing."""
    await rig.busy()
    notes, right = Notes(), []
    kill = fault_type("service.kill")()
    planned = PlannedFault("f1", kill, "worker#1", None, 0.0, 1, rig.system)
    async with taps_on(rig, notes) as taps, rig.stack.links["worker#2->redis"].refuse():
        for _ in range(TIMES):
            with taps.armed(Trigger(side=side, patterns=["SET worker"], links=[REDIS], nth=5)) as trigger:
                held = await met(trigger)
                executed = await sets(rig)
                context = FaultContext(planned, notes, rig.stack, rig.kafka, Random(1), held=held)
                async with kill.inject("worker#1", context):
                    held.release()
                    await rig.until(partial(lost, notes, f"lost_{side}", REDIS))
                    last = [record for record in notes.wire() if record["link"] == REDIS][-1]
                    right.append((last["phase"], last["command"], await sets(rig) - executed))
            notes.records.clear()
    assert right == [(f"lost_{side}", "SET", 0)] * TIMES


@on_the_rig
async def test_a_death_at_the_commit_of_offsets_has_its_effects_and_they_come_again(rig) -> None:
    """What it had done is done, the broker has not heard of it, and so each of these records is consumed once more."""
    await rig.busy()
    notes, right = Notes(), []
    kill = fault_type("service.kill")()
    planned = PlannedFault("f1", kill, "worker#1", None, 0.0, 1, rig.system)
    async with taps_on(rig, notes) as taps:
        for _ in range(TIMES):
            with taps.armed(
                Trigger(side="request", patterns=["OffsetCommit worker"], links=[KAFKA], nth=3)
            ) as trigger:
                held = await met(trigger)
                context = FaultContext(planned, notes, rig.stack, rig.kafka, Random(1), held=held)
                async with kill.inject("worker#1", context):
                    held.release()
                    await rig.until(partial(lost, notes, "lost_request"))
                    (places,) = [record["places"] for record in notes.wire() if record["phase"] == "lost_request"]
                    committed = await rig.kafka.committed("worker")
                    left = [
                        (partition, offset)
                        for topic, partition, to in places
                        for offset in range(committed.get((topic, partition), 0), to)
                    ]
                    had = effects(rig)
                    done = [had[one] for one in left]
                await rig.until(partial(again, rig, left, had))
                right.append(bool(left) and all(done))
            notes.records.clear()
    assert right == [True] * TIMES


@on_the_rig
async def test_a_commit_whose_answer_was_lost_was_executed_and_nothing_comes_again(rig) -> None:
    await rig.busy()
    notes = Notes()
    async with taps_on(rig, notes) as taps:
        await rig.working()
        with taps.armed(Trigger(side="reply", patterns=["OffsetCommit worker"], links=[KAFKA], nth=3)) as trigger:
            held = await met(trigger)
            committed, had = await rig.kafka.committed("worker"), effects(rig)
            held.lose(close=True)
        await rig.until(partial(lost, notes, "lost_reply"))
        (places,) = [record["places"] for record in notes.wire() if record["phase"] == "lost_reply"]
        assert places
        assert all(committed[topic, partition] >= to for topic, partition, to in places), "it was executed"
        await rig.working()
    has = effects(rig)
    passed = [(partition, offset) for partition, offset in had if offset < committed["work", partition]]
    assert {one: has[one] for one in passed} == {one: had[one] for one in passed}


async def lost(notes: Notes, phase: str, link: str = "") -> bool:
    return phase in {record["phase"] for record in notes.wire() if link in record["link"]}


async def again(rig: Any, records: list[tuple[int, int]], had: Counter[tuple[int, int]]) -> bool:
    """Whether each of the records was consumed once more."""
    has = effects(rig)
    return all(has[one] > had[one] for one in records)


def effects(rig: Any) -> Counter[tuple[int, int]]:
    """How often each record was consumed, by its partition and offset."""
    lines = (rig.stack.data("worker") / "effects").read_text().splitlines()
    pairs = (line.split() for line in lines)
    return Counter((int(partition), int(offset)) for partition, offset in pairs)


async def sets(rig: Any) -> int:
    """How many SETs the store has executed."""
    stats = (await rig.redis.info("commandstats")).get("cmdstat_set", {})
    return int(stats.get("calls", 0))
