"""One replica of a service in the system file, as a process."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.clients.probes import readiness
from harness.stack import RunNames
from harness.stacks.process import GRACE, Launch, Process
from harness.stacks.reaper import VARIABLE, marked
from harness.system import Prints, System
from harness.wiring import Words

_AT_ONCE = 1 << 20
"""Bytes of a log that are read at a time."""

REPLICA = "ONEFFECT_REPLICA"
"""Marks every process of one replica, those in a session of their own too; children inherit it."""

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
"""Variables taken from the harness's environment. The rest may hold secrets; a service's own are in the system file."""


def words_of(command: str, filled: Callable[[str], str], python: str) -> list[str]:
    """Return a command's words with their placeholders filled in; ``python`` replaces a first word of that name."""
    words = [filled(word) for word in shlex.split(command)]
    return [python, *words[1:]] if words[:1] in (["python"], ["python3"]) else words


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a replica runs. ``folder`` is the run directory; ``addresses`` fills in ``{redis}`` and the like.

    ``files`` holds one data folder per service and is removed with the run's services.
    """

    system: System
    replica: str
    address: str
    addresses: Mapping[str, str]
    names: RunNames
    folder: Path
    files: Path
    variant: str | None
    env: Mapping[str, str]
    cwd: Path
    passed_on: tuple[str, ...] = PASSED_ON
    python: str = sys.executable

    @property
    def service(self) -> str:
        """The service's name."""
        return self.replica.partition("#")[0]

    @property
    def mark(self) -> str:
        """What tells the replica's processes from all others."""
        return f"{self.names.run}/{self.replica}"

    @property
    def data(self) -> Path:
        """The data folder that the service's replicas share."""
        return self.files / self.service

    def command(self) -> list[str]:
        """Return the command line, the variant's if there is one; empty means the image's own.

        ``python`` becomes ``self.python``.
        """
        text = self.system.services[self.service].command or ""
        if self.variant is not None and self.system.variants is not None:
            text = self.system.variants.command
        return words_of(text, self.filled, self.python)

    def environment(self) -> dict[str, str]:
        """Return a minimal environment plus the variables in the system file."""
        own = {name: os.environ[name] for name in self.passed_on if name in os.environ}
        written = {name: self.filled(text) for name, text in self.system.services[self.service].env.items()}
        marks = {VARIABLE: self.env[VARIABLE], REPLICA: self.mark}
        return {**own, "PYTHONUNBUFFERED": "1", "TMPDIR": self.env["TMPDIR"], **written, **marks}

    def filled(self, text: str) -> str:
        """Fill in the placeholders in ``text``."""
        own = {
            "data": lambda: str(self.data),
            "port": lambda: self.address.rpartition(":")[2],
            "variant": lambda: self.variant or "",
        }
        return Words(self.system, self.names, self.addresses.get, self.replica, own).filled(text)


class NativeService(Process):
    """The replica's process; ready when its readiness path answers 2xx, bypassing the proxies, or it has printed its text."""

    def __init__(self, place: Place) -> None:
        log = place.folder / "logs" / f"{place.replica.replace('#', '-')}.log"
        place.data.mkdir(parents=True, exist_ok=True)
        super().__init__(place.replica, Launch(place.command(), place.environment(), place.cwd, log), self._answering)
        self._address, self._mark = place.address, place.mark
        service = place.system.services[place.service]
        self._path = service.path
        self._printed = Printed(log, service.ready.prints.encode()) if isinstance(service.ready, Prints) else None
        self._unready = f"; it has not printed {service.ready.prints!r}" if isinstance(service.ready, Prints) else ""

    async def _begin(self) -> None:
        if self._printed is not None:
            self._printed.forget()
        else:
            self._unready = ""
        await super()._begin()

    async def kill(self) -> int:
        """Send SIGKILL to every process of the replica and return the exit status of the first."""
        status = await super().kill()
        await self._end_rest()
        return status

    async def stop(self, grace: float = GRACE) -> int:
        """Send SIGTERM, then SIGKILL after ``grace`` seconds or to what it leaves behind, and return the exit status."""
        status = await super().stop(grace)
        await self._end_rest()
        return status

    def _signal(self, number: signal.Signals) -> None:
        super()._signal(number)
        # Whoever asks a service to exit asks its first process, which knows its workers.
        if number is not signal.SIGTERM:
            self._signal_all(number)

    def _signal_all(self, number: signal.Signals) -> bool:
        """Signal all processes of the replica, also those that left its process group; False if there is none."""
        pids = marked(self._mark, REPLICA)
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        return bool(pids)

    async def _end_rest(self) -> None:
        """Kill until none is left; one that lives on would hold the port, and work in its successor's place."""
        while await asyncio.to_thread(self._signal_all, signal.SIGKILL):
            await self.breathe()

    async def _answering(self, timeout: float) -> bool:
        if self._printed is not None:
            return await asyncio.to_thread(self._printed.look)
        probe = await readiness(self._address, self._path, timeout)
        self._unready = f"; GET http://{self._address}{self._path}: {probe.error}" if probe.error else ""
        return probe.answered

    def _why(self) -> str:
        return f"{self._unready}{super()._why()}"


class Printed:
    """Searches what a log has gained for a text; reads each byte once, however often ``look`` is called."""

    def __init__(self, log: Path, text: bytes) -> None:
        self._log, self._text = log, text
        self._at, self._kept = 0, b""
        self._found = False

    def forget(self) -> None:
        """Ignore what the log holds so far."""
        self._at, self._kept = self._log.stat().st_size if self._log.exists() else 0, b""
        self._found = False

    def look(self) -> bool:
        """Return whether the text is there. Raises OSError if there is no log."""
        with self._log.open("rb") as log:
            log.seek(self._at)
            while not self._found and (added := log.read(_AT_ONCE)):
                self._at += len(added)
                self._kept += added
                self._found = self._text in self._kept
                # The log may end in the middle of the text.
                self._kept = self._kept[-len(self._text) :]
        return self._found
