"""Reads how far each service's group has come on each partition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.stack import Fields, TopicPartition


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one group is on one partition; ``committed`` None: it has committed nothing there."""

    consumer: str
    place: TopicPartition
    committed: int | None
    end: int
    """One past the last visible offset; a transaction's marker takes one, and is no record."""


class Offsets:
    """Committed offsets and visible ends; every pass gives all of them.

    A consumer reads what ``reads`` says; where that says nothing, what its group was ever assigned or has committed.
    """

    what = "offsets"

    class Broker(Protocol):
        """The questions this observer asks."""

        async def committed(self, service: str) -> Mapping[TopicPartition, int]: ...
        async def assigned(self, service: str) -> Mapping[TopicPartition, str] | None: ...
        async def ends(self, topics: Mapping[str, int]) -> Mapping[TopicPartition, int]: ...

    def __init__(
        self,
        broker: Broker,
        consumers: Sequence[str],
        topics: Mapping[str, int],
        reads: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._declared = dict(reads or {})
        self.reads: Mapping[str, set[str]] = {name: set(self._declared.get(name, ())) for name in consumers}
        """Topics each consumer is known to read."""
        self.committing: set[str] = set()
        """Consumers that have ever committed an offset: of the others it is not seen how far they are."""
        self.standings: list[Standing] | None = None
        """What the last pass found; None if it could not read all."""

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:  # noqa: ARG002 - every pass gives all
        """Ends are asked for first: what is committed past them was visible then."""
        self.standings = None
        ends = await self._broker.ends(self._topics)
        found: list[Standing] = []
        for consumer, reads in self.reads.items():
            committed = await self._broker.committed(consumer)
            if committed:
                self.committing.add(consumer)
            if consumer not in self._declared:
                assigned = await self._broker.assigned(consumer) or {}
                reads.update(topic for topic, _ in (*committed, *assigned))
            found += [Standing(consumer, at, committed.get(at), end) for at, end in ends.items() if at[0] in reads]
        for one in found:
            topic, partition = one.place
            yield {
                "op": "offset",
                "phase": "seen",
                "consumer": one.consumer,
                "topic": topic,
                "partition": partition,
                "committed": one.committed,
                "visible_end": one.end,
            }
        self.standings = found
