"""Shared by faults that act on one message: the message itself, and the evidence of what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import FaultError
from harness.faults.base import Evidence, Injected

if TYPE_CHECKING:
    from harness.faults.base import FaultContext
    from harness.stack import Held


class GivenUpError(Exception):
    """The service closed a held message's connection at the last moment, so the fault has done nothing."""


def in_hand_at(message: Held) -> str:
    """Describe the work in progress while a message is held; raises GivenUpError if the service has given it up."""
    if not message.waiting:
        raise GivenUpError
    return f"{message.what} was held on {message.link}"


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
