"""Providers of the content service."""

from dishka import Provider

from reference_impl.content_service.app import build_app
from reference_impl.content_service.config import ContentServiceSettings
from reference_impl.content_service.core_logic import BlobStore
from reference_impl.service_libs.clock import SystemClock
from reference_impl.service_libs.provider import own_provider
from reference_impl.service_libs.serving import Service


def service(settings: ContentServiceSettings) -> Service:
    """Assemble the service, on a folder that exists."""
    blobs = BlobStore(settings.blob_dir, SystemClock())
    blobs.start()
    return Service(build_app(blobs, max_blob_bytes=settings.max_blob_bytes))


def providers() -> list[Provider]:
    """Return the service's providers."""
    return [own_provider(ContentServiceSettings, service)]
