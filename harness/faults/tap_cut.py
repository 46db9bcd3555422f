"""tap.cut: a connection breaks off in the middle of a message."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

from harness.errors import FaultError
from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.message import acted, held_of
from harness.stack import Tapping
from harness.units import Size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TapCut(Fault):
    """Resets the connection after the first ``after`` bytes of one message."""

    name = "tap.cut"
    summary: ClassVar[str] = (
        "The connection breaks off once `after` bytes of a request, or of the reply to one, have passed."
    )
    bites: ClassVar[str] = "So much of the message had passed, and the connection was reset."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Tapping,)
    heals = False
    at_message: ClassVar[bool] = True

    after: Size
    """How much of the message passes, for example ``1000B``; with ``0B`` nothing does, and a shorter message passes whole. Of a
    Postgres reply, what precedes the outcome (parsed, bound, the columns) always passes."""

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:  # noqa: ARG002 - the message's link
        """The connection is gone once the scope is entered."""
        held = held_of(context)
        passed = await held.cut(self.after)
        if passed is None:
            raise FaultError(f"{held.link}: the connection of {held.what} ended before {self.after} bytes had passed")
        yield acted(held, f"was cut behind {passed} bytes")
