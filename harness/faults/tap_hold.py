"""tap.hold: one message waits for another, or for a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from harness.errors import FaultError, PlanRefused
from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.message import acted, held_of
from harness.scenario import When
from harness.stack import Tapping
from harness.units import Duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.faults.condition import Condition
    from harness.system import System


class TapHold(Fault):
    """Holds one message, and all that follows on its connection, until another message is there or its time is over."""

    name = "tap.hold"
    summary: ClassVar[str] = (
        "A request, or the reply to one, waits until another message is there, or for a time; what follows waits too."
    )
    bites: ClassVar[str] = (
        "The message went on once its time was over; with `until`, once the other message was there."
    )
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Tapping,)
    heals = False
    at_message: ClassVar[bool] = True

    lasts: Annotated[Duration, Field(alias="for", gt=0, le=120)]
    """How long to hold the message, two minutes at most; with ``until``, how long it may wait for the other message. If that
    does not come, the message goes on, and the fault has failed."""
    until: When | None = None
    """The other message, counted from when this one is held, for example ``{reply: "SET *", on: "billing#2->redis"}``. At a
    reply its request has been executed before this message goes on; at a request, the two go on side by side."""

    @property
    def awaits(self) -> When | None:
        return self.until

    def check(self, on: str, system: System) -> None:  # noqa: ARG002 - the scenario's words suffice
        """Refuse an ``until`` that does not name one message."""
        if self.until is not None and self.until.every is not None:
            raise PlanRefused("until: a message is held until one other is there; write `nth` in place of `every`")
        if self.until is not None and self.until.after:
            raise PlanRefused("until: it counts from when the first message is held; leave `after` out")

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:  # noqa: ARG002 - the message's link
        """The message has gone on once the scope is entered."""
        held = held_of(context)
        if context.planned.until is None:
            await context.sleep(self.lasts)
            why = f"{self.lasts:g} s were over"
        else:
            why = f"{await self._other(context.planned.until, context)} was there"
        gave_up = not held.waiting
        held.release()
        yield acted(held, f"went on when {why}" + (", after the service had given it up" if gave_up else ""))

    async def _other(self, until: Condition, context: FaultContext) -> str:
        """Wait for the other message, and let it pass; FaultError if it does not come."""
        with context.armed(until.trigger()) as trigger:
            try:
                async with asyncio.timeout(self.lasts):
                    other = await trigger.met()
            except TimeoutError:
                raise FaultError(
                    f"{held_of(context).what} was held for {self.lasts:g} s, and {until.said} did not come; lengthen `for`"
                ) from None
            other.release()
            return f"{other.what} on {other.link}"
