"""tap.corrupt: one record of a Produce has another value, as if its producer had made it so."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.errors import FaultError, PlanRefused
from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.message import acted, held_of
from harness.stack import Record, Tapping
from harness.taps import protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from harness.system import System


class TapCorrupt(Fault):
    """Replaces the value of one record by as many bytes that are no event; the batch's checksum is right.

    The broker takes it, and no consumer can read it. What the service published counts as published, so its upload's outcome
    is not missing. Whatever else is missing may have followed from it, and is undecided.
    """

    name = "tap.corrupt"
    summary: ClassVar[str] = "A service's own record has a value that nobody can read, as if its producer had a bug."
    bites: ClassVar[str] = "The broker appended the record."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Tapping,)
    heals = False
    at_message: ClassVar[bool] = True

    def check(self, on: str, system: System) -> None:
        """Refuse a link that does not lead to a broker, and events whose values are not JSON."""
        spoken = protocol(system, on.partition("->")[2])
        if spoken != "kafka":
            raise PlanRefused(
                f"tap.corrupt: {on} speaks {spoken}, and only Kafka's records have a checksum to keep right"
            )
        if system.events.decode is not None:
            raise PlanRefused("tap.corrupt: it needs events in JSON, and events.decode says that they are not")
        if not corruptible(system):
            raise PlanRefused(
                "tap.corrupt: every topic of events.topics holds effects or dead letters, which would be lost"
            )

    def check_side(self, side: Literal["request", "reply"], on: str, system: System) -> None:  # noqa: ARG002 - on any link
        """Refuse a reply: the records are in the request."""
        if side == "reply":
            raise PlanRefused("tap.corrupt: it acts on a request; write `when: {request: Produce …}`")

    def check_commands(self, spoken: str, commands: Collection[str]) -> None:  # noqa: ARG002 - of Kafka's, as checked
        """Refuse a request that carries no records."""
        if "Produce" not in commands:
            raise PlanRefused(
                f"tap.corrupt: {' or '.join(commands)} carries no records; write `when: {{request: Produce …}}`"
            )

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:  # noqa: ARG002 - the message's link
        """The broker has the record once the scope is entered."""
        held = held_of(context)
        reason = f"spoiled by {self.name}: bytes"

        def alter(value: bytes) -> bytes:
            other = b"\xff" * len(value)
            # Before the broker has it, so that no observer sees the record first.
            context.spoil(other, reason)
            return other

        record = await held.corrupt(corruptible(context.system), alter)
        if record is None:
            # It may be in place of a record that its producer, told that the broker has it, never sends again.
            context.overwritten(Record(min(corruptible(context.system)), 0, -1, None, None))
            raise FaultError(f"{held.link}: nobody can say whether the broker took the altered record of {held.what}")
        context.overwritten(record)
        context.appended(record.topic, record.partition, record.offset, malformed=reason)
        yield acted(held, f"had a value that is no event at {record.topic}:{record.partition}:{record.offset}")


def corruptible(system: System) -> frozenset[str]:
    """Return the topics whose records may be altered: those that hold events, and neither effects nor dead letters."""
    kept = {effects.topic.name for effects in system.effects.values() if effects.topic is not None}
    kept |= {system.dead_letters.topic} if system.dead_letters is not None else set()
    return frozenset(system.events.topics) - kept
