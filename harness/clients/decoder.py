"""A program that decodes values: it is given one a line, in base64, and answers each with a line of JSON."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import signal
import sys
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import orjson

from harness.clients import commands
from harness.errors import StackError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence
    from pathlib import Path

    from harness.system import Decode

_LONGEST_LINE: Final = 1 << 28
"""Bytes that an answer may have."""

_SHOWN: Final = 80
"""Characters of an answer that a message quotes."""

_FUNCTION: Final = "harness.clients.decode_function"
"""The program that calls a function of the user's."""


def decoder(described: Decode, folder: Path) -> Decoder:
    """Return the decoder that a system file describes. It runs in ``folder``, with the harness's environment."""
    if described.command is not None:
        return Decoder(commands.with_own_python(shlex.split(described.command)), folder)
    return Decoder([sys.executable, "-m", _FUNCTION, described.function or ""], folder)


class Decoder:
    """Runs the program from the first value on, until it is closed or fails; the next value starts it again.

    Each batch of values ends with an empty one, whose answer must always be the same: a program that prints more lines
    than it is given would say of one record what is in another.
    """

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self._words, self._folder = words, folder
        self._child: Process | None = None
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the program
        self._to_nothing: bytes | None = None
        self.longest = commands.LONGEST
        """Seconds that an answer may take."""

    async def decode(self, values: Sequence[bytes]) -> list[bytes | None]:
        """Return the JSON text of each value; None for one that cannot be decoded.

        Raises StackError if the program cannot be started, ends, does not answer in time, or answers out of step.
        """
        try:
            *answers, to_nothing = await self._answers([*values, b""])
            self._check_step(to_nothing)
        except BaseException:
            await self._end()
            raise
        return [None if answer == b"null" else answer for answer in answers]

    async def close(self) -> None:
        """End the program."""
        await self._end()
        self._output.close()

    async def _answers(self, values: Sequence[bytes]) -> list[bytes]:
        child = self._child = self._child or await self._start()
        assert child.stdout is not None  # noqa: S101 - as _start made it
        # Beside the reading: a program that waits for its answers to be read takes no more values.
        giving = asyncio.create_task(_give(child, values))
        try:
            return [await self._answer(child, child.stdout) for _ in values]
        finally:
            giving.cancel()
            await asyncio.gather(giving, return_exceptions=True)

    async def _answer(self, child: Process, answers: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self.longest):
                line = await answers.readline()
                if not line.endswith(b"\n"):
                    raise StackError(f"decode: it ended with status {await child.wait()}{self._said()}")
        except TimeoutError as error:
            raise StackError(f"decode: it gave no answer within {self.longest:g} s{self._said()}") from error
        answer = line.strip()
        if not _is_json(answer):
            shown = answer[:_SHOWN].decode("utf-8", "replace")
            raise StackError(
                f"decode: its answer is no JSON: {shown}; print one line of JSON for each value, `null` for one that cannot be "
                f"decoded, and all else on standard error{self._said()}"
            )
        return answer

    def _in_step(self, to_nothing: bytes) -> None:
        if self._to_nothing not in {None, to_nothing}:
            raise StackError("decode: it printed more lines than it was given; print one for each, and nothing else")
        self._to_nothing = to_nothing

    def _check_step(self, to_nothing: bytes) -> None:
        if self._to_nothing not in {None, to_nothing}:
            raise StackError("decode: it printed more lines than it was given; print one for each, and nothing else")
        self._to_nothing = to_nothing

    async def _start(self) -> Process:
        self._output.truncate(0)
        try:
            return await asyncio.create_subprocess_exec(
                *self._words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=self._output,
                cwd=self._folder,
                limit=_LONGEST_LINE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise StackError(f"decode: it cannot be started: {error}") from error

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()

    def _said(self) -> str:
        self._output.seek(0)
        said = self._output.read().decode(errors="replace").strip()
        return f"; it said: {said[-commands.TOLD :]}" if said else ""


async def _give(child: Process, values: Sequence[bytes]) -> None:
    assert child.stdin is not None  # noqa: S101 - as Decoder._start made it
    for value in values:
        child.stdin.write(base64.b64encode(value) + b"\n")
        await child.stdin.drain()


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            json.loads(text)  # it accepts some of what many programs print, such as NaN
        except ValueError:
            return False
    return True
