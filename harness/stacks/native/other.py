"""A server of any other kind, started by the command in the system file."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import TYPE_CHECKING

from harness.clients.probes import Prober
from harness.model import PLACEHOLDER
from harness.stacks.native.service import PASSED_ON, words_of
from harness.stacks.process import Launch, Process
from harness.stacks.reaper import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.dependency import Dependency


class OtherServer(Process):
    """The server on ``address`` with its files in ``folder``; ready once it answers its ping.

    ``launch`` has the environment that every part of the stack gets, and the folder to start in. In a container nothing
    is ``passed_on`` from the harness's own environment, and ``python`` is the image's.
    """

    def __init__(  # noqa: PLR0913 - what a server consists of
        self,
        name: str,
        dependency: Dependency,
        address: str,
        *,
        folder: Path,
        launch: Launch,
        passed_on: Sequence[str] = PASSED_ON,
        python: str = sys.executable,
    ) -> None:
        folder.mkdir(exist_ok=True)
        values = {"port": address.rpartition(":")[2], "data": str(folder)}

        def filled(text: str) -> str:
            return PLACEHOLDER.sub(lambda match: values[match[1]], text)

        words = words_of(dependency.command or "", filled, python)
        own = {name: os.environ[name] for name in passed_on if name in os.environ}
        written = {name: filled(text) for name, text in dependency.env.items()}
        env = {**own, "PYTHONUNBUFFERED": "1", **launch.env, **written, VARIABLE: launch.env[VARIABLE]}
        launch = dataclasses.replace(launch, command=words, env=env)
        super().__init__(name, launch, Prober(address, "tcp", ping=dependency.ping).answers)
