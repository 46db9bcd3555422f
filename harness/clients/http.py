"""The harness's own HTTP: uploads to the front door, and blobs read past the proxies."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

import httpx

UPLOAD_TIMEOUT = 15.0
"""Seconds until a client gives up on an upload's answer; longer than a front door should take to say 503."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: ``status`` None means no answer (time-out, reset, refused), and ``error`` says which."""

    status: int | None
    body: object = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """One look at a blob. ``phase`` is present, missing or unreachable."""

    phase: str
    size: int | None = None
    sha256: str | None = None
    error: str = ""


class HttpClient:
    """One connection pool; ``close`` ends it."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=256, max_keepalive_connections=64)
        # trust_env off: a proxy named in the environment must never stand between the harness and loopback.
        self._client = httpx.AsyncClient(timeout=UPLOAD_TIMEOUT, limits=limits, trust_env=False)

    async def upload(  # noqa: PLR0913 - what a form consists of
        self,
        url: str,
        *,
        field: str,
        name: str,
        content: bytes,
        headers: Mapping[str, str],
        fields: Mapping[str, str],
    ) -> Answer:
        """POST one file, and further ``fields``, as multipart form data; never raises for what the server does."""
        return await _answer(self._client.post(url, files={field: (name, content)}, data=fields, headers=headers))

    async def post(self, url: str) -> Answer:
        """POST without a body; never raises for what the server does."""
        return await _answer(self._client.post(url))

    async def blob(self, url: str) -> Blob:
        """GET one blob: 404 and 410 are missing, any other refusal or no answer is unreachable."""
        try:
            response = await self._client.get(url)
        except httpx.HTTPError as error:
            return Blob("unreachable", error=f"{type(error).__name__}: {error}".rstrip(": "))
        if response.status_code in {404, 410}:
            return Blob("missing")
        if not response.is_success:
            return Blob("unreachable", error=f"HTTP {response.status_code}")
        return Blob("present", len(response.content), hashlib.sha256(response.content).hexdigest())

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


async def _answer(asked: Awaitable[httpx.Response]) -> Answer:
    try:
        response = await asked
    except httpx.HTTPError as error:
        return Answer(None, error=f"{type(error).__name__}: {error}".rstrip(": "))
    try:
        body: object = response.json()
    except ValueError:
        body = None
    return Answer(response.status_code, body, "" if response.is_success else response.text[:200])
