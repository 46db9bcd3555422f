"""One replica or dependency that runs elsewhere: probed at its address, broken by the user's commands."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final

from harness.errors import FaultError, StackError
from harness.stack import Forgetful, Killable, Pausable, Probe, State, Stoppable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from harness.addresses import Commands

NEEDS: Final[Mapping[type, tuple[str, ...]]] = {
    Killable: ("kill",),
    Stoppable: ("stop",),
    Pausable: ("pause", "resume"),
    Forgetful: ("forget",),
}
"""Capability -> the commands it needs."""

SILENT_WITHIN = 10.0
"""Seconds after which a killed, stopped or paused target must no longer answer."""

_LOOK = 1.0
"""Timeout, in seconds, of the first probe; ``ready`` doubles it after each probe that timed out."""

_SILENCE = 5.0
"""Seconds without an answer that count as silence: on a busy machine a live target may take more than one."""

_AGAIN = 0.05
"""Seconds between probes."""


class ExternalHandle:
    """Implements Killable, Stoppable, Pausable and Forgetful where the commands exist; raises FaultError otherwise.

    ``look(timeout)`` probes the target, bypassing the proxies; ``execute(text, what)`` runs a command. A command's
    success is not taken on trust: after one that ends or pauses the target, the target must stop answering.
    """

    pid: int | None = None
    """Unknown: the process may be on another machine."""

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
        """Whether it was last killed or stopped by command, and not started since."""
        return self._asked == "exited"

    def lacks(self, need: type) -> str | None:
        """Return the first command that a capability needs and the file does not have, or None."""
        return next((name for name in NEEDS.get(need, ()) if getattr(self._commands, name) is None), None)

    async def state(self) -> State:
        """Return ``ready`` if it answers, else the state that the last command put it in."""
        if (await self._look(_LOOK)).answered:
            return "ready"
        return "starting" if self._asked == "ready" else self._asked

    async def ready(self, timeout: float) -> None:
        """Wait until it answers; raises StackError if it does not."""
        deadline, longest = asyncio.get_running_loop().time() + timeout, min(_LOOK, timeout)
        while not (probe := await self._look(longest)).answered:
            if asyncio.get_running_loop().time() > deadline:
                raise StackError(f"{self.name} does not answer: {probe.error}")
            if probe.seconds >= longest:
                longest = min(2 * longest, timeout)
            await asyncio.sleep(_AGAIN)

    def log_tail(self, lines: int = 20) -> str:  # noqa: ARG002 - its log is elsewhere
        """Return an empty string: its log is elsewhere."""
        return ""

    async def kill(self) -> int:
        """Run the ``kill`` command and return SIGKILL's exit status, since its own is not visible here."""
        await self._end("kill")
        return -signal.SIGKILL

    async def stop(self) -> int:
        """Run the ``stop`` command and return 0, since its exit status is not visible here."""
        await self._end("stop")
        return 0

    async def start(self) -> None:
        """Run the ``start`` command if it was ended; without a command it must come back by itself."""
        if self._asked == "exited" and self._commands.start is not None:
            await self._run("start")
        self._asked = "ready"

    async def restart(self) -> None:
        """Run the ``stop`` command, or else ``kill``, and let it start again."""
        await self._end("stop" if self._commands.stop is not None else "kill")
        await self.start()

    async def pause(self) -> None:
        """Run the ``pause`` command and wait until the target no longer answers."""
        self._asked = "paused"
        await self._run("pause")
        await self._silent("pause")

    async def resume(self) -> None:
        """Run the ``resume`` command if it was paused."""
        if self._asked == "paused":
            await self._run("resume")
            self._asked = "ready"

    async def forget(self) -> None:
        """Run the ``forget`` command."""
        await self._run("forget")

    async def _end(self, name: str) -> None:
        # Set first: if the command fails half-way, healing starts the target again.
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
                raise FaultError(f"commands.{self.name}.{name} succeeded, but {self.name} still answers")
            await asyncio.sleep(_AGAIN)
