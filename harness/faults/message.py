"""Shared by faults that act on one message: the message itself, and the evidence of what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import FaultError
from harness.faults.base import Evidence, FaultContext, Injected
from harness.faults.work import InHand

if TYPE_CHECKING:
    from harness.stack import Held


class GivenUpError(Exception):
    """The service closed a held message's connection at the last moment, so the fault has done nothing."""


async def in_hand_at(message: Held, replica: str, context: FaultContext) -> str:
    """Describe what a replica has in hand while a message is held, which may be another's; empty if it is idle.

    Raises GivenUpError if the service has given the message up.
    """
    if not message.waiting:
        raise GivenUpError
    start, _, end = message.link.partition("->")
    if start == replica or (end == replica.partition("#")[0] and len(context.replicas_of(end)) == 1):
        return f"{message.what} was held on {message.link}"
    return await InHand(context, replica).seen()


def held_of(context: FaultContext) -> Held:
    """Return the message to act on; FaultError without one."""
    if context.held is None:
        raise FaultError(f"{context.planned.fault.name} acts on a message, and none is held")
    return context.held


def acted(held: Held, what: str) -> Injected:
    """Return the evidence that a fault acted on a message: that is a bite, since the message is the system's own."""
    before = {"message": held.what, "link": held.link}

    async def armed() -> Evidence | None:
        return Evidence("armed", f"{held.link}: {held.what} was held", before, {})

    async def bit() -> Evidence | None:
        return Evidence("bit", f"{held.link}: {held.what} {what}", before, {})

    return Injected(armed, bit)
