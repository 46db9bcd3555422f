"""kafka.redeliver: a group's offsets go back, so that it is handed again what it has done."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from harness.errors import FaultError
from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.process import leaving, revive
from harness.stack import Broker, Killable, Stoppable, TopicPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from harness.faults.process import Leaving

_MEMBERS_GONE = 30.0
"""Seconds until a group whose replicas have left or were killed is rid of them: longer than a session."""

_PASSED = 15.0
"""Seconds that a group without a committed offset is given to make one."""

_AGAIN = 0.1
"""Seconds until it is tried again to set the offsets of a group that still has members."""


class KafkaRedeliver(Fault):
    """The service's replicas stop, each partition's offset goes back by at most ``count``, they start again."""

    name = "kafka.redeliver"
    summary: ClassVar[str] = "A service's replicas stop, its group's offsets go back by at most count, they start."
    bites: ClassVar[str] = "The group passed again all that the offset of one of its partitions had gone back by."
    target = "service"
    needs: ClassVar[tuple[type, ...]] = (Stoppable, Killable)
    heals = False

    count: Annotated[int, Field(ge=1, le=1_000_000)]
    """By how many records the offset of each partition goes back, at most, for example ``50``."""

    def takes(self, on: str, context: FaultContext) -> list[str]:
        """Every replica of the service."""
        return context.replicas_of(on)

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """The replicas run again once the scope is entered, and stand before what they had passed."""
        broker = context.broker
        replicas = [leaving(context, name) for name in context.replicas_of(on)]
        before: Mapping[TopicPartition, int] = {}
        after: Mapping[TopicPartition, int] = {}
        await _committed(broker, on, context)
        try:
            await asyncio.gather(*(_leave(context, replica) for replica in replicas))
            before = await broker.committed(on)
            wanted = {at: max(0, offset - self.count) for at, offset in before.items()}
            if wanted:
                await _set(broker, on, wanted)
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
            if not passed:
                return None
            return Evidence("bit", f"{on} was handed records again and passed them", _named(after), _named(passed))

        yield Injected(armed, bit)


async def _committed(broker: Broker, service: str, context: FaultContext) -> None:
    """Wait a while for the group to have passed something: what has no offset cannot go back."""
    clock = asyncio.get_running_loop()
    deadline = clock.time() + _PASSED
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
