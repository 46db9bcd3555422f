"""tap.lose_reply: a request is executed, and its reply is never heard."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.message import acted, held_of
from harness.stack import Tapping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TapLoseReply(Fault):
    """Loses the reply to one request, and its connection with it: a protocol without numbers cannot go on after a gap."""

    name = "tap.lose_reply"
    summary: ClassVar[str] = "The dependency executes a request, and the service never hears the reply."
    bites: ClassVar[str] = "The reply had come, and did not pass."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Tapping,)
    heals = False
    at_message: ClassVar[bool] = True
    acts_at: ClassVar[Literal["request", "reply"] | None] = "reply"

    then: Literal["close", "silence"] = "close"
    """What becomes of the connection: it ends, or stays open without another byte until the service gives it up."""

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:  # noqa: ARG002 - the message's link
        """The reply is gone once the scope is entered."""
        held = held_of(context)
        held.lose(close=self.then == "close")
        yield acted(held, "was lost")
