"""Asks the system to reprocess or replay, and maps its answer to an operation's end."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from harness.clients import commands
from harness.clients.http import HttpClient
from harness.load.answers import REFUSED
from harness.load.locust_load import environment
from harness.model import PLACEHOLDER
from harness.system import REPLAYED, REPROCESSED, Request

NO: Final = REFUSED | {404, 409}
"""HTTP statuses that refuse a request, including 404 (unknown to the system) and 409 (cannot be redone now)."""

NO_STATUS: Final = 3
"""The exit status that refuses a request; 0 grants it, and any other leaves it unknown.

1 and 2 are what ends with a failure of its own, perhaps with its work done: make, a Go program that panics, Python, a shell.
"""


ABOUT: Final = REPROCESSED | REPLAYED


@dataclass(frozen=True, slots=True)
class Answered:
    """How a request ended. ``status`` is HTTP's, ``exit_status`` the command's; None if there was none."""

    phase: Literal["ok", "fail", "unknown"]
    status: int | None = None
    exit_status: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """Sends ``request``. ``filled(text, service)`` fills in placeholders of the run, and of one service.

    ``environment(service)`` returns the service's environment from the system file; commands run in ``folder``.
    """

    request: Request
    http: HttpClient
    filled: Callable[[str, str | None], str]
    environment: Callable[[str], Mapping[str, str]]
    folder: Path

    async def ask(self, about: Mapping[str, str], service: str) -> Answered:
        """Ask once, without a retry, about what ``about`` names; a command gets the environment of ``service``."""
        if missing := sorted((self.request.placeholders() & ABOUT) - about.keys()):
            return Answered("fail", error=f"it was not asked: nothing says what {{{missing[0]}}} is")
        if self.request.post is not None:
            return await self._post(self._with(self.request.post, about, None, lambda value: quote(value, safe="")))
        words = [self._with(word, about, service, str) for word in shlex.split(self.request.command or "")]
        return await self._run(words, service)

    def _with(self, text: str, about: Mapping[str, str], service: str | None, written: Callable[[str], str]) -> str:
        """Fill in placeholders in one pass: a value from the system under test may look like a placeholder."""
        return PLACEHOLDER.sub(
            lambda match: written(about[match[1]]) if match[1] in about else self.filled(match[0], service), text
        )

    async def _post(self, url: str) -> Answered:
        answer = await self.http.post(url)
        if answer.status == self.request.ok:
            return Answered("ok", status=answer.status)
        return Answered(
            "fail" if answer.status in NO else "unknown", status=answer.status, error=answer.error or None
        )

    async def _run(self, words: list[str], service: str) -> Answered:
        env = {**environment(), **self.environment(service)}
        try:
            ended = await commands.run(commands.with_own_python(words), cwd=self.folder, env=env)
        except (OSError, ValueError) as failure:
            return Answered("fail", error=f"the command cannot be started: {failure}")
        if ended.status == 0:
            return Answered("ok", exit_status=0)
        error = ended.output[-commands.TOLD :]
        if ended.status is None:
            error = f"it did not end within {commands.LONGEST:g} s and was killed; {error}".rstrip("; ")
        return Answered("fail" if ended.status == NO_STATUS else "unknown", exit_status=ended.status, error=error)
