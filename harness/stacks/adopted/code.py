"""The code under test, which the test suite starts; the harness sees only its connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from harness.errors import StackError

if TYPE_CHECKING:
    from harness.stack import Link, State

CODE: Final = "code"
"""Name of the code under test in the system, its links and its reports."""

_AGAIN: Final = 0.05
"""Seconds between looks at its connections."""


class Code:
    """Implements ``harness.stack.ServiceHandle``: the code is there while it has a connection to the broker."""

    name = f"{CODE}#1"
    pid: int | None = None
    """Unknown: it may be a thread of this process."""
    ended_on_purpose = False

    def __init__(self, broker: Link) -> None:
        self._broker = broker

    async def state(self) -> State:
        """Return ``ready`` if it is connected, else ``absent``."""
        return "ready" if (await self._broker.traffic()).connections else "absent"

    async def ready(self, timeout: float) -> None:
        """Wait until it is connected; raises StackError after ``timeout`` seconds, or at once if it never connected."""
        deadline = asyncio.get_running_loop().time() + timeout
        while not (seen := await self._broker.traffic()).connections:
            if not seen.accepted or asyncio.get_running_loop().time() > deadline:
                link = self._broker.name
                raise StackError(f"the code under test has no connection on {link}: it has ended, or hangs")
            await asyncio.sleep(_AGAIN)

    def log_tail(self, lines: int = 20) -> str:  # noqa: ARG002 - its log is elsewhere
        """Return an empty string: its log is elsewhere."""
        return ""
