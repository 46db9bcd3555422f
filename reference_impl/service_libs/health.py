"""``/healthz`` says that the process lives, ``/readyz`` that what it needs was reached."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import ContentUnavailable
from reference_impl.service_libs.http_errors import refuse_in_json
from reference_impl.service_libs.kafka_bus import KafkaBus

Check = Callable[[], Awaitable[Mapping[str, bool]]]
"""Says of each dependency, by its name, whether it was reached."""


@dataclass(frozen=True)
class Reached:
    """What a service with an outbox must have reached; a dependency that was reached once is not asked again."""

    database: Database
    bus: KafkaBus
    content: ContentClient

    async def check(self) -> dict[str, bool]:
        """The database is migrated, the producer connected, and the content service answered once."""
        if not self.content.reached:
            with suppress(ContentUnavailable):
                await self.content.start()
        return {
            "database": self.database.started,
            "kafka": self.bus.connected,
            "content_service": self.content.reached,
        }


def healthy_app(title: str, needed: Check, reported: Callable[[], Mapping[str, bool]] = dict) -> FastAPI:
    """An app that tells its health, and refuses in JSON; what is only ``reported`` does not make it unready."""
    app = FastAPI(title=title, openapi_url=None)
    refuse_in_json(app)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        found = await needed()
        ready = all(found.values())
        body = {"status": "ready" if ready else "not ready", "needed": found, "reported": reported()}
        return JSONResponse(body, status_code=200 if ready else 503)

    return app
