"""tap.delay: one message comes late."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.message import acted, held_of
from harness.stack import Tapping
from harness.units import Duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TapDelay(Fault):
    """Holds one message, and all that follows on its connection, for ``by``."""

    name = "tap.delay"
    summary: ClassVar[str] = (
        "A request, or the reply to one, comes late by `by`; what follows on its connection waits too."
    )
    bites: ClassVar[str] = "The message passed late."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Tapping,)
    heals = False
    at_message: ClassVar[bool] = True

    by: Annotated[Duration, Field(gt=0, le=60)]
    """How long to hold the message, a minute at most."""

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:  # noqa: ARG002 - the message's link
        """The message has passed once the scope is entered."""
        held = held_of(context)
        await context.sleep(self.by)
        gave_up = not held.waiting
        held.release()
        yield acted(held, f"passed {self.by:g} s late" + (", after the service had given it up" if gave_up else ""))
