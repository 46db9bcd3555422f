"""What a load passes to the sender of its uploads, and the result that it gets back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.load.documents import Document

Phase = Literal["ok", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload to send: its ids, its document, and the filled-in template as JSON, which is empty if there is none."""

    id: str
    batch: str
    batch_size: int
    document: Document
    body: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """How one try of an upload ended."""

    phase: Phase
    status: int | None = None
    """The HTTP status, if it was sent over HTTP and answered."""
    error: str = ""
    raw: str | None = None
    """The raw blob's id, if the system named it."""
    sha256: str | None = None
    """The SHA-256 of the raw bytes, if the sender reports it; a front door over HTTP does not."""


class Sender(Protocol):
    """Sends uploads, several at a time."""

    async def send(self, upload: Upload, begun: Callable[[], object]) -> Sent:
        """Try once, and call ``begun`` as soon as the upload is on its way; never raises for what the system does."""

    async def close(self) -> None:
        """Release its resources, once every upload has ended; StackError if the sender then reports a failure."""

    async def end(self) -> None:
        """Release its resources, whatever is under way."""
