"""The content service, over HTTP."""

from __future__ import annotations

import hashlib

import httpx

from reference_impl.common_core.enums import ContentType
from reference_impl.service_libs.errors import ContentMissing, ContentUnavailable

_TRY_AGAIN = frozenset({408, 425, 429})
"""Refusals that speak of the moment; every other 4xx says that there is no such blob."""


class ContentClient:
    """Stores and fetches blobs, each named by its SHA-256; what comes back is compared with its name."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        # Idle connections end here before they end there: no request meets one that the server is just closing.
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5)
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_seconds, limits=limits, trust_env=False)
        self.reached = False
        """Whether it ever answered."""

    async def start(self) -> None:
        """See whether the service is ready. Raises ``ContentUnavailable``."""
        answer = await self._ask(self._http.build_request("GET", "/readyz"))
        if not answer.is_success:
            raise ContentUnavailable(f"GET /readyz: {answer.status_code}")
        self.reached = True

    async def stop(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def store_content(self, content: bytes, content_type: ContentType) -> str:
        """The storage id, when the bytes are durable. Asked twice, it stores once."""
        answer = await self._ask(
            self._http.build_request(
                "POST", "/v1/content", params={"content_type": content_type.value}, content=content
            )
        )
        expected = hashlib.sha256(content).hexdigest()
        if answer.status_code != httpx.codes.OK or _storage_id(answer) != expected:
            raise ContentUnavailable(f"POST /v1/content: {answer.status_code} {answer.text[:200]}")
        return expected

    async def fetch_content(self, storage_id: str) -> bytes:
        """The bytes. Raises ``ContentMissing`` if the service has none of that name, or others than the name says."""
        answer = await self._ask(self._http.build_request("GET", f"/v1/content/{storage_id}"))
        if httpx.codes.is_client_error(answer.status_code) and answer.status_code not in _TRY_AGAIN:
            raise ContentMissing(f"no blob {storage_id}: {answer.status_code}")
        if answer.status_code != httpx.codes.OK:
            raise ContentUnavailable(f"GET /v1/content/{storage_id}: {answer.status_code}")
        if hashlib.sha256(answer.content).hexdigest() != storage_id:
            raise ContentMissing(f"blob {storage_id} holds other bytes than its name says")
        return answer.content

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = await self._http.send(request)
        except httpx.HTTPError as error:
            raise ContentUnavailable(f"{request.method} {request.url.path}: {error!r}") from error
        return answer


def _storage_id(answer: httpx.Response) -> object:
    try:
        document = answer.json()
    except ValueError:
        return None
    return document.get("storage_id") if isinstance(document, dict) else None
