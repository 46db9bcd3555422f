"""What is injected into the content service."""

from __future__ import annotations

from typing import Protocol


class BlobStoreProtocol(Protocol):
    """Keeps bytes under their SHA-256. Raises OSError if the disk does not take or give them."""

    async def put(self, content: bytes) -> str: ...
    async def get(self, storage_id: str) -> bytes | None: ...
