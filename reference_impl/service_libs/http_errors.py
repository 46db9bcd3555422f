"""Refusals over HTTP: always JSON, ``{"error": a word, "detail": a sentence}``."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response


class Refused(Exception):
    """A request that gets another answer than it hoped for."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(f"{status} {error}: {detail}")
        self.status = status
        self.error = error
        self.detail = detail


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - what it is registered for
    return _answer(error.status, error.error, error.detail)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    return _answer(error.status_code, "http_error", error.detail)


async def _gone(_: Request, _error: Exception) -> Response:
    return _answer(400, "incomplete", "the client hung up in the middle of the body")


async def _broken(_: Request, _error: Exception) -> Response:
    return _answer(500, "internal", "a defect of the service; its log says more")


REFUSALS: Mapping[Any, Callable[[Request, Exception], Coroutine[None, None, Response]]] = {
    Refused: _refused,
    HTTPException: _http,
    ClientDisconnect: _gone,
    Exception: _broken,
}
"""Exception -> the answer to it: ``Refused`` and the framework's own refusals in the one form."""


async def read_body(request: Request, limit: int) -> bytes:
    """The body, of at most ``limit`` bytes; a longer one is refused as soon as that shows, unread."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise Refused(413, "too_large", f"{declared} bytes; at most {limit} are taken")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Refused(413, "too_large", f"more than {limit} bytes")
    return bytes(body)


def _answer(status: int, error: str, detail: str) -> JSONResponse:
    headers = {"Retry-After": "1"} if status == 503 else None  # noqa: PLR2004 - Service Unavailable
    return JSONResponse({"error": error, "detail": detail}, status_code=status, headers=headers)
