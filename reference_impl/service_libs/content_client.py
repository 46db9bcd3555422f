"""An HTTP client for the content service."""

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

_RETRIABLE = frozenset({408, 425, 429})
"""Temporary refusals; any other 4xx means that there is no such blob."""

_AT_ONCE = 32
_IDLE_SECONDS = 5.0
"""Longest idle time of a connection: a middlebox may silently drop one that is idle for longer."""


class ContentClient:
    """Stores and fetches blobs, each named by its SHA-256; what comes back is checked against its name.

    Requests run in the client's own threads, over a synchronous client: an asynchronous one takes several times the
    CPU. ``timeout_seconds`` bounds connecting, sending and each wait for more of the answer; no call takes longer than
    three times that, including its wait for a thread.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url = url
        self._path = urlsplit(url).path.rstrip("/")
        self._seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(_AT_ONCE, "content")
        self._renew()
        self.reached = False
        """Whether the service ever answered."""

    async def start(self) -> None:
        """Check that the service is ready. Raises ``ContentUnavailable``."""
        answer = await self._ask("GET", "/readyz")
        if answer.status != HTTPStatus.OK:
            raise ContentUnavailable(f"GET /readyz: {answer.status}")
        self.reached = True

    async def stop(self) -> None:
        """Wait for running requests, and close every connection."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._pool.close()

    async def store_content(self, content: bytes, content_type: ContentType) -> str:
        """Store bytes durably and return their storage id; idempotent. Raises ``ContentUnavailable``."""
        answer = await self._ask("POST", f"/v1/content?content_type={content_type.value}", content)
        expected = hashlib.sha256(content).hexdigest()
        if answer.status != HTTPStatus.OK or _storage_id(answer) != expected:
            raise ContentUnavailable(f"POST /v1/content: {answer.status} {answer.data[:200]!r}")
        return expected

    async def fetch_content(self, storage_id: str) -> bytes:
        """Return a blob's bytes.

        Raises ``ContentMissing`` if there is no such blob or its bytes do not match its name, and
        ``ContentUnavailable``.
        """
        answer = await self._ask("GET", f"/v1/content/{storage_id}")
        refused = HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        if refused and answer.status not in _RETRIABLE:
            raise ContentMissing(f"no blob {storage_id}: {answer.status}")
        if answer.status != HTTPStatus.OK:
            raise ContentUnavailable(f"GET /v1/content/{storage_id}: {answer.status}")
        if hashlib.sha256(answer.data).hexdigest() != storage_id:
            raise ContentMissing(f"blob {storage_id} holds other bytes than its name says")
        return answer.data

    def _renew(self) -> None:
        """Replace the pool; running requests keep the old one, whose connections close with the last of them."""
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
        # The server may have just closed this kept-alive connection; every request here is idempotent.
        return pool.urlopen(method, path, body)


def _storage_id(answer: BaseHTTPResponse) -> object:
    try:
        document = answer.json()
    except ValueError:
        return None
    return document.get("storage_id") if isinstance(document, dict) else None
