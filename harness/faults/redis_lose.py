"""redis.lose: the store dies and comes back empty."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

from harness.faults.base import Arena, Evidence, Fault, Injected
from harness.faults.evidence import Ended
from harness.faults.process import Store, handle, revive
from harness.stack import Forgetful, Killable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.stack import Fields


class RedisLose(Fault):
    """SIGKILL, its append-only folder removed, started again at the heal.

    SIGKILL alone loses nothing: what was written is with the kernel.
    """

    name = "redis.lose"
    summary: ClassVar[str] = "Redis is killed, loses all its files, and comes back empty after `for`."
    target = "redis"
    needs: ClassVar[tuple[type, ...]] = (Killable, Forgetful)
    heals = True

    @asynccontextmanager
    async def inject(self, on: str, arena: Arena) -> AsyncIterator[Injected]:
        """It is dead and its files are gone once the scope is entered."""
        store = handle(arena, on, Store)
        redis = arena.needed_redis()
        size = await redis.size()
        links = [link for link in arena.stack.links.values() if link.dependency == on]
        ended = await Ended.since_now(links, f"connections of the services' to {on} ended")
        try:
            status = await store.kill()
            arena.note("killed", store, status)
            await store.forget()

            async def armed() -> Evidence | None:
                if (state := await store.state()) != "exited":
                    return None
                return Evidence(
                    "armed", f"{on} is dead and its files are gone", {"keys": size}, {"state": state, "status": status}
                )

            async def aftermath() -> Fields:
                return {"keys_before": size, "keys": await redis.size()}

            yield Injected(armed, ended.look, after=ended.look, aftermath=aftermath)
        finally:
            await revive(arena, store)
