"""service.kill: a replica dies at once and comes back."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

from harness.faults.base import Arena, Evidence, Fault, Injected
from harness.faults.process import mortal, revive
from harness.faults.work import InHand
from harness.stack import Killable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.stack import Fields


class ServiceKill(Fault):
    """SIGKILL; started again, and ready, at the heal."""

    name = "service.kill"
    summary: ClassVar[str] = "A replica is killed with SIGKILL, stays down for `for`, and is started again."
    bites: ClassVar[str] = "It died at work: a request, an upload or records that it was given were in its hands."
    target = "replica"
    needs: ClassVar[tuple[type, ...]] = (Killable,)
    heals = True

    def takes(self, on: str, arena: Arena) -> list[str]:  # noqa: ARG002 - what it is on is all
        """The process itself."""
        return [on]

    @asynccontextmanager
    async def inject(self, on: str, arena: Arena) -> AsyncIterator[Injected]:
        """It is dead once the scope is entered; it dies with something in hand, if it has something for a while."""
        replica = mortal(arena, on)
        hand = await InHand.of(on, arena)
        pid = replica.pid
        try:
            status = await replica.kill()
            arena.note("killed", on, pid, status)

            async def armed() -> Evidence | None:
                if status != -signal.SIGKILL or (state := await replica.state()) != "exited":
                    return None
                return Evidence("armed", f"{on} is dead", {"pid": pid}, {"exit_status": status, "state": state})

            async def bit() -> Evidence | None:
                what = hand.what or await hand.gone()
                return Evidence("bit", f"{on} died at work: {what}", {"in_hand": what}, {}) if what else None

            async def aftermath() -> Fields:
                return {"pid": replica.pid}

            yield Injected(armed, bit, after=bit, aftermath=aftermath)
        finally:
            await revive(arena, replica)
