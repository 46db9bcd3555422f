"""A user's program that answers each line of input with one line of output."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from harness.clients import commands
from harness.errors import StackError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence

_LONGEST_LINE: Final = 1 << 28
"""Bytes that an answer may have."""

_WITH_HARNESS: Final = str(Path(__file__).with_name("with_harness.py"))

_ENDS_WITHIN: Final = 2.0
"""Seconds in which the program may end by itself."""

_AGAIN: Final = 0.02
"""Seconds between checks whether it has ended."""


class LineProgram:
    """Starts the program at the first line, and again at the next line after it was ended or failed.

    ``what`` begins each message. It runs in ``folder``, with the harness's environment.
    """

    def __init__(self, what: str, words: Sequence[str], folder: Path) -> None:
        self._what, self._words, self._folder = what, words, folder
        self._child: Process | None = None
        self._output = _output()
        self.longest = commands.LONGEST
        """Seconds that an answer may take."""

    async def ask(self, lines: Sequence[bytes]) -> list[bytes]:
        """Return the answer to each line, in order; StackError if it cannot be started, ends, or does not answer in time."""
        child = self._child = self._child or await self._start()
        assert child.stdout is not None  # noqa: S101 - as _start made it
        # Write while reading: a program that waits for its answers to be read takes no more lines.
        giving = asyncio.create_task(_give(child, lines))
        try:
            return [await self._answer(child, child.stdout) for _ in lines]
        finally:
            giving.cancel()
            await asyncio.gather(giving, return_exceptions=True)

    async def give(self, line: bytes) -> None:
        """Send one line, without waiting for an answer; StackError if it cannot be started or takes no more lines."""
        child = self._child = self._child or await self._start()
        try:
            await _give(child, [line])
        except ConnectionError as error:
            status = await self.status()
            raise self.failure(
                "it reads no more lines" if status is None else f"it ended with status {status}"
            ) from error

    async def line(self) -> bytes | None:
        """Return the next line that it prints; None once it has closed its standard output."""
        assert self._child is not None  # noqa: S101 - it was given a line
        assert self._child.stdout is not None  # noqa: S101 - as _start made it
        try:
            line = await self._child.stdout.readline()
        except ValueError as error:
            raise self.failure(f"it printed a line of more than {_LONGEST_LINE // 1024 // 1024} MiB") from error
        return line.strip() if line.endswith(b"\n") else None

    async def status(self, within: float = _ENDS_WITHIN) -> int | None:
        """Return its exit status; None if it does not end after ``within`` seconds."""
        if self._child is None:
            return None
        # Not ``wait``, which also waits until its pipes are closed: a process that it left behind may hold them.
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._child.returncode is None:
                    await asyncio.sleep(_AGAIN)
        return self._child.returncode

    async def end(self) -> None:
        """End it, if it runs."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(_ENDS_WITHIN):
                    await child.wait()
            child._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - as in ``status``; it has no other way

    async def close(self) -> None:
        """Close its standard input, and end it if it does not end by itself."""
        try:
            await self.finish()
        finally:
            await self.end()
            self._output.close()

    async def finish(self, within: float = _ENDS_WITHIN) -> int | None:
        """Close its standard input, and return its exit status as ``status`` does."""
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()
        return await self.status(within)

    def said(self) -> str:
        """Return the end of what it printed to standard error since it was started."""
        self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - 4 * commands.TOLD))
        return self._output.read().decode(errors="replace").strip()[-commands.TOLD :]

    def failure(self, why: str) -> StackError:
        """Return an error that says what it is for, why it failed, and what it printed to standard error."""
        said = self.said()
        return StackError(f"{self._what}: {why}{f'; it said: {said}' if said else ''}")

    async def _answer(self, child: Process, answers: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self.longest):
                line = await answers.readline()
                if not line.endswith(b"\n"):
                    raise self.failure(f"it ended with status {await child.wait()}")
        except TimeoutError as error:
            raise self.failure(f"it gave no answer within {self.longest:g} s") from error
        return line.strip()

    def _is_there(self, program: str) -> bool:
        return shutil.which(program if "/" not in program else str(self._folder / program)) is not None

    async def _start(self) -> Process:
        # Messages have already quoted what an earlier process printed.
        self._output.close()
        self._output = _output()
        if not self._is_there(self._words[0]):
            raise self.failure(f"it cannot be started: there is no program {self._words[0]}")
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", _WITH_HARNESS, str(os.getpid()), *self._words),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=self._output,
                cwd=self._folder,
                # Python buffers what it prints to a pipe, but each line must arrive at once.
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                limit=_LONGEST_LINE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise self.failure(f"it cannot be started: {error}") from error


def _output() -> BinaryIO:
    # Append mode: program and harness share one file position, which the harness moves to read.
    return cast("BinaryIO", tempfile.TemporaryFile("a+b"))


async def _give(child: Process, lines: Sequence[bytes]) -> None:
    assert child.stdin is not None  # noqa: S101 - as LineProgram._start made it
    for line in lines:
        child.stdin.write(line + b"\n")
        await child.stdin.drain()
