"""redis.restart: the store leaves in good order and comes back with what it had."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.evidence import Sought
from harness.faults.process import leaving, revive
from harness.faults.work import never_connected
from harness.stack import Stoppable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.stack import Fields, Redis


class RedisRestart(Fault):
    """SIGTERM, and started again at the heal."""

    name = "redis.restart"
    summary: ClassVar[str] = "Redis is stopped with SIGTERM and started again after `for`."
    bites: ClassVar[str] = (
        "A service tried to connect once the store was gone; where that is not counted, a connection to it ended."
    )
    target = "redis"
    needs: ClassVar[tuple[type, ...]] = (Stoppable,)
    heals = True

    def takes(self, on: str, context: FaultContext) -> list[str]:
        """The process and its links: over one where nothing gets through, it would meet nothing."""
        return [on, *(link.name for link in context.links_to(on))]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """It has left once the scope is entered."""
        server = leaving(context, on)
        redis = context.redis_of(on)
        pid, before = server.pid, await _told(redis)
        links = context.links_to(on)
        sought = await Sought.since_now(links, on)
        try:
            status = await server.stop()
            context.note("stopped", on, pid, status)

            async def armed() -> Evidence | None:
                if (state := await server.state()) != "exited":
                    return None
                return Evidence("armed", f"{on} has left", before, {"state": state, "exit_status": status})

            async def aftermath() -> Fields:
                return await _told(redis)

            yield Injected(
                armed, sought.look, after=sought.look, vain=partial(never_connected, links), aftermath=aftermath
            )
        finally:
            await revive(context, server)


async def _told(redis: Redis) -> Fields:
    server = await redis.info("server")
    return {"uptime_in_seconds": server.get("uptime_in_seconds"), "keys": await redis.size()}
