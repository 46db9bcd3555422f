"""One replica or dependency that runs elsewhere: looked at by its address, broken by the user's own commands."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final

from harness.errors import FaultError, StackError
from harness.stack import Forgetful, Killable, Pausable, Stoppable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from harness.addresses import Commands
    from harness.stack import Probe, State

NEEDS: Final[Mapping[type, tuple[str, ...]]] = {
    Killable: ("kill",),
    Stoppable: ("stop",),
    Pausable: ("pause", "resume"),
    Forgetful: ("forget",),
}
"""Capability -> the commands that it takes."""

SILENT_WITHIN = 10.0
"""Seconds until what was killed, stopped or paused must have ceased to answer."""

_LOOK = 1.0
"""Seconds that a look may take; while an answer is waited for, each that was too short is doubled."""

_SILENCE = 5.0
"""Seconds without an answer that are silence: on a busy machine what runs may take more than one."""

_AGAIN = 0.05
"""Seconds between looks."""


class ExternalHandle:
    """Implements Killable, Stoppable, Pausable and Forgetful where it has the commands for it; FaultError otherwise.

    ``look`` asks it something past the proxies; ``execute`` runs a command, told what for. Nothing is taken on trust:
    after a command that ends it, it must have ceased to answer.
    """

    pid: int | None = None
    """It is not this machine's to know."""

    def __init__(
        self,
        name: str,
        commands: Commands,
        look: Callable[[float], Awaitable[Probe]],
        execute: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self.name = name
        self._commands = commands
        self._look = look
        self._execute = execute
        self._asked: State = "ready"

    @property
    def ended_on_purpose(self) -> bool:
        """Whether a command was to end it, and none has started it since."""
        return self._asked == "exited"

    def lacks(self, need: type) -> str | None:
        """The first command that a capability would take and that is not there."""
        return next((name for name in NEEDS.get(need, ()) if getattr(self._commands, name) is None), None)

    async def state(self) -> State:
        """``ready`` if it answers; otherwise what it was last made to be."""
        if (await self._look(_LOOK)).answered:
            return "ready"
        return "starting" if self._asked == "ready" else self._asked

    async def ready(self, timeout: float) -> None:
        """Wait until it answers; StackError if it does not."""
        deadline, longest = asyncio.get_running_loop().time() + timeout, min(_LOOK, timeout)
        while not (probe := await self._look(longest)).answered:
            if asyncio.get_running_loop().time() > deadline:
                raise StackError(f"{self.name} does not answer: {probe.error}")
            if probe.seconds >= longest:
                longest = min(2 * longest, timeout)
            await asyncio.sleep(_AGAIN)

    def log_tail(self, lines: int = 20) -> str:  # noqa: ARG002 - its log is elsewhere
        """Nothing: its log is not this machine's."""
        return ""

    async def kill(self) -> int:
        """By command; the exit status that SIGKILL gives, since nobody here sees its own."""
        await self._end("kill")
        return -signal.SIGKILL

    async def stop(self) -> int:
        """By command; 0, since nobody here sees its exit status."""
        await self._end("stop")
        return 0

    async def start(self) -> None:
        """By command, unless it was never ended; without a command it comes back by itself."""
        if self._asked == "exited" and self._commands.start is not None:
            await self._run("start")
        self._asked = "ready"

    async def pause(self) -> None:
        """By command; returns once it does not answer."""
        self._asked = "paused"
        await self._run("pause")
        await self._silent("pause")

    async def resume(self) -> None:
        """By command, if it was to be paused."""
        if self._asked == "paused":
            await self._run("resume")
            self._asked = "ready"

    async def forget(self) -> None:
        """By command."""
        await self._run("forget")

    async def _end(self, name: str) -> None:
        # Noted first: what fails half-way is started again at the heal.
        if getattr(self._commands, name) is not None:
            self._asked = "exited"
        await self._run(name)
        await self._silent(name)

    async def _run(self, name: str) -> None:
        text = getattr(self._commands, name)
        if text is None:
            raise FaultError(f"{self.name} has no command `{name}`; write commands.{self.name}.{name}")
        await self._execute(text, f"commands.{self.name}.{name}")

    async def _silent(self, name: str) -> None:
        deadline = asyncio.get_running_loop().time() + SILENT_WITHIN
        while (await self._look(_SILENCE)).answered:
            if asyncio.get_running_loop().time() > deadline:
                raise FaultError(f"commands.{self.name}.{name} ended well, and {self.name} answers still")
            await asyncio.sleep(_AGAIN)
