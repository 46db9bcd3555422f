"""Records whose values are not JSON, decoded by the user's decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from harness.clients.coders import Decoder
from harness.coding import Decode
from harness.observers.sources import Reader as Closing
from harness.observers.spoiled import Spoiled
from harness.observers.topics import Reader
from harness.observers.unreadable import Undecoded
from harness.stack import Record


class Decodes(Protocol):
    """Turns record values into JSON."""

    async def decode(self, values: Sequence[bytes]) -> list[bytes | None]:
        """Return the JSON text of each value; None for one that cannot be decoded."""

    def said(self) -> str:
        """Return the tail of its standard error."""


class Decoded:
    """Decodes the records of another reader. Values that a fault spoiled keep their bytes."""

    def __init__(self, reader: Reader, decoder: Decodes, spoiled: Spoiled) -> None:
        self._reader, self._decoder, self._spoiled = reader, decoder, spoiled
        self._left: list[Record] = []

    async def pass_to_end(self) -> Sequence[Record]:
        """Return the records that became visible since the last pass, and those left from a pass whose decoding failed.

        Raises StackError if decoding fails.
        """
        self._left += await self._reader.pass_to_end()
        values = list(dict.fromkeys(record.value for record in self._left if record.value is not None))
        answers = await self._decoder.decode(values) if values else []
        made = {value: self._made(value, answer) for value, answer in zip(values, answers, strict=True)}
        left, self._left = self._left, []
        return [replace(one, value=made.get(one.value) if one.value is not None else None) for one in left]

    def _made(self, value: bytes, answer: bytes | None) -> bytes:
        spoiled = self._spoiled.reason(value) is not None
        if answer is None:
            said = self._decoder.said()
            why = f"the decoder could not decode it{f'; it last printed: {said}' if said else ''}"
            return value if spoiled else Undecoded(value, why)
        return (
            Undecoded(value, "a fault published it as malformed, but the decoder accepts it") if spoiled else answer
        )


async def decoded(reader: Closing, described: Decode | None, folder: Path, where: str = "") -> Closing:
    """Return ``reader`` with its own decoder, which has been tried; ``reader`` itself if ``described`` is None.

    ``where`` is the field's prefix in messages, such as ``dead_letters.``. Raises StackError if the decoder fails.
    """
    if described is None:
        return reader
    decoder = Decoder(described, folder, where)
    own = _OwnDecoder(reader, decoder)
    try:
        await decoder.decode([])
    except BaseException:
        await own.close()
        raise
    return own


class _OwnDecoder:
    """A reader and its decoder, closed together."""

    def __init__(self, reader: Closing, decoder: Decoder) -> None:
        self._reader, self._decoder = reader, decoder
        self._decoded = Decoded(reader, decoder, Spoiled())

    async def pass_to_end(self) -> Sequence[Record]:
        return await self._decoded.pass_to_end()

    async def close(self) -> None:
        try:
            await self._reader.close()
        finally:
            await self._decoder.program.close()
