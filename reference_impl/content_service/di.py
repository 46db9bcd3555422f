"""What the content service is made of."""

from __future__ import annotations

from dishka import AnyOf, Provider, Scope, provide

from reference_impl.content_service.app import build_app
from reference_impl.content_service.config import ContentServiceSettings
from reference_impl.content_service.core_logic import BlobStore
from reference_impl.service_libs.clock import SystemClock
from reference_impl.service_libs.serving import Service
from reference_impl.service_libs.settings import ServiceSettings, load


class ContentServiceProvider(Provider):
    """Settings, the blob store, the service."""

    @provide(scope=Scope.APP)
    def settings(self) -> AnyOf[ContentServiceSettings, ServiceSettings]:
        """From the environment."""
        return load(ContentServiceSettings)

    @provide(scope=Scope.APP)
    async def blobs(self, settings: ContentServiceSettings) -> BlobStore:
        """A folder that is there."""
        store = BlobStore(settings.blob_dir, SystemClock())
        await store.start()
        return store

    @provide(scope=Scope.APP)
    def service(self, settings: ContentServiceSettings, blobs: BlobStore) -> Service:
        """The whole."""
        return Service(build_app(blobs, max_blob_bytes=settings.max_blob_bytes))


def providers() -> list[Provider]:
    """All that the service needs."""
    return [ContentServiceProvider()]
