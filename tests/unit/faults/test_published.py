"""Faults that publish what a topic has: they wait for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import FaultError
from harness.faults import published
from harness.faults.base import FaultContext, PlannedFault
from harness.faults.kafka_duplicate import KafkaDuplicate
from harness.faults.kafka_redeliver import KafkaRedeliver
from harness.stack import MARK, Record
from tests.standin import StandIn


class Broker(StandIn):
    """A topic that has its first record at the ``late``-th look, and one more at each look from then on."""

    def __init__(self, late: int) -> None:
        self.late, self.looks = late, 0

    def records(self, topic: str) -> list[Record]:
        return [Record(topic, 0, offset, None, b"{}") for offset in range(self.looks - self.late + 1)]

    async def tail(self, topic: str, count: int, wanted: Callable[[Record], bool]) -> list[Record]:
        self.looks += 1
        return [record for record in self.records(topic) if wanted(record)][-count:]

    async def committed(self, service: str) -> dict[tuple[str, int], int]:
        self.looks += 1
        return {("essays", 0): 3} if self.looks >= self.late else {}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault's own wait is over at once; what is left is the run's patience."""
    monkeypatch.setattr(published, "_WAIT", 0.0)
    monkeypatch.setattr("harness.faults.kafka_redeliver._PASSED", 0.0)


def context(system: Any, broker: Any, fault: Any, patience: float) -> FaultContext:
    async def at_once(_: float) -> None:
        """Look again."""

    planned = PlannedFault("f1", fault, "essays", 0.0, None, 1, system)
    nothing: Any = StandIn()
    return FaultContext(planned, nothing, nothing, broker, Random(1), sleep=at_once, patience=patience)


@pytest.mark.usefixtures("impatient")
async def test_the_first_record_is_waited_for_with_the_runs_patience(system) -> None:
    """On a busy machine a topic late in the pipeline is empty when its fault's moment comes."""
    broker = Broker(late=50)
    records = await published.enough(context(system, broker, KafkaDuplicate(count=4), 600), "essays", 4)
    assert [record.offset for record in records] == [0]


async def test_the_rest_is_waited_for_a_while(system) -> None:
    broker = Broker(late=5)
    records = await published.enough(context(system, broker, KafkaDuplicate(count=4), 600), "essays", 4)
    assert [record.offset for record in records] == [0, 1, 2, 3]


@pytest.mark.usefixtures("impatient")
async def test_a_topic_that_stays_empty_is_said(system) -> None:
    fault = KafkaDuplicate(count=4)
    with pytest.raises(FaultError, match="essays still has no event, so there is nothing to publish again"):
        async with fault.inject("essays", context(system, Broker(late=1_000_000_000), fault, 0)):
            pass


async def test_only_what_may_be_an_event_is_published_again(system) -> None:
    """A tombstone asks nobody for anything, and what a fault spoiled is no event that could be applied twice."""

    class Mixed(Broker):
        def records(self, topic: str) -> list[Record]:
            return [
                Record(topic, 0, 0, None, b"{}"),
                Record(topic, 0, 1, None, b"{}", ((MARK, b"kafka.duplicate"),)),
                Record(topic, 0, 2, None, b"\xff", ((MARK, b"kafka.malformed"),)),
                Record(topic, 0, 3, b"k", None),
            ]

    records = await published.enough(context(system, Mixed(0), KafkaDuplicate(count=2), 0), "essays", 2)
    assert [record.offset for record in records] == [0, 1]


@pytest.mark.usefixtures("impatient")
async def test_a_topic_of_nothing_but_tombstones_has_nothing_to_publish_again(system) -> None:
    class Deleted(Broker):
        def records(self, topic: str) -> list[Record]:
            return [Record(topic, 0, offset, b"k", None) for offset in range(9)]

    fault = KafkaDuplicate(count=4)
    with pytest.raises(FaultError, match="essays still has no event"):
        async with fault.inject("essays", context(system, Deleted(0), fault, 0)):
            pass


@pytest.mark.parametrize(("records", "bites"), [(1, True), (0, False)])
async def test_a_group_set_back_behind_a_transactions_marker_alone_was_handed_nothing(
    system, records: int, bites: bool
) -> None:
    class Group(StandIn):
        offset = 20

        async def committed(self, service):
            return {("essays", 0): self.offset}

        async def set_offsets(self, service, offsets):
            self.offset = offsets["essays", 0]

        async def records(self, begins, ends):
            assert (begins, ends["essays", 0]) == ({("essays", 0): 19}, 20)
            return dict.fromkeys(begins, records)

    group, fault = Group(), KafkaRedeliver(count=1)
    world = replace(
        context(system, group, fault, 0),
        stack=SimpleNamespace(services={}, dependencies={}, links={}, name="made up"),
    )
    async with fault.inject("essay_lifecycle", world) as injected:
        assert await injected.armed()
        group.offset = 21
        assert bool(await injected.bit()) == bites


@pytest.mark.usefixtures("impatient")
async def test_the_first_committed_offset_is_waited_for_with_the_runs_patience(system) -> None:
    from harness.faults.kafka_redeliver import _committed

    broker: Any = Broker(late=50)
    await _committed(broker, "essay_lifecycle", context(system, broker, KafkaRedeliver(count=4), 600))
    assert broker.looks == 50
