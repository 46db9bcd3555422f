"""``/healthz``: the process is alive. ``/readyz``: it has once reached what it needs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from reference_impl.service_libs.http_errors import REFUSALS

Check = Callable[[], Awaitable[Mapping[str, bool]]]
"""Returns, for each dependency's name, whether it was reached."""


def healthy_app(
    needed: Check, routes: Sequence[Route] = (), *, reported: Callable[[], Mapping[str, bool]] = dict
) -> Starlette:
    """Make an app of ``routes`` with health endpoints and JSON refusals; ``reported`` values do not affect readiness."""

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> JSONResponse:
        reached = await needed()
        ready = all(reached.values())
        body = {"status": "ready" if ready else "not ready", "needed": reached, "reported": reported()}
        return JSONResponse(body, status_code=200 if ready else 503)

    health = (Route("/healthz", healthz), Route("/readyz", readyz))
    return Starlette(routes=[*health, *routes], exception_handlers=REFUSALS)
