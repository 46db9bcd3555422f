"""tap.duplicate: a dependency gets one request twice."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.errors import FaultError, PlanRefused
from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.message import acted, held_of
from harness.stack import Tapping
from harness.taps import TABLE, parser_type, protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.system import System


class TapDuplicate(Fault):
    """Sends one request once more, right behind itself and byte for byte; the service hears the first reply only."""

    name = "tap.duplicate"
    summary: ClassVar[str] = "A dependency gets a request twice, and the service hears the reply to the first only."
    bites: ClassVar[str] = "The dependency answered the second request too."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Tapping,)
    heals = False
    at_message: ClassVar[bool] = True

    def check(self, on: str, system: System) -> None:
        """Refuse a protocol in which no request can be sent twice."""
        spoken = protocol(system, on.partition("->")[2])
        if spoken in TABLE and (why := parser_type(spoken).single):
            raise PlanRefused(f"tap.duplicate: {on} speaks {spoken}, where no request can be sent twice: {why}")

    def check_side(self, side: Literal["request", "reply"], on: str, system: System) -> None:  # noqa: ARG002 - on any link
        """Refuse a reply: the request is sent again before its reply has come."""
        if side == "reply":
            raise PlanRefused("tap.duplicate: it acts on a request; write `when: {request: …}`")

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:  # noqa: ARG002 - the message's link
        """The second request is answered once the scope is entered."""
        held = held_of(context)
        twice = await held.duplicate()
        if twice is None:
            raise FaultError(
                f"{held.link}: no second reply to {held.what} came: its connection ended, or it is too large to be sent twice"
            )
        for topic, partition, offset in twice.appended:
            context.appended(topic, partition, offset)
        reply = f", and its second reply ({twice.reply}) swallowed" if twice.reply else ""
        records = f"; {len(twice.appended)} records appended once more" if twice.appended else ""
        yield acted(held, f"was sent twice{reply}{records}")
