"""A PostgreSQL server that syncs every commit, on loopback and without passwords."""

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
"""The server's superuser; services and observers connect as this user."""

_UNPRIVILEGED = "nobody"
"""The server refuses to run as root, so it runs as this user if the harness is root."""

_INITDB_TIMEOUT = 120.0

_SETTINGS: Mapping[str, object] = {
    "unix_socket_directories": "",
    "fsync": "on",
    "max_connections": 400,
    # Files in its folder, removed with the stack; those in /dev/shm would stay.
    "dynamic_shared_memory_type": "mmap",
    # A run ends before either has anything to do.
    "autovacuum": "off",
    "log_checkpoints": "off",
}


class PostgresServer(Process):
    """The server on ``address`` with its files in ``folder``; ``config`` holds postgresql.conf settings.

    Its children have sessions of their own, so every signal except the one to stop is sent to each of them as well.
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
            # On SIGTERM this server waits for every client to disconnect; on SIGINT it shuts down at once.
            super()._signal(signal.SIGINT)
            return
        super()._signal(number)
        for pid in reaper.servers(self._folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def exited(self) -> int:
        """Wait until it and its children have exited: they hold shared memory that a new server would need."""
        status = await super().exited()
        while reaper.servers(self._folder):
            await self.breathe()
        return status


def unprivileged() -> int | None:
    """Return the user id that a server must run as; None unless the harness is root."""
    return pwd.getpwnam(_UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None


def as_user(user: int | None, command: list[str]) -> list[str]:
    """Wrap ``command`` so that it runs as ``user``; None leaves it as it is."""
    return (
        command if user is None else [sys.executable, "-I", "-S", unprivileged_script.__file__, str(user), *command]
    )


def own(folder: Path, user: int | None) -> None:
    """Make ``user`` the owner of a folder and everything in it; None changes nothing."""
    if user is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, -1)


def initialize(binaries: Path, template: Path) -> None:
    """Create the folder that servers start with a copy of; raises StackError with initdb's output if that fails."""
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
            raise StackError(f"postgres: the database folder could not be created: {why.strip()[-2000:]}") from error
        shutil.copytree(f"{place}/data", template)
