"""service.pause: a replica stands still, for longer than its session and its leases if ``for:`` says so."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.evidence import total_received
from harness.faults.message import in_hand_at
from harness.faults.process import freezing, pause, resume
from harness.faults.work import InHand
from harness.stack import Pausable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LOOKS = 5
"""Looks, about 50 ms apart, that must see no new byte: a working process sends something sooner."""


class ServicePause(Fault):
    """Sends SIGSTOP; the heal sends SIGCONT."""

    name = "service.pause"
    summary: ClassVar[str] = "A replica is stopped with SIGSTOP and goes on after `for`."
    bites: ClassVar[str] = (
        "It stood still at work: with a request or an upload under way, or with records yet to pass, and sent nothing."
    )
    target = "replica"
    needs: ClassVar[tuple[type, ...]] = (Pausable,)
    heals = True
    waits_inside = 1  # for work in hand

    def takes(self, on: str, context: FaultContext) -> list[str]:  # noqa: ARG002 - ``on`` says it all
        """The process itself."""
        return [on]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """Pause the replica once it has work in progress, or when the patience is over."""
        replica = freezing(context, on)
        links = [link for link in context.stack.links.values() if link.service == on]
        hand: InHand | None = None
        try:
            if (message := context.held) is not None:
                in_hand = await in_hand_at(message, on, context)
                await pause(context, replica)
            else:
                hand = await InHand.at(
                    on, context, partial(pause, context, replica), partial(resume, context, replica)
                )
                in_hand = hand.what
            still = await total_received(links)
            looks = 0

            async def armed() -> Evidence | None:
                if (state := await replica.state()) != "paused":
                    return None
                return Evidence("armed", f"{on} stands still", {"pid": replica.pid}, {"state": state})

            async def bit() -> Evidence | None:
                nonlocal looks, still
                now = await total_received(links)
                looks, still = (looks + 1, still) if now == still else (0, now)
                what = in_hand or (await hand.gone() if hand is not None and looks >= _LOOKS else "")
                if looks < _LOOKS or not what:
                    return None
                return Evidence("bit", f"{on} stood still at work: {what}", {"in_hand": what}, {"bytes_while": 0})

            yield Injected(armed, bit)
        finally:
            await resume(context, replica)
