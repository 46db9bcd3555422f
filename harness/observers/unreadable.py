"""Records whose content cannot be determined."""

from __future__ import annotations

from typing import Self


class UnreadableError(ValueError):
    """A record that other parsers may accept as an event, but this one cannot read."""


class Undecoded(bytes):
    """A value that may or may not be an event; ``why`` gives the reason for the doubt."""

    why: str

    def __new__(cls, value: bytes, why: str) -> Self:
        """Keep the bytes as they are."""
        made = super().__new__(cls, value)
        made.why = why
        return made
