"""service.scale: stops some of a consumer's replicas; the others take over their partitions."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from harness.errors import PlanRefused
from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.process import leaving, revive
from harness.stack import Broker, Killable, Stoppable, TopicPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from harness.system import System


_SHARED = 30.0
"""Seconds to wait for a group to finish a rebalance: longer than the session of a killed member."""

_AGAIN = 0.1


class ServiceScale(Fault):
    """Stops all replicas but the first ``to`` with SIGTERM; at the heal, starts them and waits until they are ready."""

    name = "service.scale"
    summary: ClassVar[str] = (
        "Stops all but the first `to` replicas of a consumer cleanly, and starts them again after `for`."
    )
    bites: ClassVar[str] = (
        "The remaining replicas took over partitions of those that left, and passed records on them."
    )
    target = "service"
    needs: ClassVar[tuple[type, ...]] = (Stoppable, Killable)
    heals = True

    to: Annotated[int, Field(ge=1)]
    """How many replicas stay, fewer than the service has, for example ``1``."""

    def check(self, on: str, system: System) -> None:
        """The service must have more than ``to`` replicas."""
        if (count := system.services[on].replicas) <= self.to:
            raise PlanRefused(f"to: {on} has {count} replicas; write a smaller number")

    def takes(self, on: str, context: FaultContext) -> list[str]:
        """The replicas that leave."""
        return context.replicas_of(on)[self.to :]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """The replicas have exited once the scope is entered."""
        broker = context.broker
        replicas = [leaving(context, name) for name in self.takes(on, context)]
        before = await _shared(broker, on, context, self.to)
        try:
            statuses: dict[str, object] = {}
            for replica in replicas:
                pid, statuses[replica.name] = replica.pid, await replica.stop()
                context.note("stopped", replica.name, pid, statuses[replica.name])  # type: ignore[arg-type]
            passed = await broker.committed(on)
            stayed: set[str] = set()

            async def left() -> bool:
                return all([await replica.state() == "exited" for replica in replicas])

            async def armed() -> Evidence | None:
                if not await left():
                    return None
                return Evidence("armed", f"{', '.join(statuses)} left", {}, {"exit_status": statuses})

            async def bit() -> Evidence | None:
                owners, now = await broker.owners(on), await broker.committed(on)
                # A replica that left, or died, may still be a member; those that return at the heal do not count as stayed.
                if len(members := set(owners.values())) <= self.to and await left():
                    stayed.update(members)
                gone = set(before.values()) - members
                moved = [at for at, owner in before.items() if owner in gone and owners.get(at) in stayed]
                heirless = gone - {before[at] for at in moved if now.get(at, 0) > passed.get(at, 0)}
                # Some of the gone may have died earlier: with fewer heirless than stopped replicas, a stopped one has an heir.
                if len(heirless) >= min(len(gone), len(replicas)):
                    return None
                what = f"partitions of {on} were given to others of its replicas, who passed records of them"
                return Evidence("bit", what, _named(before), _named({at: owners[at] for at in moved}))

            yield Injected(armed, bit, after=bit)
        finally:
            await asyncio.gather(*(revive(context, replica) for replica in replicas))


async def _shared(broker: Broker, service: str, context: FaultContext, to: int) -> Mapping[TopicPartition, str]:
    """Wait a while for more than ``to`` members with partitions: a member without any leaves none to others."""
    clock = asyncio.get_running_loop()
    deadline = clock.time() + _SHARED
    while len(set((owners := await broker.owners(service)).values())) <= to and clock.time() < deadline:
        await context.sleep(_AGAIN)
    return owners


def _named(owners: Mapping[TopicPartition, str]) -> dict[str, object]:
    return {f"{topic}:{partition}": owner for (topic, partition), owner in sorted(owners.items())}
