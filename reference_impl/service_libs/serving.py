"""Runs one service process: its HTTP server, its background tasks, and an orderly shutdown."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field

import structlog
import uvicorn
from dishka import Provider, make_async_container
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from reference_impl.service_libs import logging
from reference_impl.service_libs.logging import brief
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.settings import ServiceSettings

_log = structlog.get_logger()

LONGEST_END_SECONDS = 4.5
"""Longest time to shut down; a supervisor may lose patience after 5 s."""


@dataclass(frozen=True)
class Service:
    """A service, as its providers build it. Each of ``background`` runs until it is cancelled."""

    app: Starlette
    background: Sequence[Callable[[], Coroutine[None, None, None]]] = ()
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.app.add_route("/metrics", self._exposition)

    async def _exposition(self, _: Request) -> Response:
        return Response(self.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


class _Server(uvicorn.Server):
    """A server that ignores signals: uvicorn would re-raise them, and the process would not exit with 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(*providers: Provider) -> None:
    """Run a service until SIGTERM or SIGINT; exit with 0 then, or with 1 if a part of it failed."""
    raise SystemExit(asyncio.run(serve(*providers)))


async def serve(*providers: Provider) -> int:
    """Start the providers' service, wait for a signal or a failure, and stop it in reverse order."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    container = make_async_container(*providers)
    settings = await container.get(ServiceSettings)
    logging.configure(settings.SERVICE, settings.log_level)
    try:
        waiting = asyncio.create_task(stopping.wait())
        building = asyncio.create_task(container.get(Service))
        await asyncio.wait((waiting, building), return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            building.cancel()
            return _leaving(0)
        async with _running(await building, settings, stopping) as running:
            await asyncio.wait((waiting, *running), return_when=asyncio.FIRST_COMPLETED)
            if stopping.is_set():
                return _leaving(0)
            for task in running:
                if task.done():
                    error = task.exception()
                    _log.critical("part of the service ended", what=task.get_name(), error=error and brief(error))
            return _leaving(1)
    finally:
        waiting.cancel()
        await container.close()


def _leaving(status: int) -> int:
    """Ensure that the process exits in time, whatever is stuck: a thread deep in a document cannot be cancelled."""
    asyncio.get_running_loop().call_later(LONGEST_END_SECONDS, os._exit, status)
    return status


@contextlib.asynccontextmanager
async def _running(
    service: Service, settings: ServiceSettings, stopping: asyncio.Event
) -> AsyncIterator[list[asyncio.Task[None]]]:
    server = _Server(
        uvicorn.Config(
            service.app,
            host=settings.listen_host,
            port=settings.port,
            loop="asyncio",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=3,
            timeout_keep_alive=60,  # longer than our clients keep idle connections
        )
    )
    http = asyncio.create_task(server.serve(), name="http")
    background = [
        asyncio.create_task(run(), name=getattr(run, "__qualname__", repr(run))) for run in service.background
    ]
    try:
        yield [http, *background]
    finally:
        stopping.set()
        server.should_exit = True
        for task in background:
            task.cancel()
        await asyncio.wait((http, *background), timeout=LONGEST_END_SECONDS * 3 / 4)
