"""One way to ask the system to do something again, and how an answer ends what was asked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from harness.clients import commands
from harness.clients.http import HttpClient
from harness.load.answers import REFUSED
from harness.load.locust_load import environment
from harness.system import PLACEHOLDER, REPLAYED, REPROCESSED, Request

NO: Final = REFUSED | {404, 409}
"""Answers that say no: what is not known, or cannot be done again now, was not done."""

NO_STATUS: Final = 2
"""The exit status that says no; any other but 0 leaves it unknown what was done."""


ABOUT: Final = REPROCESSED | REPLAYED


@dataclass(frozen=True, slots=True)
class Answered:
    """How it ended. ``status`` is HTTP's, ``exit_status`` a command's, where there was one."""

    phase: Literal["ok", "fail", "unknown"]
    status: int | None = None
    exit_status: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks as ``request`` says. ``filled(text, service)`` fills in what is known of the run, and of one service.

    ``environment(service)`` is what the system file gives it; commands run in ``folder``.
    """

    request: Request
    http: HttpClient
    filled: Callable[[str, str | None], str]
    environment: Callable[[str], Mapping[str, str]]
    folder: Path

    async def ask(self, about: Mapping[str, str], service: str) -> Answered:
        """Ask once about what ``about`` names; a command gets the environment of ``service``. Never tried again."""
        if missing := sorted((self.request.placeholders() & ABOUT) - about.keys()):
            return Answered("fail", error=f"it was not asked: nothing says what {{{missing[0]}}} is")
        if self.request.post is not None:
            return await self._post(self._with(self.request.post, about, None, lambda value: quote(value, safe="")))
        words = [self._with(word, about, service, str) for word in shlex.split(self.request.command or "")]
        return await self._run(words, service)

    def _with(self, text: str, about: Mapping[str, str], service: str | None, written: Callable[[str], str]) -> str:
        """Filled in once: what comes from the system under test may look like a placeholder."""
        return PLACEHOLDER.sub(
            lambda found: written(about[found[1]]) if found[1] in about else self.filled(found[0], service), text
        )

    async def _post(self, url: str) -> Answered:
        answer = await self.http.post(url)
        if answer.status == self.request.ok:
            return Answered("ok", status=answer.status)
        return Answered(
            "fail" if answer.status in NO else "unknown", status=answer.status, error=answer.error or None
        )

    async def _run(self, words: list[str], service: str) -> Answered:
        words = [sys.executable, *words[1:]] if words[0] in {"python", "python3"} else words
        env = {**environment(), **self.environment(service)}
        try:
            ended = await commands.run(words, cwd=self.folder, env=env)
        except (OSError, ValueError) as error:
            return Answered("fail", error=f"the command cannot be started: {error}")
        if ended.status == 0:
            return Answered("ok", exit_status=0)
        told = ended.output[-commands.TOLD :]
        if ended.status is None:
            told = f"it did not end within {commands.LONGEST:g} s and was killed; {told}".rstrip("; ")
        return Answered("fail" if ended.status == NO_STATUS else "unknown", exit_status=ended.status, error=told)
