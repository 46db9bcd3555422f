"""The content service's settings."""

from pathlib import Path
from typing import ClassVar

from pydantic import PositiveInt

from reference_impl.service_libs.settings import ServiceSettings


class ContentServiceSettings(ServiceSettings):
    """Settings of the content service."""

    SERVICE: ClassVar[str] = "content_service"

    blob_dir: Path
    """Folder for the blobs."""
    max_blob_bytes: PositiveInt = 16 * 1024 * 1024
    """Largest accepted blob."""
