"""redis.restart: shuts the store down cleanly and brings it back with what it saved."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.evidence import Sought
from harness.faults.process import leaving, revive
from harness.faults.work import never_connected
from harness.stack import Fields, Redis, Stoppable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class RedisRestart(Fault):
    """Stops Redis with SIGTERM, and starts it again at the heal."""

    name = "redis.restart"
    summary: ClassVar[str] = "Stops Redis with SIGTERM and starts it again after `for`."
    bites: ClassVar[str] = (
        "A service tried to connect while the store was down; where attempts are not counted, a connection to it ended."
    )
    target = "redis"
    needs: ClassVar[tuple[type, ...]] = (Stoppable,)
    heals = True

    def takes(self, on: str, context: FaultContext) -> list[str]:
        """The store and its links: with a link blocked, there would be nothing to bite."""
        return [on, *(link.name for link in context.links_to(on))]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """The store has exited once the scope is entered."""
        server = leaving(context, on)
        redis = context.redis_of(on)
        pid, before = server.pid, await _uptime_and_keys(redis)
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
                return await _uptime_and_keys(redis)

            yield Injected(
                armed, sought.look, after=sought.look, vain=partial(never_connected, links), aftermath=aftermath
            )
        finally:
            await revive(context, server)


async def _uptime_and_keys(redis: Redis) -> Fields:
    server = await redis.info("server")
    return {"uptime_in_seconds": server.get("uptime_in_seconds"), "keys": await redis.size()}
