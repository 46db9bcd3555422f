"""Reads how far each service's group has come on each partition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from harness.stack import Fields, TopicPartition


class Offsets:
    """Committed offsets and visible ends; every pass gives all of them."""

    what = "offsets"

    class Broker(Protocol):
        """The two questions this observer asks."""

        async def committed(self, service: str) -> Mapping[TopicPartition, int]: ...
        async def ends(self, topics: Mapping[str, int]) -> Mapping[TopicPartition, int]: ...

    def __init__(self, broker: Broker, consumers: Sequence[str], topics: Mapping[str, int]) -> None:
        self._broker = broker
        self._consumers = consumers
        self._topics = topics
        self.reads: Mapping[str, set[str]] = {consumer: set() for consumer in consumers}
        """Topics each consumer is known to read; a partition of them without a committed offset is given too."""
        self.backlog: int = -1
        """Records between committed offset and visible end in the last pass, over all consumers; -1: none was completed."""

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:  # noqa: ARG002 - every pass gives all
        """Ends are asked for first: what is committed past them was visible then."""
        self.backlog = -1
        ends = await self._broker.ends(self._topics)
        backlog = 0
        for consumer in self._consumers:
            committed = await self._broker.committed(consumer)
            self.reads[consumer].update(topic for topic, _ in committed)
            for (topic, partition), end in ends.items():
                if topic not in self.reads[consumer]:
                    continue
                offset = committed.get((topic, partition))
                backlog += max(0, end - (offset or 0))
                yield {
                    "op": "offset",
                    "phase": "seen",
                    "consumer": consumer,
                    "topic": topic,
                    "partition": partition,
                    "committed": offset,
                    "visible_end": end,
                }
        self.backlog = backlog
