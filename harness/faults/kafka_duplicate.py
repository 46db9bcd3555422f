"""kafka.duplicate: publishes records again, byte for byte."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from harness.errors import FaultError
from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.published import Published, enough
from harness.stack import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class KafkaDuplicate(Fault):
    """Publishes the last ``count`` records of a topic again, on the same partition or another.

    On another partition, two replicas may receive the same event at the same time.
    """

    name = "kafka.duplicate"
    summary: ClassVar[str] = "Publishes the last count records of a topic again, byte for byte."
    bites: ClassVar[str] = "A service's consumer group passed one of the published records."
    target = "topic"
    needs: ClassVar[tuple[type, ...]] = ()
    heals = False

    count: Annotated[int, Field(ge=1, le=100_000)]
    """How many of the topic's latest records, for example ``20``; none without a value, or published by ``kafka.malformed``."""
    to: Literal["same", "other"] = "same"
    """Where to publish them: on their own partition, or on another, drawn from the seed."""

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """All records are published once the scope is entered; FaultError if the topic has none to publish."""
        published = Published(context, on)
        records = await enough(context, on, self.count)
        if not records:
            raise FaultError(f"{on} still has no event, so there is nothing to publish again; let it begin later")
        for record in records:
            partition = self._partition(record, context)
            again = Record(on, partition, -1, record.key, record.value, record.headers)
            published.add(await context.publish(again))
        yield Injected(published.armed, published.bit)

    def _partition(self, record: Record, context: FaultContext) -> int:
        count = context.topics.get(record.topic, 1)
        if self.to == "same" or count == 1:
            return record.partition
        return (record.partition + context.random.randrange(1, count)) % count
