"""A process of the stack inside a container: the same command, files and ports, other means of starting and ending."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from harness.errors import StackError
from harness.stacks.docker.engine import Engine
from harness.stacks.process import GRACE, POLL, Process
from harness.stacks.reaper import LABEL, VARIABLE

_SIGNALLED = 128
"""A container's exit status above it: its first process died of the signal whose number is the rest."""

_LIMITS = ("--memory", "1g", "--pids-limit", "512")
_CONFINED = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp")  # noqa: S108


@dataclass(frozen=True, slots=True)
class Box:
    """What a container consists of beside its command.

    ``places`` are all of the stack's files that are seen inside, under the same paths: what else lies there is not its
    business, and what the reaper is told there is run outside. ``trusted``: its image keeps its own user and rights, for it
    changes its user itself.
    """

    engine: Engine
    token: str
    image: str
    places: tuple[Path, ...]
    run: str = ""
    trusted: bool = False


class Contained(Process):
    """Overrides how a process of the native stack starts, ends and stands still; stands before it in the bases.

    It shares the machine's network, so that its sockets are seen as any process's are. A container that was ended
    starts again with the files that it had.
    """

    def contain(self, box: Box) -> None:
        """Say where it runs; before its first start."""
        self._box = box
        self._inside = self._launch
        self._container = f"oneffect-{box.token}-{self.name.replace('#', '-')}"
        self._created = False
        self._inner: int | None = None
        self._launch = dataclasses.replace(
            self._launch,
            command=[box.engine.command, "start", "--attach", self._container],
            # So that the reaper finds the command that passes on the container's output, too.
            env={**box.engine.environment, VARIABLE: box.token},
        )

    @property
    def run(self) -> str:
        """The run that it serves; nothing if it outlives runs."""
        return self._box.run

    @property
    def pid(self) -> int | None:
        """The id, outside, of the container's first process while it lives."""
        return self._inner if super().pid is not None else None

    @property
    def exit_status(self) -> int | None:
        """How it ended, the signal's number negative."""
        status = super().exit_status
        return status if status is None else _signed(status)

    @property
    def stopped(self) -> bool:
        """Whether the engine holds the container still."""
        return self.pid is not None and self._asked("{{.State.Paused}}") == "true"

    async def _begin(self) -> None:
        if not self._created:
            await asyncio.to_thread(self._create)
            self._created = True
        self._inner = None
        await super()._begin()
        while self._child is not None and self._child.poll() is None:
            if inner := int(await asyncio.to_thread(self._asked, "{{.State.Pid}}") or 0):
                self._inner = inner
                return
            await asyncio.sleep(POLL)

    def _create(self) -> None:
        box, words = self._box, list(self._inside.command)
        options = ["--name", self._container, "--network", "host", "--label", f"{LABEL}={box.token}", *_LIMITS]
        options += ["--label", f"oneffect.run={box.run}"]
        options += [word for place in box.places for word in ("--volume", f"{place}:{place}")]
        for name, value in self._inside.env.items():
            # Of a name that the command has a value of its own for, the container's is given in words.
            options += ["--env", f"{name}={value}" if name in box.engine.environment else name]
        if not box.trusted:
            options += [*_CONFINED, "--user", f"{os.getuid()}:{os.getgid()}"]
            if words:
                options += ["--entrypoint", words.pop(0)]
        # Values go by the command's environment: its words can be read by everybody.
        box.engine.ask("create", *options, box.image, *words, env=dict(self._inside.env))

    async def kill(self) -> int:
        """SIGKILL to all in the container; the exit status."""
        return await self._ended("kill", "--signal", "KILL")

    async def stop(self, grace: float = GRACE) -> int:
        """The image's signal to leave, and SIGKILL after ``grace`` seconds; the exit status."""
        return await self._ended("stop", "--time", str(int(grace)))

    async def _ended(self, *words: str) -> int:
        self._end()
        try:
            await asyncio.to_thread(self._box.engine.ask, *words, self._container)
        except StackError:
            if self.pid is not None and await asyncio.to_thread(self._asked, "{{.State.Running}}") == "true":
                raise
        return await self.exited()

    async def exited(self) -> int:
        """Wait for its end; the exit status."""
        return _signed(await super().exited())

    async def pause(self) -> None:
        """All in the container stands still. StackError if it does not run."""
        if self.pid is None:
            raise StackError(f"{self.name} does not run, so it cannot be paused")
        await asyncio.to_thread(self._box.engine.ask, "pause", self._container)

    async def resume(self) -> None:
        """Let it go on; nothing if it does not stand still."""
        if await asyncio.to_thread(lambda: self.stopped):
            await asyncio.to_thread(self._box.engine.ask, "unpause", self._container)

    def _asked(self, form: str) -> str:
        try:
            return self._box.engine.ask("inspect", "--format", form, self._container)
        except StackError:
            return ""


def _signed(status: int) -> int:
    return _SIGNALLED - status if status > _SIGNALLED else status
