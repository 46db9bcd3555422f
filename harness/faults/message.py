"""Shared by faults that act on one message: the message itself, and the evidence of what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.errors import FaultError, OneffectError
from harness.faults.base import Evidence, FaultContext, Injected
from harness.faults.work import ENOUGH, InHand

if TYPE_CHECKING:
    from harness.stack import Held


_WORK: Final = frozenset(
    {"Produce", "OffsetCommit", "TxnOffsetCommit", "AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn"}
)
"""Kafka's requests that show work; the others keep a client in its group, or ask for records that may not come."""


class GivenUpError(Exception):
    """The service closed a held message's connection at the last moment, so the fault has done nothing."""


async def in_hand_at(message: Held, replica: str, context: FaultContext) -> str:
    """Describe what a replica has in hand while a message is held, which may be another's or no work; empty if it is idle.

    Raises GivenUpError if the service has given the message up.
    """
    if not message.waiting:
        raise GivenUpError
    start, _, end = message.link.partition("->")
    own = start == replica or (end == replica.partition("#")[0] and len(context.replicas_of(end)) == 1)
    if own and (message.command in _WORK or end not in context.system.of_kind("kafka")):
        return f"{message.what} was held on {message.link}"
    return await InHand(context, replica).seen()


async def passes_nothing(message: Held, context: FaultContext) -> bool:
    """Whether a message commits offsets, and no record before them that its group had not passed already.

    A consumer may commit by the clock, whether or not it was given anything, and a broker refuses commits while the group
    rebalances. Of a reply, what was committed before is known only from when the offsets were last read; where nobody
    knows it, as of a group that is not the service's own, the message counts.
    """
    service = message.link.partition("#")[0]
    if not message.commits or message.key != service:
        return False
    try:
        before = context.passed(service) if message.side == "reply" else await context.broker.committed(service)
        if before is None:
            return False
        ends = {(topic, number): offset for topic, number, offset in message.commits}
        if message.side == "reply" and message.command == "OffsetCommit":
            now = await context.broker.committed(service)
            ends = {at: offset for at, offset in ends.items() if offset <= now.get(at, -1)}
        begins = {at: before.get(at, 0) for at, offset in ends.items() if offset > before.get(at, 0)}
        # Beyond that many offsets some are records: a transaction adds one marker to its own.
        if sum(ends[at] - begin for at, begin in begins.items()) > 2 * ENOUGH:
            return False
        return not any((await context.broker.records(begins, ends)).values())
    except OneffectError:
        return False  # the broker does not answer now


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
