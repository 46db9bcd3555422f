"""A stack's process in a container: the same command, files and ports, but started and ended by the engine."""

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
"""An exit status above this means that the container's first process died of signal ``status - 128``."""

_FREEZES_WITHIN = 30.0
"""Seconds that the engine may take to pause a container on a busy machine."""

_LIMITS = ("--memory", "1g", "--pids-limit", "512")
_CONFINED = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp")  # noqa: S108


@dataclass(frozen=True, slots=True)
class Box:
    """What a container needs besides its command.

    ``places`` are the only files of the stack that the container sees, under the same paths. It must not see the rest:
    the reaper runs, outside of any container, a command that it reads there. ``trusted`` leaves the image its own user
    and capabilities, because it drops privileges itself.
    """

    engine: Engine
    token: str
    image: str
    places: tuple[Path, ...]
    run: str = ""
    trusted: bool = False


class Contained(Process):
    """Mixin that starts, ends and pauses a native process through the engine; put it first in the bases.

    The container shares the host's network, so its sockets show like those of any process. A container that ended
    restarts with the files it had.
    """

    def contain(self, box: Box) -> None:
        """Set the container to run in; call it before the first start."""
        self._box = box
        self._inside = self._launch
        self._container = f"oneffect-{box.token}-{self.name.replace('#', '-')}"
        self._created = False
        self._inner: int | None = None
        self._launch = dataclasses.replace(
            self._launch,
            command=[box.engine.command, "start", "--attach", self._container],
            # The mark lets the reaper also find this docker command, which relays the container's output.
            env={**box.engine.environment, VARIABLE: box.token},
        )

    @property
    def run(self) -> str:
        """The run it serves; empty if it outlives runs."""
        return self._box.run

    @property
    def pid(self) -> int | None:
        """The host's process id of the container's first process, or None if it is not running."""
        return self._inner if super().pid is not None else None

    @property
    def exit_status(self) -> int | None:
        """Exit status, negative for a signal."""
        status = super().exit_status
        return status if status is None else _signed(status)

    @property
    def stopped(self) -> bool:
        """Whether the container is paused."""
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
            # The docker command's own environment wins over ours, so such a variable goes on the command line.
            options += ["--env", f"{name}={value}" if name in box.engine.environment else name]
        if not box.trusted:
            options += [*_CONFINED, "--user", f"{os.getuid()}:{os.getgid()}"]
            if words:
                options += ["--entrypoint", words.pop(0)]
        # Values go through the command's environment: everybody can read its arguments.
        box.engine.ask("create", *options, box.image, *words, env=dict(self._inside.env))

    async def kill(self) -> int:
        """Send SIGKILL to the container and return the exit status."""
        return await self._ended("kill", "--signal", "KILL")

    async def stop(self, grace: float = GRACE) -> int:
        """Send the image's stop signal, then SIGKILL after ``grace`` seconds, and return the exit status."""
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
        """Wait until it has exited and return the exit status."""
        return _signed(await super().exited())

    async def pause(self) -> None:
        """Pause every process in the container; raises StackError if it is not running."""
        if self.pid is None:
            raise StackError(f"{self.name} is not running, so it cannot be paused")
        clock = asyncio.get_running_loop().time
        deadline = clock() + _FREEZES_WITHIN
        while True:
            try:
                await asyncio.to_thread(self._box.engine.ask, "pause", self._container)
            except StackError as error:
                # On a busy machine runc gives up after a part of a second, thaws what it had frozen, and leaves it to its
                # caller to try again.
                if "unable to freeze" not in str(error) or clock() > deadline:
                    raise
            else:
                return

    async def resume(self) -> None:
        """Unpause the container if it is paused."""
        if await asyncio.to_thread(lambda: self.stopped):
            await asyncio.to_thread(self._box.engine.ask, "unpause", self._container)

    def _asked(self, form: str) -> str:
        try:
            return self._box.engine.ask("inspect", "--format", form, self._container)
        except StackError:
            return ""


def _signed(status: int) -> int:
    return _SIGNALLED - status if status > _SIGNALLED else status
