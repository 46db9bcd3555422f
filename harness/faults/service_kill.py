"""service.kill: a replica dies at once and comes back."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.process import freezing, mortal, pause, resume, revive
from harness.faults.work import InHand
from harness.stack import Killable, Pausable

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

    def takes(self, on: str, context: FaultContext) -> list[str]:  # noqa: ARG002 - what it is on is all
        """The process itself."""
        return [on]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """It is dead once the scope is entered, and died with something in hand if it had something within the patience."""
        replica = mortal(context, on)
        pid, status = replica.pid, 0

        async def kill() -> None:
            nonlocal status
            status = await replica.kill()

        # Whether it is at work is certain only while it stands still, and death is final: where this machine can hold it, it
        # is held first. Elsewhere a pause is a command of the user's, which takes its time.
        held = freezing(context, on) if pid is not None and isinstance(replica, Pausable) else None
        try:
            if held is not None:
                hand = await InHand.at(on, context, partial(pause, context, held), partial(resume, context, held))
                await kill()
            else:
                hand = await InHand.at(on, context, kill)
            context.note("killed", on, pid, status)

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
            if held is not None and held.pid is not None:
                await resume(context, held)
            await revive(context, replica)
