"""Reads effects or sums from the output of the user's program: one JSON object per line."""

from __future__ import annotations

import asyncio
import json
import shlex
import tempfile
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from harness.clients import commands
from harness.errors import StackError
from harness.exact_json import loads, text

if TYPE_CHECKING:
    from harness.observers.sources import Row, Take

_AT_ONCE: Final = 1000
"""Lines held in memory at once: a long run has very many."""

_SHOWN: Final = 80
"""Characters of a line that a message quotes."""


class CommandLines:
    """Runs a command and reads every line that it prints; the output counts only if the exit status is 0."""

    def __init__(
        self, command: str, filled: Callable[[str], str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self._words = commands.with_own_python([filled(word) for word in shlex.split(command)])
        self._environment, self._folder = environment, folder
        self.longest = commands.LONGEST

    async def each(self, take: Take, *, everything: bool) -> None:  # noqa: ARG002 - a program always prints everything
        """Run the command and pass its lines to ``take``."""
        with tempfile.TemporaryFile() as results:
            try:
                ended = await commands.run(
                    self._words, cwd=self._folder, env=self._environment, longest=self.longest, results=results
                )
            except (OSError, ValueError) as failure:
                raise StackError(f"command: it cannot be started: {failure}") from failure
            if ended.status != 0:
                how = (
                    f"it did not end within {self.longest:g} s and was killed"
                    if ended.status is None
                    else f"it ended with status {ended.status}"
                )
                raise StackError(f"command: {how}{_said(ended)}")
            results.seek(0)
            await asyncio.to_thread(_give, results, ended, take)

    async def close(self) -> None:
        """Do nothing: each call runs its own process."""


def _give(results: BinaryIO, ended: commands.Ended, take: Take) -> None:
    rows = (_row(line, number, ended) for number, line in enumerate(results, 1) if line.strip())
    while batch := list(islice(rows, _AT_ONCE)):
        take(batch)


def _row(line: bytes, number: int, ended: commands.Ended) -> Row:
    try:
        value = loads(line)
    except ValueError:
        value = None
    shown = line[:_SHOWN].decode("utf-8", "replace").strip()
    if not isinstance(value, dict):
        raise StackError(
            f"command: line {number} of its output is no JSON object: {shown}; print one a line, and what is no effect on "
            f"standard error{_said(ended)}"
        )
    return row(value, line, f"command: line {number} of its output: {shown}")


def row(value: Mapping[str, object], raw: bytes, where: str) -> Row:
    """Convert a JSON object to a row. ``raw`` is the same object as text, from which a total is read exactly.

    Raises StackError, with ``where``, if it has no ``id``.
    """
    named = value.get("id")
    if text(named) is None:
        raise StackError(f"{where}: it has no `id`; give the event's id, or the key at `by`")
    found: dict[str, object] = {"id": named if isinstance(named, list) else text(named)}
    found |= {name: text(value[name]) for name in ("effect", "carries") if name in value}
    if "total" in value:
        found["total"] = json.loads(raw, parse_float=Decimal)["total"]
    return found


def _said(ended: commands.Ended) -> str:
    return f"; it said: {ended.output[-commands.TOLD :]}" if ended.output else ""
