"""The content service's settings."""

from pathlib import Path
from typing import ClassVar

from pydantic import PositiveInt

from reference_impl.service_libs.settings import ServiceSettings


class ContentServiceSettings(ServiceSettings):
    """Where blobs lie, and how large one may be, in bytes."""

    SERVICE: ClassVar[str] = "content_service"

    blob_dir: Path
    """Folder of the blobs."""
    max_blob_bytes: PositiveInt = 16 * 1024 * 1024
    """A larger blob is refused."""
