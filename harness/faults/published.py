"""Evidence about records that a fault put on a topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from harness.faults.base import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.faults.base import FaultContext
    from harness.stack import Record

_WAIT = 15.0
"""Seconds that a topic is given to hold as many records as a fault wants to publish again."""

_AGAIN = 0.25


class Published:
    """What was published: armed when the broker gave offsets, bit when a service's group has passed one of them."""

    def __init__(self, context: FaultContext, topic: str) -> None:
        self._context = context
        self._topic = topic
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        """A record as the broker took it."""
        if record.offset >= 0:
            self._records.append(record)

    def _offsets(self) -> dict[str, object]:
        return {"offsets": [f"{record.topic}:{record.partition}:{record.offset}" for record in self._records]}

    async def armed(self) -> Evidence | None:
        """The broker's own answer."""
        if not self._records:
            return None
        return Evidence("armed", f"{len(self._records)} records went to {self._topic}", {}, self._offsets())

    async def bit(self) -> Evidence | None:
        """A committed offset beyond one of them."""
        for service in self._context.system.services:
            committed = await self._context.broker.committed(service)
            passed = [r for r in self._records if committed.get((r.topic, r.partition), 0) > r.offset]
            if passed:
                what = f"{service} passed {len(passed)} of them"
                return Evidence("bit", what, {"published": len(self._records)}, {"passed": len(passed)})
        return None


async def enough(context: FaultContext, topic: str, count: int) -> Sequence[Record]:
    """The last ``count`` records of a topic; a topic that has fewer is waited for, for a while."""
    clock = asyncio.get_running_loop()
    deadline = clock.time() + _WAIT
    while len(found := await context.broker.tail(topic, count)) < count and clock.time() < deadline:
        await context.sleep(_AGAIN)
    return found
