"""What the content service is made of."""

from dishka import Provider

from reference_impl.content_service.app import build_app
from reference_impl.content_service.config import ContentServiceSettings
from reference_impl.content_service.core_logic import BlobStore
from reference_impl.service_libs.clock import SystemClock
from reference_impl.service_libs.di import own_provider
from reference_impl.service_libs.serving import Service


def service(settings: ContentServiceSettings) -> Service:
    """The whole, on a folder that is there."""
    blobs = BlobStore(settings.blob_dir, SystemClock())
    blobs.start()
    return Service(build_app(blobs, max_blob_bytes=settings.max_blob_bytes))


def providers() -> list[Provider]:
    """All that the service needs."""
    return [own_provider(ContentServiceSettings, service)]
