"""``/healthz`` says that the process lives, ``/readyz`` that what it needs was reached."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from fastapi.responses import JSONResponse

Check = Callable[[], Awaitable[bool]]


def health_routes(needed: Mapping[str, Check], reported: Mapping[str, Check] | None = None) -> APIRouter:
    """Routes over named checks; those in ``reported`` are shown, and do not make a service unready."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        found = {name: await check() for name, check in needed.items()}
        shown = {name: await check() for name, check in (reported or {}).items()}
        ready = all(found.values())
        body = {"status": "ready" if ready else "not ready", "needed": found, "reported": shown}
        return JSONResponse(body, status_code=200 if ready else 503)

    return router
