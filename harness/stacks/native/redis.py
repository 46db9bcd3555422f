"""A Redis or Valkey server with its append-only folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from harness.clients.probes import Prober
from harness.errors import StackError
from harness.stacks.native.process import Launch, Process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class RedisServer(Process):
    """The server on ``address``, its files in ``folder``; ``config`` are redis.conf's own words."""

    def __init__(  # noqa: PLR0913 - what a server consists of
        self, name: str, binary: Path, address: str, *, folder: Path, config: Mapping[str, str], launch: Launch
    ) -> None:
        folder.mkdir(exist_ok=True)
        host, _, port = address.rpartition(":")
        settings = {
            # No RDB file: what a restart brings back is the append-only folder, or nothing.
            "save": "",
            "loglevel": "notice",
            **config,
            "bind": host,
            "port": port,
            "dir": str(folder),
            "daemonize": "no",
            # Setting the title would wipe the environment that the reaper knows its processes by.
            "set-proc-title": "no",
        }
        command = [str(binary)]
        for key, value in settings.items():
            command += [f"--{key}", value]
        self._folder = folder
        self._prober = Prober(address, "redis")
        super().__init__(name, Launch(command, launch.env, launch.cwd, launch.log), self._answering)

    async def _answering(self, timeout: float) -> bool:
        return (await self._prober.probe(timeout)).answered

    async def forget(self) -> None:
        """Remove every file of the server; StackError while it runs, for it would write them again."""
        if self.pid is not None:
            raise StackError(f"{self.name} runs; kill it before its files are taken away")
        shutil.rmtree(self._folder)
        self._folder.mkdir()
