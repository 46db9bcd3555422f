"""The harness's HTTP client: uploads to the front door, and reads of blobs, bypassing the proxies."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from harness.errors import StackError

UPLOAD_TIMEOUT = 15.0
"""Seconds to wait for an upload's answer; longer than a front door should take to answer 503."""

_REDIRECTS: Final = 3
"""Redirects on the way to a blob: to a store's presigned address, or to another scheme."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. ``status`` None means that none came (time-out, reset, refused); ``error`` says which."""

    status: int | None
    body: object = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """One read of a blob; ``phase`` is present, missing or unreachable."""

    phase: str
    size: int | None = None
    sha256: str | None = None
    error: str = ""
    led: httpx.URL | None = None
    """Where redirects led; None if there were none."""
    sent: str | None = None
    """The SHA-256 of what was sent, if that was encoded (``Content-Encoding``), as a file that is a .gz may be labelled."""
    measured: bool = True
    """Whether the answer said where it ends. If not, it ends with its connection, as what a killed service left unfinished."""


class HttpClient:
    """A client with one connection pool, until ``close``."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=256, max_keepalive_connections=64)
        # trust_env off: no proxy from the environment may come between the harness and loopback.
        self._client = httpx.AsyncClient(
            timeout=UPLOAD_TIMEOUT, limits=limits, trust_env=False, max_redirects=_REDIRECTS
        )

    async def upload(  # noqa: PLR0913 - what a form consists of
        self,
        url: str,
        *,
        field: str,
        name: str,
        content: bytes,
        headers: Mapping[str, str],
        fields: Mapping[str, str],
        method: str = "POST",
    ) -> Answer:
        """Send one file and ``fields`` as multipart form data; never raises for what the server does."""
        files = {field: (name, content)}
        # The same bytes on each try, as a front door that compares them requires.
        boundary = hashlib.sha256(content).hexdigest()[:32]
        headers = {**headers, "Content-Type": f"multipart/form-data; boundary={boundary}"}
        return await _answer(self._client.request(method, url, files=files, data=fields, headers=headers))

    async def send(self, method: str, url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one body as it is; never raises for what the server does."""
        return await _answer(self._client.request(method, url, content=content, headers=headers))

    async def post(self, url: str) -> Answer:
        """POST without a body; never raises for what the server does."""
        return await _answer(self._client.post(url))

    async def blob(self, url: str, spoil: Callable[[bytes], bytes] = lambda content: content) -> Blob:
        """GET one blob: 200 brings all of it, 404 and 410 mean missing, and anything else, or no answer, unreachable.

        Redirects are followed, and may lead to something else than the blob; httpx sends what it logs in with to no other
        host. ``spoil`` changes the bytes that came, as damage in the store would.
        """
        plain = {"Accept-Encoding": "identity"}
        try:
            async with self._client.stream("GET", url, follow_redirects=True, headers=plain) as response:
                sent = b"".join([part async for part in response.aiter_raw()])
            content = httpx.Response(response.status_code, headers=response.headers, content=sent).content
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Blob("unreachable", error=f"{type(error).__name__}: {error}".rstrip(": "))
        led = response.url if response.history else None
        if response.status_code in {404, 410}:
            return Blob("missing", led=led)
        if response.status_code != httpx.codes.OK:
            return Blob("unreachable", error=f"HTTP {response.status_code}, and only 200 brings a whole blob")
        if response.history and response.headers.get("Content-Type", "").lower().startswith("text/html"):
            # Its bytes differ from the upload's, but prove nothing about the store.
            return Blob("unreachable", error=f"redirected to a page of {response.url.host}, perhaps to log in")
        sha256, as_sent = (hashlib.sha256(spoil(one)).hexdigest() for one in (content, sent))
        encoded = as_sent if "Content-Encoding" in response.headers else None
        measured = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
        return Blob("present", len(content), sha256, led=led, sent=encoded, measured=measured)

    async def whole(self, url: str) -> bytes:
        """GET an answer that must be complete; raises StackError if it does not come, or is one page of several."""
        try:
            response = await self._client.get(url)
        except httpx.HTTPError as error:
            raise StackError(f"no answer: {type(error).__name__}: {error}".rstrip(": ")) from error
        if response.status_code != httpx.codes.OK:
            raise StackError(f"HTTP {response.status_code}: {response.text[:200]}".rstrip(": "))
        if "next" in response.links:
            raise StackError("the answer is one page of several (Link: rel=next); ask for all in one answer")
        return response.content

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


async def _answer(request: Awaitable[httpx.Response]) -> Answer:
    try:
        response = await request
    except httpx.HTTPError as error:
        return Answer(None, error=f"{type(error).__name__}: {error}".rstrip(": "))
    try:
        body: object = response.json()
    except ValueError:
        body = None
    return Answer(response.status_code, body, "" if response.is_success else response.text[:200])
