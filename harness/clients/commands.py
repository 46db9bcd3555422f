"""Runs one command of the user's: without a shell, bounded, in a session of its own."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.errors import FaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LONGEST: Final = 60.0
"""Seconds that a command may take."""

TOLD: Final = 2000
"""Characters of its output that are told."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status, None if it took too long and was killed, and all that it wrote."""

    status: int | None
    output: str


async def run(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, longest: float = LONGEST
) -> Ended:
    """Run a command to its end; OSError or ValueError if it cannot be started. ``env`` None: the harness's own.

    What it leaves in the background is the user's.
    """
    # A file, not a pipe: what a command leaves in the background may hold on to a pipe for ever.
    with tempfile.TemporaryFile() as output:
        child = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
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


async def execute(text: str, what: str, *, cwd: Path, hide: Callable[[str], str], longest: float = LONGEST) -> None:
    """Run ``text`` to its end; FaultError, with ``what`` it was for and the end of its output, unless it ends with 0.

    It gets the harness's environment. ``hide`` takes secrets out of what it said.
    """
    try:
        ended = await run(shlex.split(text), cwd=cwd, longest=longest)
    except (OSError, ValueError) as error:
        raise FaultError(hide(f"{what}: the command cannot be started: {error}")) from error
    if ended.status is None:
        raise FaultError(f"{what}: the command did not end within {longest:g} s and was killed")
    if ended.status:
        said = hide(ended.output)[-TOLD:]
        raise FaultError(f"{what}: the command ended with status {ended.status}{f': {said}' if said else ''}")
