"""Reads the committed offset of each service's group on each partition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.stack import Fields, TopicPartition


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """One group's offset on one partition; ``committed`` is None if it has committed nothing there."""

    consumer: str
    place: TopicPartition
    committed: int | None
    end: int
    """One past the last visible offset. Transaction markers take offsets too, but are no records."""


class Offsets:
    """Observes committed offsets and visible ends; every pass yields all of them.

    A consumer reads the topics in ``reads``, or else those that its group was ever assigned or has committed on.
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
        """Consumer -> topics that it is known to read."""
        self.committing: set[str] = set()
        """Consumers that have ever committed an offset; the progress of the others is not visible."""
        self.latest: list[GroupOffset] | None = None
        """Offsets of the last pass; None if it was incomplete."""

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:  # noqa: ARG002 - every pass yields all
        """Yield every group's offsets.

        Ends are read first, so a record that counts as not passed was visible before the committed offset was read.
        """
        self.latest = None
        ends = await self._broker.ends(self._topics)
        offsets: list[GroupOffset] = []
        for consumer, reads in self.reads.items():
            committed = await self._broker.committed(consumer)
            if committed:
                self.committing.add(consumer)
            if consumer not in self._declared:
                assigned = await self._broker.assigned(consumer) or {}
                reads.update(topic for topic, _ in (*committed, *assigned))
            offsets += [
                GroupOffset(consumer, at, committed.get(at), end) for at, end in ends.items() if at[0] in reads
            ]
        for offset in offsets:
            topic, partition = offset.place
            yield {
                "op": "offset",
                "phase": "seen",
                "consumer": offset.consumer,
                "topic": topic,
                "partition": partition,
                "committed": offset.committed,
                "visible_end": offset.end,
            }
        self.latest = offsets
