"""A Redis or Valkey server with its files."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from harness.clients.login import redis_login
from harness.clients.probes import Prober
from harness.errors import StackError
from harness.stacks.process import Launch, Process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_ONE_WORD = frozenset({"dir", "masterauth", "masteruser", "requirepass", "save"})
"""Directives with a single value, which is quoted because it may be empty or contain blanks."""

_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\')
"""Bytes that need no escape between quotes."""


def configuration(settings: Mapping[str, str]) -> str:
    """Render settings as redis.conf."""
    return "".join(f"{key} {_quoted(value) if key in _ONE_WORD else value}\n" for key, value in settings.items())


def _quoted(value: str) -> str:
    return '"' + "".join(chr(byte) if byte in _PLAIN else rf"\x{byte:02x}" for byte in value.encode()) + '"'


class RedisServer(Process):
    """The server on ``address`` with its files in ``folder``; ``config`` holds redis.conf directives."""

    def __init__(  # noqa: PLR0913 - what a server consists of
        self, name: str, binary: Path, address: str, *, folder: Path, config: Mapping[str, str], launch: Launch
    ) -> None:
        folder.mkdir(exist_ok=True)
        # Beside the data, which a fault may remove. Not on the command line: everybody can read arguments.
        configured = folder.with_name("redis.conf")
        host, _, port = address.rpartition(":")
        settings = {
            # Saved at a clean shutdown, as by Redis's own default, but never in the background while a run is under way.
            "save": "86400 1",
            "loglevel": "notice",
            **config,
            "bind": host,
            "port": port,
            "dir": str(folder),
            "daemonize": "no",
            # Setting the title would overwrite the environment by which the reaper finds its processes.
            "set-proc-title": "no",
        }
        configured.touch(mode=0o600)
        configured.write_text(configuration(settings))
        self._folder = folder
        super().__init__(
            name,
            launch.of([str(binary), str(configured)]),
            Prober(address, "redis", login=redis_login(config)).answers,
        )

    async def forget(self) -> None:
        """Remove the server's files; raises StackError while it runs, because it would write them again."""
        if self.pid is not None:
            raise StackError(f"{self.name} is running; kill it before removing its files")
        shutil.rmtree(self._folder)
        self._folder.mkdir()
