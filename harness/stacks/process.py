"""A child process with a log file, which can be killed, stopped, paused and restarted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ServiceExited, StackError

if TYPE_CHECKING:
    from harness.stack import State

POLL = 0.02
"""Seconds between readiness checks of a server."""

GRACE = 10.0
"""Seconds from SIGTERM to SIGKILL."""

_LOOK = 1.0
"""Timeout, in seconds, of the first readiness check; ``ready`` doubles it after each check that timed out."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a process."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    log: Path

    def of(self, command: Sequence[str]) -> Launch:
        """Return a copy with another command."""
        return replace(self, command=command)


class Process:
    """One named process in its own session; implements Killable, Stoppable and Pausable.

    ``answers(timeout)`` checks once, bypassing the proxies, whether the process serves; OSError, EOFError, ValueError
    and TimeoutError count as no. A process keeps no reference to an event loop, so it outlives the one it was
    started from.
    """

    def __init__(self, name: str, launch: Launch, answers: Callable[[float], Awaitable[bool]]) -> None:
        self.name = name
        self._launch = launch
        self._answers = answers
        self._child: subprocess.Popen[bytes] | None = None
        self.ended_on_purpose = False

    @property
    def pid(self) -> int | None:
        """Process id, or None if it is not running."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def exit_status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs or before its first start."""
        return self._child.poll() if self._child is not None else None

    async def start(self) -> None:
        """Start or restart it. Returns once it runs; ``ready`` waits until it serves."""
        if self.pid is not None:
            raise StackError(f"{self.name} is already running; kill or stop it before starting it again")
        await self._begin()
        # Only now: while it starts it has no process id, and must not look as if it had ended by itself.
        self.ended_on_purpose = False

    async def _begin(self) -> None:
        """Spawn the child."""
        self._launch.log.parent.mkdir(parents=True, exist_ok=True)
        with self._launch.log.open("ab") as log:
            try:
                self._child = subprocess.Popen(  # noqa: ASYNC220 - returns at exec, and no loop owns the child
                    self._launch.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._launch.cwd,
                    env=dict(self._launch.env),
                    start_new_session=True,
                )
            except OSError as error:
                raise StackError(f"{self.name}: {self._launch.command[0]} could not be started: {error}") from error

    async def ready(self, timeout: float) -> None:
        """Wait until it serves; raises ServiceExited or StackError, with the tail of its log, if it does not."""
        clock = asyncio.get_running_loop().time
        deadline, longest = clock() + timeout, min(_LOOK, timeout)
        while True:
            begun = clock()
            if await self._serves(longest):
                return
            if self.exit_status is not None:
                raise ServiceExited(
                    f"{self.name} ended with status {self.exit_status} before it was ready{self._why()}"
                )
            if clock() > deadline:
                raise StackError(f"{self.name} was not ready within {timeout:g} s{self._why()}")
            if clock() - begun >= longest:
                # On a busy machine an answer may take longer than one check; with a fixed timeout none would arrive.
                longest = min(2 * longest, timeout)
            await asyncio.sleep(POLL)

    async def _serves(self, longest: float) -> bool:
        if self.pid is None:
            return False
        try:
            return await self._answers(longest)
        except (OSError, EOFError, ValueError, TimeoutError):
            return False

    async def state(self) -> State:
        """Return its current state."""
        if self._child is None:
            return "absent"
        if self.pid is None:
            return "exited"
        if self.stopped:
            return "paused"
        return "ready" if await self._serves(_LOOK) else "starting"

    @property
    def stopped(self) -> bool:
        """Whether it is stopped by a signal (state T)."""
        return self.kernel_state == "T"

    @property
    def kernel_state(self) -> str:
        """The state letter in /proc/PID/stat, or an empty string."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""

    async def kill(self) -> int:
        """Send SIGKILL to its process group and return the exit status."""
        self._end()
        self._signal(signal.SIGKILL)
        return await self.exited()

    async def stop(self, grace: float = GRACE) -> int:
        """Send SIGTERM, then SIGKILL after ``grace`` seconds, and return the exit status."""
        self._end()
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                return await self.exited()
        except TimeoutError:
            return await self.kill()

    async def pause(self) -> None:
        """Send SIGSTOP and wait until the process is stopped; raises StackError if it is not running."""
        if self.pid is None:
            raise StackError(f"{self.name} is not running, so it cannot be paused")
        self._signal(signal.SIGSTOP)
        while self.pid is not None and not self.stopped:
            await asyncio.sleep(0.001)

    async def resume(self) -> None:
        """Send SIGCONT."""
        self._signal(signal.SIGCONT)

    async def exited(self) -> int:
        """Wait until it has exited and return the exit status."""
        if self._child is None:
            raise StackError(f"{self.name} was never started")
        while (status := self._child.poll()) is None:
            await self.breathe()
        return status

    @staticmethod
    async def breathe() -> None:
        """Pause between two checks of whether a process has exited."""
        await asyncio.sleep(0.005)

    def _end(self) -> None:
        """Mark the exit as intended, before anyone can see it; does nothing if the process has exited by itself."""
        if self.pid is not None:
            self.ended_on_purpose = True

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.killpg(self.pid, number)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of its log."""
        try:
            with self._launch.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 200 * lines))
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _why(self) -> str:
        tail = self.log_tail()
        return f"; the end of {self._launch.log}:\n{tail}" if tail else f"; {self._launch.log} is empty"
