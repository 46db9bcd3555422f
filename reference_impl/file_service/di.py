"""What the file service is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator

from dishka import AnyOf, Provider, Scope, provide

from reference_impl.file_service import store
from reference_impl.file_service.app import build_app
from reference_impl.file_service.config import FileServiceSettings
from reference_impl.file_service.core_logic import UploadDesk
from reference_impl.file_service.extraction import IsolatedExtractor, Limits
from reference_impl.file_service.protocols import ContentServiceClientProtocol, ExtractorProtocol
from reference_impl.file_service.store import UploadStore
from reference_impl.file_service.worker import Worker
from reference_impl.service_libs import outbox
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.di import OutboxProvider, SurroundingsProvider
from reference_impl.service_libs.outbox import Outbox, Relay
from reference_impl.service_libs.readiness import PublisherChecks
from reference_impl.service_libs.retention import Retention
from reference_impl.service_libs.serving import Service
from reference_impl.service_libs.settings import (
    ContentSettings,
    DatabaseSettings,
    KafkaSettings,
    OutboxSettings,
    ServiceSettings,
    load,
)


class FileServiceProvider(Provider):
    """Settings, the desk, the worker, the service."""

    @provide(scope=Scope.APP)
    def settings(
        self,
    ) -> AnyOf[
        FileServiceSettings, ServiceSettings, DatabaseSettings, ContentSettings, KafkaSettings, OutboxSettings
    ]:
        """From the environment."""
        return load(FileServiceSettings)

    @provide(scope=Scope.APP)
    async def extractor(self, settings: FileServiceSettings) -> AsyncIterator[ExtractorProtocol]:
        """The extractor and its limits."""
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

    @provide(scope=Scope.APP)
    def uploads(self, settings: FileServiceSettings, database: Database, outbox: Outbox, clock: Clock) -> UploadStore:
        """The upload table."""
        return UploadStore(database, outbox, clock, settings.topic_essays)

    @provide(scope=Scope.APP)
    def desk(
        self, settings: FileServiceSettings, content: ContentServiceClientProtocol, uploads: UploadStore
    ) -> UploadDesk:
        """The front door's logic."""
        return UploadDesk(
            content,
            uploads,
            max_bytes=settings.max_upload_bytes,
            max_unpacked_bytes=settings.max_unpacked_bytes,
            extractor_version=settings.extractor_version,
        )

    worker = provide(Worker, scope=Scope.APP)

    @provide(scope=Scope.APP)
    def service(  # noqa: PLR0913, PLR0917 - what the service is made of
        self,
        settings: FileServiceSettings,
        desk: UploadDesk,
        worker: Worker,
        relay: Relay,
        retention: Retention,
        needed: PublisherChecks,
    ) -> Service:
        """The whole."""
        app = build_app(desk, max_upload_bytes=settings.max_upload_bytes, needed=needed)
        return Service(app, (worker.run, relay.run, retention.run))


def providers() -> list[Provider]:
    """All that the service needs."""
    return [SurroundingsProvider(), OutboxProvider([outbox.MIGRATION, store.MIGRATION]), FileServiceProvider()]
