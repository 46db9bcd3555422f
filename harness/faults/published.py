"""Evidence about records that a fault published."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from harness.faults.base import Evidence, FaultContext
from harness.stack import MARK, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

SPOILS: Final = "kafka.malformed"
"""The fault whose records are no events."""

_WAIT = 15.0
"""Seconds to wait for a topic to hold as many records as a fault needs, once it holds any."""

_AGAIN = 0.25


class Published:
    """Published records: armed once the broker assigned offsets, bit once a service's group passed one of them."""

    def __init__(self, context: FaultContext, topic: str) -> None:
        self._context = context
        self._topic = topic
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        """Add a record as the broker acknowledged it."""
        if record.offset >= 0:
            self._records.append(record)

    def _offsets(self) -> dict[str, object]:
        return {"offsets": [f"{record.topic}:{record.partition}:{record.offset}" for record in self._records]}

    async def armed(self) -> Evidence | None:
        """Return the offsets that the broker assigned."""
        if not self._records:
            return None
        return Evidence("armed", f"{len(self._records)} records went to {self._topic}", {}, self._offsets())

    async def bit(self) -> Evidence | None:
        """Return evidence of a bite once a committed offset is beyond one of the records."""
        for service in self._context.system.services:
            committed = await self._context.broker.committed(service)
            passed = [r for r in self._records if committed.get((r.topic, r.partition), 0) > r.offset]
            if passed:
                what = f"{service} passed {len(passed)} of them"
                return Evidence("bit", what, {"published": len(self._records)}, {"passed": len(passed)})
        return None


def sound(record: Record) -> bool:
    """Whether a record may be an event: it has a value, and no fault spoiled it."""
    return record.value is not None and (MARK, SPOILS.encode()) not in record.headers


async def enough(context: FaultContext, topic: str, count: int) -> Sequence[Record]:
    """Return the last ``count`` sound records of a topic; wait a while if it has fewer, and for the first with patience."""
    clock = asyncio.get_running_loop()
    begun = clock.time()
    while len(records := await context.broker.tail(topic, count, sound)) < count:
        if clock.time() - begun >= (_WAIT if records else max(_WAIT, context.patience)):
            break
        await context.sleep(_AGAIN)
    return records
