"""A PostgreSQL server that syncs every commit; whoever reaches its loopback port is trusted."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.clients.probes import Prober
from harness.errors import StackError
from harness.stacks import reaper
from harness.stacks.native import unprivileged as unprivileged_script
from harness.stacks.process import Launch, Process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.stacks.native.parts import Postgres

USER = "oneffect"
"""The server's superuser, as whom services and observers connect."""

_UNPRIVILEGED = "nobody"
"""As whom the server runs if the harness is root, which the server refuses to be."""

_INITDB_TIMEOUT = 120.0

_SETTINGS: Mapping[str, object] = {
    "unix_socket_directories": "",
    "fsync": "on",
    "max_connections": 400,
    # A file in its folder, which goes with the stack: /dev/shm would keep it.
    "dynamic_shared_memory_type": "mmap",
    # A run is over before either has something to do.
    "autovacuum": "off",
    "log_checkpoints": "off",
}


class PostgresServer(Process):
    """The server on ``address``, its files in ``folder``; ``config`` are postgresql.conf's own words.

    Its children are sessions of their own, so every signal but the one to leave goes to each of them.
    """

    def __init__(  # noqa: PLR0913 - what a server consists of
        self, name: str, parts: Postgres, address: str, *, folder: Path, config: Mapping[str, str], launch: Launch
    ) -> None:
        self.address = address
        self._folder = folder
        shutil.copytree(parts.template, folder)
        user = unprivileged()
        own(folder, user)
        host, _, port = address.rpartition(":")
        settings = {**_SETTINGS, **config, "listen_addresses": host, "port": port}
        command = as_user(user, [str(parts.binaries / "postgres"), "-D", str(folder)])
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        super().__init__(name, launch.of(command), Prober(address, "postgres").answers)

    def _signal(self, number: signal.Signals) -> None:
        if number == signal.SIGTERM:
            # To this server it means: leave once every client has; an interrupt means now.
            super()._signal(signal.SIGINT)
            return
        super()._signal(number)
        for pid in reaper.servers(self._folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def exited(self) -> int:
        """Wait for its end and its children's, who hold on to the memory that a new server would share."""
        status = await super().exited()
        while reaper.servers(self._folder):
            await self.breathe()
        return status


def unprivileged() -> int | None:
    """The user id that a server must take on; None unless the harness is root."""
    return pwd.getpwnam(_UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None


def as_user(user: int | None, command: list[str]) -> list[str]:
    """The command that runs ``command`` as ``user``."""
    return (
        command if user is None else [sys.executable, "-I", "-S", unprivileged_script.__file__, str(user), *command]
    )


def own(folder: Path, user: int | None) -> None:
    """Give a folder and all in it to ``user``."""
    if user is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, -1)


def initialize(binaries: Path, template: Path) -> None:
    """Make the folder that servers start with a copy of; StackError with initdb's own words if that fails."""
    user = unprivileged()
    with tempfile.TemporaryDirectory() as place:
        own(Path(place), user)
        command = [str(binaries / "initdb"), "-D", f"{place}/data", "-U", USER, "--auth=trust", "--no-sync"]
        try:
            subprocess.run(
                as_user(user, [*command, "--encoding=UTF8", "--locale=C"]),
                cwd="/",
                env={"LANG": "C.UTF-8"},
                capture_output=True,
                text=True,
                check=True,
                timeout=_INITDB_TIMEOUT,
            )
        except (subprocess.SubprocessError, OSError) as error:
            why = getattr(error, "stderr", None) or str(error)
            raise StackError(f"postgres: no database folder could be made: {why.strip()[-2000:]}") from error
        shutil.copytree(f"{place}/data", template)
