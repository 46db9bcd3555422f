"""A child process with a log file that can be killed, stopped, paused and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ServiceExited, StackError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from harness.stack import State

POLL = 0.02
"""Seconds between looks at whether a server answers."""

GRACE = 10.0
"""Seconds from SIGTERM until a process that is asked to leave is killed."""

_LOOK = 1.0
"""Seconds that the first look at a server may take; while it is waited for, each that was too short is doubled."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a process starts."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    log: Path

    def of(self, command: Sequence[str]) -> Launch:
        """The same for a command."""
        return replace(self, command=command)


class Process:
    """One named process in a session of its own; implements Killable, Stoppable and Pausable.

    ``answers`` is one look at whether it serves past the proxies, given seconds; it may raise OSError,
    EOFError, ValueError or TimeoutError, which mean no. Nothing here holds on to an event loop, so a process
    outlives the loop it was started from.
    """

    def __init__(self, name: str, launch: Launch, answers: Callable[[float], Awaitable[bool]]) -> None:
        self.name = name
        self._launch = launch
        self._answers = answers
        self._child: subprocess.Popen[bytes] | None = None
        self.ended_on_purpose = False

    @property
    def pid(self) -> int | None:
        """Process id while it lives."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def exit_status(self) -> int | None:
        """How it ended, the signal's number negative; None while it lives or before it was started."""
        return self._child.poll() if self._child is not None else None

    async def start(self) -> None:
        """Start it (again); returns as soon as it runs, ``ready`` waits until it serves."""
        if self.pid is not None:
            raise StackError(f"{self.name} runs already; kill or stop it before it is started again")
        await self._begin()
        # Once it runs: on its way up it has no process id either.
        self.ended_on_purpose = False

    async def _begin(self) -> None:
        """Make it run."""
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
        """Wait until it serves; ServiceExited or StackError, with the tail of its log, if it does not."""
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
                # On a busy machine the answer may be on its way: asked anew each time, it would never come.
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
        """What it is doing now."""
        if self._child is None:
            return "absent"
        if self.pid is None:
            return "exited"
        if self.stopped:
            return "paused"
        return "ready" if await self._serves(_LOOK) else "starting"

    @property
    def stopped(self) -> bool:
        """Whether the kernel holds it stopped (state T)."""
        return self.kernel_state == "T"

    @property
    def kernel_state(self) -> str:
        """The state letter of /proc/PID/stat, or nothing."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""

    async def kill(self) -> int:
        """SIGKILL to it and the children in its session; the exit status."""
        self._end()
        self._signal(signal.SIGKILL)
        return await self.exited()

    async def stop(self, grace: float = GRACE) -> int:
        """SIGTERM, and SIGKILL if it is still there after ``grace`` seconds; the exit status."""
        self._end()
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                return await self.exited()
        except TimeoutError:
            return await self.kill()

    async def pause(self) -> None:
        """SIGSTOP; returns once it stands still. StackError if it does not run."""
        if self.pid is None:
            raise StackError(f"{self.name} does not run, so it cannot be paused")
        self._signal(signal.SIGSTOP)
        while self.pid is not None and not self.stopped:
            await asyncio.sleep(0.001)

    async def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def exited(self) -> int:
        """Wait for its end; the exit status."""
        if self._child is None:
            raise StackError(f"{self.name} was never started")
        while (status := self._child.poll()) is None:
            await self.breathe()
        return status

    @staticmethod
    async def breathe() -> None:
        """The pause between two looks at whether a process has ended."""
        await asyncio.sleep(0.005)

    def _end(self) -> None:
        """Note that it ends on purpose, before anybody can see its end; what has ended by itself, has."""
        if self.pid is not None:
            self.ended_on_purpose = True

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.killpg(self.pid, number)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines it wrote."""
        try:
            with self._launch.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 200 * lines))
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _why(self) -> str:
        tail = self.log_tail()
        return f"; the end of {self._launch.log}:\n{tail}" if tail else f"; {self._launch.log} is empty"
