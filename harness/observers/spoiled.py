"""What the harness itself made malformed: it stays malformed, whoever publishes a copy of it."""

from __future__ import annotations

import hashlib


class Spoiled:
    """Values that faults made malformed, and why. Noted before they are published, so that none is seen before."""

    def __init__(self) -> None:
        self._reasons: dict[bytes, str] = {}

    def note(self, value: bytes | None, reason: str) -> None:
        """``value`` is about to be published, and is no event."""
        self._reasons[_digest(value)] = reason

    def reason(self, value: bytes | None) -> str | None:
        """Why these bytes are no event; None if the harness did not make them so."""
        return self._reasons.get(_digest(value)) if self._reasons else None


def _digest(value: bytes | None) -> bytes:
    return hashlib.sha256(value or b"").digest()
