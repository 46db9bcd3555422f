"""One replica of a service in the system file, as a process."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.clients.probes import readiness
from harness.stack import RunNames
from harness.stacks.process import Launch, Process
from harness.stacks.reaper import VARIABLE
from harness.system import System
from harness.wiring import Words

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
"""Variables taken from the harness's environment. The rest may hold secrets; a service's own are in the system file."""


def words_of(command: str, filled: Callable[[str], str], python: str) -> list[str]:
    """Return a command's words with their placeholders filled in; ``python`` stands for a first word of that name."""
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
        return {**own, "PYTHONUNBUFFERED": "1", "TMPDIR": self.env["TMPDIR"], **written, VARIABLE: self.env[VARIABLE]}

    def filled(self, text: str) -> str:
        """Fill in the placeholders in ``text``."""
        own = {
            "data": lambda: str(self.data),
            "port": lambda: self.address.rpartition(":")[2],
            "variant": lambda: self.variant or "",
        }
        return Words(self.system, self.names, self.addresses.get, self.replica, own).filled(text)


class NativeService(Process):
    """The replica's process; ready when its readiness path answers 2xx, bypassing the proxies."""

    def __init__(self, place: Place) -> None:
        log = place.folder / "logs" / f"{place.replica.replace('#', '-')}.log"
        place.data.mkdir(parents=True, exist_ok=True)
        super().__init__(place.replica, Launch(place.command(), place.environment(), place.cwd, log), self._answering)
        self._address = place.address
        self._path = place.system.services[place.service].ready

    async def _answering(self, timeout: float) -> bool:
        return (await readiness(self._address, self._path, timeout)).answered
