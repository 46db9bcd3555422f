"""Runs one of the user's commands, without a shell, with a time limit and in its own session."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from harness.errors import FaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LONGEST: Final = 60.0
"""Seconds that a command may take."""

TOLD: Final = 2000
"""Characters of a failed command's output that the error message quotes."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status (None if it was killed for taking too long) and its output."""

    status: int | None
    output: str


async def run(
    words: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    longest: float = LONGEST,
    results: BinaryIO | None = None,
) -> Ended:
    """Run a command to its end. ``env`` None means the harness's own environment.

    Its output is all that it prints; with a file for ``results``, which gets standard output, only standard error.

    Raises OSError or ValueError if the command cannot be started. Processes that it leaves in the background live on.
    """
    # A file, not a pipe: a background process might keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        child = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output if results is None else results,
            stderr=output,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        status: int | None = None
        try:
            async with asyncio.timeout(longest):
                status = await child.wait()
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
            if not isinstance(error, TimeoutError):
                raise
        output.seek(0)
        return Ended(status, output.read().decode(errors="replace").strip())


def with_own_python(words: Sequence[str]) -> list[str]:
    """Return the words of a command, with the harness's own interpreter for ``python``."""
    return [sys.executable, *words[1:]] if words[0] in {"python", "python3"} else [*words]


async def execute(text: str, what: str, *, cwd: Path, hide: Callable[[str], str], longest: float = LONGEST) -> None:
    """Run the command ``text``, with the harness's environment, to its end.

    Raises FaultError, with ``what`` the command was for and the end of its output, unless it exits with 0. ``hide``
    removes secrets from that output.
    """
    try:
        ended = await run(shlex.split(text), cwd=cwd, longest=longest)
    except (OSError, ValueError) as error:
        raise FaultError(hide(f"{what}: the command cannot be started: {error}")) from error
    if ended.status is None:
        raise FaultError(f"{what}: the command did not end within {longest:g} s and was killed")
    if ended.status:
        output = hide(ended.output)[-TOLD:]
        raise FaultError(f"{what}: the command ended with status {ended.status}{f': {output}' if output else ''}")
