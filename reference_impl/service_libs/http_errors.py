"""Refusals over HTTP: always JSON, ``{"error": a word, "detail": a sentence}``."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect


class Refused(Exception):
    """A request that gets another answer than it hoped for."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(f"{status} {error}: {detail}")
        self.status = status
        self.error = error
        self.detail = detail


def refuse_in_json(app: FastAPI) -> None:
    """Answer ``Refused`` and the framework's own refusals in the one form."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return _answer(error.status, error.error, error.detail)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return _answer(error.status_code, "http_error", error.detail)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        found = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        return _answer(400, "invalid_request", found)

    @app.exception_handler(Exception)
    async def broken(_: Request, _error: Exception) -> JSONResponse:
        return _answer(500, "internal", "a defect of the service; its log says more")

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, _error: ClientDisconnect) -> JSONResponse:
        return _answer(400, "incomplete", "the client hung up in the middle of the body")


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
