"""service.kill: a replica dies at once and is started again."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.message import in_hand_at
from harness.faults.process import freezing, mortal, pause, resume, revive
from harness.faults.work import InHand, Step
from harness.stack import Fields, Held, Killable, Pausable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ServiceKill(Fault):
    """Sends SIGKILL; the heal starts the replica and waits until it is ready."""

    name = "service.kill"
    summary: ClassVar[str] = "A replica is killed with SIGKILL, stays down for `for`, and is started again."
    bites: ClassVar[str] = (
        "It died at work: with a request or an upload under way, with records that it had yet to pass, or waiting for the"
        " message at which the fault acts."
    )
    target = "replica"
    needs: ClassVar[tuple[type, ...]] = (Killable,)
    heals = True
    waits_inside = 1  # for work in hand

    def takes(self, on: str, context: FaultContext) -> list[str]:  # noqa: ARG002 - ``on`` says it all
        """The process itself."""
        return [on]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """Kill the replica once it has work in progress, or when the patience is over."""
        replica = mortal(context, on)
        pid, status = replica.pid, 0

        async def kill() -> None:
            nonlocal status
            status = await replica.kill()

        # A kill cannot be undone, and only a paused replica's work in progress is certain: so pause it first. On an
        # external stack, where a pause is a slow command of the user's, the kill comes at once. A held message is work
        # in progress by itself.
        message, held, hand = context.held, None, None
        if message is None and pid is not None and isinstance(replica, Pausable):
            held = freezing(context, on)
        in_hand = ""
        try:
            if message is not None:
                in_hand = await _at(message, on, context, kill)
            elif held is not None:
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
                what = hand.what or await hand.gone() if hand is not None else in_hand
                return Evidence("bit", f"{on} died at work: {what}", {"in_hand": what}, {}) if what else None

            async def aftermath() -> Fields:
                return {"pid": replica.pid}

            yield Injected(armed, bit, after=bit, aftermath=aftermath)
        finally:
            if held is not None and held.pid is not None:
                await resume(context, held)
            await revive(context, replica)


async def _at(message: Held, on: str, context: FaultContext, kill: Step) -> str:
    """Kill the replica while a message is held, and return what it had in hand; GivenUpError if nobody waits any more.

    A message on the replica's own link dies with it: a request is not executed, and a reply has no receiver.
    """
    in_hand = await in_hand_at(message, on, context)
    await kill()
    if message.link.startswith(f"{on}->"):
        message.lose(close=True)
    return in_hand
