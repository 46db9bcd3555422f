"""``/healthz``: the process is alive. ``/readyz``: it has once reached what it needs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import ContentUnavailable
from reference_impl.service_libs.http_errors import REFUSALS
from reference_impl.service_libs.kafka_bus import KafkaBus

Check = Callable[[], Awaitable[Mapping[str, bool]]]
"""Returns, for each dependency's name, whether it was reached."""


@dataclass(frozen=True)
class Reached:
    """What a service with an outbox must reach; a dependency is not asked again once it was reached."""

    database: Database
    bus: KafkaBus
    content: ContentClient

    async def check(self) -> dict[str, bool]:
        """Return whether the database is migrated, a producer connected once, and the content service answered once."""
        if not self.content.reached:
            with suppress(ContentUnavailable):
                await self.content.start()
        return {
            "database": self.database.started,
            "kafka": self.bus.reached,
            "content_service": self.content.reached,
        }


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
