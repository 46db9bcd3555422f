"""HTTP refusals, always JSON: ``{"error": a word, "detail": a sentence}``."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response


class Refused(Exception):
    """Refuses a request with an HTTP status, a word for programs and a sentence for people."""

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
    return _answer(400, "incomplete", "the client disconnected before the end of the body")


async def _broken(_: Request, _error: Exception) -> Response:
    return _answer(500, "internal", "internal error; see the service's log")


REFUSALS: Mapping[Any, Callable[[Request, Exception], Coroutine[None, None, Response]]] = {
    Refused: _refused,
    HTTPException: _http,
    ClientDisconnect: _gone,
    Exception: _broken,
}
"""Maps an exception to its answer: ``Refused`` and the framework's own refusals take the same form."""


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, of at most ``limit`` bytes; refuse a longer one as soon as its length shows."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise Refused(413, "too_large", f"{declared} bytes; at most {limit} are accepted")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Refused(413, "too_large", f"more than {limit} bytes")
    return bytes(body)


def _answer(status: int, error: str, detail: str) -> JSONResponse:
    headers = {"Retry-After": "1"} if status == 503 else None  # noqa: PLR2004 - Service Unavailable
    return JSONResponse({"error": error, "detail": detail}, status_code=status, headers=headers)
