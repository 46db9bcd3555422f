"""tap.lose_request: a request never reaches the dependency."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.errors import PlanRefused
from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.message import acted, held_of
from harness.stack import Tapping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.system import System


class TapLoseRequest(Fault):
    """Loses one request, and its connection once all earlier requests are answered."""

    name = "tap.lose_request"
    summary: ClassVar[str] = "A request never reaches the dependency, and the service gets no reply."
    bites: ClassVar[str] = "The request had come, and did not pass."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Tapping,)
    heals = False
    at_message: ClassVar[bool] = True

    then: Literal["close", "silence"] = "close"
    """What becomes of the connection: it ends, or stays open without another byte until the service gives it up."""

    def check_side(self, side: Literal["request", "reply"], on: str, system: System) -> None:  # noqa: ARG002 - on any link
        """A request whose reply is there cannot be lost any more."""
        if side == "reply":
            raise PlanRefused(
                "tap.lose_request: at a reply the request is executed already; write `when: {request: …}`, or tap.lose_reply"
            )

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:  # noqa: ARG002 - the message's link
        """The request is gone once the scope is entered."""
        held = held_of(context)
        held.lose(close=self.then == "close")
        yield acted(held, "was lost")
