"""A Redis or Valkey server with its append-only folder."""

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
"""Directives whose value is quoted: what is in it ends no word, and it may be empty."""

_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\')
"""Bytes that stand for themselves between quotes."""


def configuration(settings: Mapping[str, str]) -> str:
    """As redis.conf."""
    return "".join(f"{key} {_quoted(value) if key in _ONE_WORD else value}\n" for key, value in settings.items())


def _quoted(value: str) -> str:
    return '"' + "".join(chr(byte) if byte in _PLAIN else rf"\x{byte:02x}" for byte in value.encode()) + '"'


class RedisServer(Process):
    """The server on ``address``, its files in ``folder``; ``config`` are redis.conf's own words."""

    def __init__(  # noqa: PLR0913 - what a server consists of
        self, name: str, binary: Path, address: str, *, folder: Path, config: Mapping[str, str], launch: Launch
    ) -> None:
        folder.mkdir(exist_ok=True)
        # Beside the files, which a fault may take away. A file, for a command's words can be read by everybody.
        told = folder.with_name("redis.conf")
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
        told.touch(mode=0o600)
        told.write_text(configuration(settings))
        self._folder = folder
        super().__init__(
            name,
            launch.of([str(binary), str(told)]),
            Prober(address, "redis", login=redis_login(config)).answers,
        )

    async def forget(self) -> None:
        """Remove every file of the server; StackError while it runs, for it would write them again."""
        if self.pid is not None:
            raise StackError(f"{self.name} runs; kill it before its files are taken away")
        shutil.rmtree(self._folder)
        self._folder.mkdir()
