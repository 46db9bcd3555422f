"""kafka.redeliver: moves a group's offsets back, so that it receives processed records again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from harness.errors import FaultError
from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.process import Leaving, leaving, revive
from harness.stack import Broker, Killable, Stoppable, TopicPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence


_MEMBERS_GONE = 30.0
"""Seconds until the broker drops replicas that left or were killed: longer than a session."""

_PASSED = 15.0
"""Seconds to wait for a group's first committed offset."""

_AGAIN = 0.1
"""Seconds between attempts to set the offsets of a group that still has members."""


class KafkaRedeliver(Fault):
    """Stops a service's replicas, moves each partition's offset back by at most ``count``, and starts them again."""

    name = "kafka.redeliver"
    summary: ClassVar[str] = (
        "Stops a service's replicas, moves its group's offsets back by at most count, and starts them."
    )
    bites: ClassVar[str] = "On at least one partition the group caught up with its old offset."
    target = "service"
    needs: ClassVar[tuple[type, ...]] = (Stoppable, Killable)
    heals = False

    count: Annotated[int, Field(ge=1, le=1_000_000)]
    """How many records, at most, to move each partition's offset back, for example ``50``."""

    def takes(self, on: str, context: FaultContext) -> list[str]:
        """Every replica of the service."""
        return context.replicas_of(on)

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """Once the scope is entered, the replicas run again, before records that they had passed."""
        broker = context.broker
        replicas = [leaving(context, name) for name in context.replicas_of(on)]
        before: Mapping[TopicPartition, int] = {}
        after: Mapping[TopicPartition, int] = {}
        await _committed(broker, on, context)
        try:
            await asyncio.gather(*(_leave(context, replica) for replica in replicas))
            before = await broker.committed(on)
            earlier = {at: max(0, offset - self.count) for at, offset in before.items()}
            if earlier:
                await _set(broker, on, earlier)
            after = await broker.committed(on)
        finally:
            await _return(context, replicas)
        back = {at: before[at] for at in before if after.get(at, before[at]) < before[at]}

        async def armed() -> Evidence | None:
            if not back:
                return None
            return Evidence("armed", f"the offsets of {on} went back", _named(before), _named(after))

        async def bit() -> Evidence | None:
            now = await broker.committed(on)
            passed = {at: now[at] for at, offset in back.items() if now.get(at, 0) >= offset}
            # A group may have been set back behind nothing but the marker of a transaction, and that is no record.
            again = await broker.records({at: after[at] for at in passed}, before) if passed else {}
            if not any(again.values()):
                return None
            return Evidence("bit", f"{on} was handed records again and passed them", _named(after), _named(passed))

        yield Injected(armed, bit)


async def _committed(broker: Broker, service: str, context: FaultContext) -> None:
    """Wait, as long as the run has patience, for a committed offset: without one there is nothing to move back."""
    clock = asyncio.get_running_loop()
    deadline = clock.time() + max(_PASSED, context.patience)
    while not any((await broker.committed(service)).values()) and clock.time() < deadline:
        await context.sleep(_AGAIN)


async def _leave(context: FaultContext, replica: Leaving) -> None:
    pid, status = replica.pid, await replica.stop()
    context.note("stopped", replica.name, pid, status)


async def _return(context: FaultContext, replicas: Sequence[Leaving]) -> None:
    await asyncio.gather(*(revive(context, replica) for replica in replicas))


async def _set(broker: Broker, service: str, offsets: Mapping[TopicPartition, int]) -> None:
    """Set the offsets as soon as the group has no members."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _MEMBERS_GONE
    while True:
        try:
            await broker.set_offsets(service, offsets)
        except FaultError:
            if loop.time() > deadline:
                raise
        else:
            return
        await asyncio.sleep(_AGAIN)


def _named(offsets: Mapping[TopicPartition, int]) -> dict[str, object]:
    return {f"{topic}:{partition}": offset for (topic, partition), offset in sorted(offsets.items())}
