"""The user's programs that turn record values into JSON, and JSON into record values."""

from __future__ import annotations

import base64
import binascii
import json
import shlex
import sys
from typing import TYPE_CHECKING, Final

import orjson

from harness.clients import commands
from harness.clients.line_program import LineProgram

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.coding import Coder, Decode, Encode

_SHOWN: Final = 80
"""Characters of an answer that a message quotes."""

_NOTHING: Final = b"null"
"""The answer to a value that cannot be decoded."""

_FUNCTION: Final = "harness.clients.code_function"
"""The program that calls a function of the user's."""


class Decoder:
    """Turns record values into JSON.

    After each batch it sends an empty value and one decoded before, whose answers must not change: a program that
    prints extra lines would otherwise give one record the value of another.
    """

    def __init__(self, described: Decode, folder: Path, where: str = "") -> None:
        self.program = _program("decode", described, folder, where)
        self._probes: list[bytes] = [b""]
        self._answers: list[bytes] = []

    async def decode(self, values: Sequence[bytes]) -> list[bytes | None]:
        """Return the JSON text of each value; None for one that cannot be decoded.

        Raises StackError if the program fails, or answers with anything but JSON, or out of step.
        """
        try:
            answers = await self._asked(values)
            nothing, *more = self._answers
            known = next((pair for pair in zip(values, answers, strict=True) if pair[1] != nothing), None)
            if not more and known is not None:
                # Between two empty ones: if answers are late by a line, each takes the place of a different one.
                self._probes, self._answers = [b"", known[0], b""], [nothing, known[1], nothing]
                await self._asked([])
        except BaseException:
            await self.program.end()
            raise
        return [None if answer == _NOTHING else answer for answer in answers]

    def said(self) -> str:
        """Return the end of what it printed to standard error."""
        return self.program.said()[-_SHOWN:]

    async def _asked(self, values: Sequence[bytes]) -> list[bytes]:
        every = await self.program.ask([base64.b64encode(value) for value in [*values, *self._probes]])
        if (odd := next((answer for answer in every if not _is_json(answer)), None)) is not None:
            raise self.program.failure(
                f"its answer is not JSON: {_shown(odd)}; print one line of JSON for each value, `null` for one that cannot be "
                "decoded, and all else on standard error"
            )
        answers, probed = every[: len(values)], every[len(values) :]
        if self._answers and probed != self._answers:
            raise self.program.failure(
                "it printed more lines than it was given, or answers one value in two ways; print one line for each value"
            )
        self._answers = probed
        return answers


class Encoder:
    """Turns JSON into record values, and decodes each again to detect a program that answers out of step."""

    def __init__(self, described: Encode, decoder: Decoder, folder: Path) -> None:
        self.program = _program("encode", described, folder)
        self._decoder = decoder

    async def encode(self, text: bytes) -> tuple[bytes, bytes]:
        """Return the value that a JSON text encodes to, and the JSON text that this value decodes to.

        Raises StackError if a program fails, or if its answer is not base64 or cannot be decoded.
        """
        try:
            (answer,) = await self.program.ask([text])
            value = base64.b64decode(answer, validate=True)
            (decoded,) = await self._decoder.decode([value])
        except binascii.Error as error:
            raise self.program.failure(
                f"its answer is not base64: {_shown(answer)}; print one line of it for each"
            ) from error
        if decoded is None:
            raise self.program.failure("events.decode cannot decode what it made")
        return value, decoded

    async def close(self) -> None:
        """End both programs."""
        await self.program.close()
        await self._decoder.program.close()


def _program(what: str, described: Coder, folder: Path, where: str = "") -> LineProgram:
    """Return the program; ``where`` begins its field's name in messages: ``dead_letters.``."""
    if described.command is not None:
        return LineProgram(f"{where}{what}", commands.with_own_python(shlex.split(described.command)), folder)
    return LineProgram(f"{where}{what}", [sys.executable, "-m", _FUNCTION, what, described.function or ""], folder)


def _shown(answer: bytes) -> str:
    return answer[:_SHOWN].decode("utf-8", "replace")


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            json.loads(text)  # it accepts some of what many programs print, such as NaN
        except RecursionError:
            return True  # this parser cannot read it, so only its own record cannot be read
        except ValueError:
            return False
    return True
