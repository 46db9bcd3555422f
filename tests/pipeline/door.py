"""The front door as its contract has it: a 503 says that a second try, under the same key, may be taken."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx

from harness.load.documents import Document

GENEROUS: Final = 120.0
"""Seconds until a test gives up waiting for a condition."""


async def hand_in(  # noqa: PLR0917 - what an upload consists of
    http: httpx.AsyncClient, url: str, key: str, document: Document, batch: str, size: int
) -> httpx.Response:
    """The answer that decides on an upload; TimeoutError if none comes."""
    async with asyncio.timeout(GENEROUS):
        while True:
            answer = await http.post(
                url,
                files={"file": (document.file_name, document.content)},
                data={"batch_id": batch, "batch_size": str(size)},
                headers={"Idempotency-Key": key},
            )
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            await asyncio.sleep(float(answer.headers["Retry-After"]))
