"""Values that the harness itself made malformed; a copy counts as malformed too, whoever publishes it."""

from __future__ import annotations

import hashlib


class Spoiled:
    """The values that faults made malformed, and why. Faults note a value before publishing it."""

    def __init__(self) -> None:
        self._reasons: dict[bytes, str] = {}

    def note(self, value: bytes | None, reason: str) -> None:
        """Note that a fault is about to publish ``value``, which is no event."""
        self._reasons[_digest(value)] = reason

    def reason(self, value: bytes | None) -> str | None:
        """Return why the harness made these bytes no event, or None if it did not."""
        return self._reasons.get(_digest(value)) if self._reasons else None


def _digest(value: bytes | None) -> bytes:
    return hashlib.sha256(value or b"").digest()
