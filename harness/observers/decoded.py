"""Records whose values are no JSON, as the JSON that the user's decoder makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from harness.observers.spoiled import Spoiled
from harness.observers.topics import Reader
from harness.stack import Record

UNDECODED = "not decodable"
"""Why a record of which the decoder makes nothing is malformed."""


class Decodes(Protocol):
    """Makes JSON of values."""

    async def decode(self, values: Sequence[bytes]) -> list[bytes | None]:
        """Return the JSON text of each value; None for one that cannot be decoded."""
        ...


class Decoded:
    """Reads what another reader does, decoded. What a fault spoiled stays as it is, and so does what cannot be decoded."""

    def __init__(self, reader: Reader, decoder: Decodes, spoiled: Spoiled) -> None:
        self._reader, self._decoder, self._spoiled = reader, decoder, spoiled
        self._left: list[Record] = []

    async def pass_to_end(self) -> Sequence[Record]:
        """Return the records that became visible since the last pass, and those whose decoding failed then.

        Raises StackError if that fails.
        """
        self._left += await self._reader.pass_to_end()
        values = dict.fromkeys(record.value for record in self._left if record.value is not None)
        asked = [value for value in values if self._spoiled.reason(value) is None]
        answers = dict(zip(asked, await self._decoder.decode(asked), strict=True)) if asked else {}
        for value, answer in answers.items():
            if answer is None:
                self._spoiled.note(value, UNDECODED)
        left, self._left = self._left, []
        return [replace(one, value=answers.get(one.value or b"") or one.value) for one in left]
