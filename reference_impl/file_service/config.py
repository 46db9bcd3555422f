"""The file service's settings."""

from typing import ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from reference_impl.file_service.extractor import NEWEST
from reference_impl.service_libs.settings import PublisherSettings


class FileServiceSettings(PublisherSettings):
    """Limits of an upload, and how the worker claims."""

    SERVICE: ClassVar[str] = "file_service"

    max_upload_bytes: PositiveInt = 5 * 1024 * 1024
    """A larger file is refused."""
    max_text_characters: PositiveInt = 50_000
    """A longer text is rejected."""
    max_unpacked_bytes: PositiveInt = 50 * 1024 * 1024
    """A larger unpacked document is refused."""
    extract_cpu_seconds: PositiveFloat = 10.0
    """A document that takes more of a core is rejected."""
    extract_memory_bytes: PositiveInt = 1024 * 1024 * 1024
    """Memory of a process that extracts, the process itself included; a document that takes more is rejected."""
    worker_parallel: PositiveInt = 4
    """Uploads extracted at once, each in a process of its own."""
    worker_poll_seconds: PositiveFloat = 0.2
    """How often the worker looks for uploads that another process recorded."""
    claim_seconds: PositiveFloat = 30.0
    """How long an upload is a worker's before another may take it."""
    max_claims: PositiveInt = 20
    """So many claims may end with neither an outcome nor an error: each of them ended a process, by all one can tell."""
    extractor_version: int = Field(NEWEST, ge=1, le=NEWEST)
    """Version of the extractor for new uploads."""
