"""Runs one command of the user's: without a shell, bounded, in a session of its own."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from harness.errors import FaultError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONGEST: Final = 60.0
"""Seconds that a command may take."""

_TOLD = 2000
"""Characters of its output that are told."""


async def execute(text: str, what: str, *, cwd: Path, hide: Callable[[str], str], longest: float = LONGEST) -> None:
    """Run ``text`` to its end; FaultError, with ``what`` it was for and the end of its output, unless it ends with 0.

    It gets the harness's environment. ``hide`` takes secrets out of what it said. What it leaves in the background is
    the user's.
    """
    # A file, not a pipe: what a command leaves in the background may hold on to a pipe for ever.
    with tempfile.TemporaryFile() as output:
        try:
            child = await asyncio.create_subprocess_exec(
                *shlex.split(text),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise FaultError(hide(f"{what}: the command cannot be started: {error}")) from error
        try:
            async with asyncio.timeout(longest):
                status = await child.wait()
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
            if isinstance(error, TimeoutError):
                raise FaultError(f"{what}: the command did not end within {longest:g} s and was killed") from error
            raise
        if status:
            output.seek(0)
            said = hide(output.read().decode(errors="replace").strip())[-_TOLD:]
            raise FaultError(f"{what}: the command ended with status {status}{f': {said}' if said else ''}")
