"""The content service, over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, Timeout, connection_from_url
from urllib3.exceptions import HTTPError, ProtocolError

from reference_impl.common_core.enums import ContentType
from reference_impl.service_libs.errors import ContentMissing, ContentUnavailable

_TRY_AGAIN = frozenset({408, 425, 429})
"""Refusals that speak of the moment; every other 4xx says that there is no such blob."""

_AT_ONCE = 32
_IDLE_SECONDS = 5.0
"""No connection lies idle for longer: what stands between may forget it without a word."""


class ContentClient:
    """Stores and fetches blobs, each named by its SHA-256; what comes back is compared with its name.

    It asks in threads of its own, with a plain client: an asynchronous one takes several times as much of the machine.
    ``timeout_seconds`` bounds the connecting, the sending and each wait for more of the answer; no call takes longer
    than three times that, its wait for a thread included.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url = url
        self._path = urlsplit(url).path.rstrip("/")
        self._seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(_AT_ONCE, "content")
        self._renew()
        self.reached = False
        """Whether it ever answered."""

    async def start(self) -> None:
        """See whether the service is ready. Raises ``ContentUnavailable``."""
        answer = await self._ask("GET", "/readyz")
        if answer.status != HTTPStatus.OK:
            raise ContentUnavailable(f"GET /readyz: {answer.status}")
        self.reached = True

    async def stop(self) -> None:
        """Wait for what is under way, and close every connection."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._pool.close()

    async def store_content(self, content: bytes, content_type: ContentType) -> str:
        """The storage id, when the bytes are durable. Asked twice, it stores once."""
        answer = await self._ask("POST", f"/v1/content?content_type={content_type.value}", content)
        expected = hashlib.sha256(content).hexdigest()
        if answer.status != HTTPStatus.OK or _storage_id(answer) != expected:
            raise ContentUnavailable(f"POST /v1/content: {answer.status} {answer.data[:200]!r}")
        return expected

    async def fetch_content(self, storage_id: str) -> bytes:
        """The bytes. Raises ``ContentMissing`` if the service has none of that name, or others than the name says."""
        answer = await self._ask("GET", f"/v1/content/{storage_id}")
        refused = HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        if refused and answer.status not in _TRY_AGAIN:
            raise ContentMissing(f"no blob {storage_id}: {answer.status}")
        if answer.status != HTTPStatus.OK:
            raise ContentUnavailable(f"GET /v1/content/{storage_id}: {answer.status}")
        if hashlib.sha256(answer.data).hexdigest() != storage_id:
            raise ContentMissing(f"blob {storage_id} holds other bytes than its name says")
        return answer.data

    def _renew(self) -> None:
        """Calls that are under way keep the pool that they began with; with the last of them its connections close."""
        self._pool = connection_from_url(
            self._url, maxsize=_AT_ONCE, retries=False, timeout=Timeout(connect=self._seconds, read=self._seconds)
        )
        self._renewed = time.monotonic()

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> BaseHTTPResponse:
        if time.monotonic() - self._renewed > _IDLE_SECONDS:
            self._renew()
        call = partial(_request, self._pool, method, self._path + path, body)
        try:
            async with asyncio.timeout(3 * self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (HTTPError, TimeoutError) as error:
            raise ContentUnavailable(f"{method} {path}: {error!r}") from error


def _request(pool: HTTPConnectionPool, method: str, path: str, body: bytes | None) -> BaseHTTPResponse:
    try:
        return pool.urlopen(method, path, body)
    except ProtocolError as error:
        if not isinstance(error.args[-1], ConnectionError):
            raise
        # It may be a kept connection that the server was just closing; all that is asked here may be asked twice.
        return pool.urlopen(method, path, body)


def _storage_id(answer: BaseHTTPResponse) -> object:
    try:
        document = answer.json()
    except ValueError:
        return None
    return document.get("storage_id") if isinstance(document, dict) else None
