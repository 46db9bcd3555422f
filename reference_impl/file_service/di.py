"""Providers of the file service."""

from collections.abc import AsyncIterator

from dishka import Provider

from reference_impl.file_service import store
from reference_impl.file_service.app import build_app
from reference_impl.file_service.config import FileServiceSettings
from reference_impl.file_service.core_logic import UploadDesk
from reference_impl.file_service.extraction import IsolatedExtractor, Limits
from reference_impl.file_service.store import UploadStore
from reference_impl.file_service.worker import Worker
from reference_impl.service_libs import outbox
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.outbox import Relay
from reference_impl.service_libs.publisher import publisher_providers
from reference_impl.service_libs.reached import Reached
from reference_impl.service_libs.retention import Retention
from reference_impl.service_libs.serving import Service


async def extractor(settings: FileServiceSettings) -> AsyncIterator[IsolatedExtractor]:
    """Make the extractor; stop it at the end."""
    extractor = IsolatedExtractor(
        Limits(
            max_characters=settings.max_text_characters,
            max_unpacked_bytes=settings.max_unpacked_bytes,
            cpu_seconds=settings.extract_cpu_seconds,
            memory_bytes=settings.extract_memory_bytes,
        )
    )
    yield extractor
    await extractor.stop()


def service(  # noqa: PLR0913, PLR0917 - what the service is made of
    desk: UploadDesk, worker: Worker, relay: Relay, retention: Retention, reached: Reached, metrics: Metrics
) -> Service:
    """Assemble the service."""
    return Service(build_app(desk, reached.check), (worker.run, relay.run, retention.run), metrics)


def providers() -> list[Provider]:
    """Return the service's providers."""
    migrations = [outbox.MIGRATION, store.MIGRATION]
    return publisher_providers(FileServiceSettings, migrations, UploadStore, UploadDesk, Worker, extractor, service)
