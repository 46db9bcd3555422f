"""redis.lose: kills the store and brings it back empty."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from harness.errors import SystemLacks
from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.evidence import Sought
from harness.faults.process import revive, store
from harness.faults.work import never_connected
from harness.stack import Fields, Forgetful, Killable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.system import System


class RedisLose(Fault):
    """Kills Redis, removes its files, and starts it again at the heal.

    SIGKILL alone loses nothing: the kernel holds what was written.
    """

    name = "redis.lose"
    summary: ClassVar[str] = "Kills Redis, removes all its files, and starts it empty after `for`."
    bites: ClassVar[str] = (
        "A service tried to connect while the store was down; where attempts are not counted, a connection to it ended."
    )
    target = "redis"
    needs: ClassVar[tuple[type, ...]] = (Killable, Forgetful)
    heals = True

    def check(self, on: str, system: System) -> None:
        """Raise SystemLacks if effects or totals are read from the store: no service could keep them."""
        for name, effects in system.effects.items():
            places = [read.redis for read in effects.reads if read.redis is not None]
            if any((place.on or system.of_kind("redis")[0]) == on for place in places):
                raise SystemLacks(
                    f"the effects of {name} are read from {on}, and would be gone; redis.restart keeps them"
                )

    def takes(self, on: str, context: FaultContext) -> list[str]:
        """The store and its links: with a link blocked, there would be nothing to bite."""
        return [on, *(link.name for link in context.links_to(on))]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """The store is dead and its files are gone once the scope is entered."""
        server = store(context, on)
        redis = context.redis_of(on)
        pid, size = server.pid, await redis.size()
        links = context.links_to(on)
        sought = await Sought.since_now(links, on)
        try:
            status = await server.kill()
            context.note("killed", on, pid, status)
            await server.forget()

            async def armed() -> Evidence | None:
                if (state := await server.state()) != "exited":
                    return None
                return Evidence(
                    "armed",
                    f"{on} is dead and its files are gone",
                    {"keys": size},
                    {"state": state, "status": status},
                )

            async def aftermath() -> Fields:
                return {"keys_before": size, "keys": await redis.size(), "emptied": True}

            yield Injected(
                armed, sought.look, after=sought.look, vain=partial(never_connected, links), aftermath=aftermath
            )
        finally:
            await revive(context, server)
