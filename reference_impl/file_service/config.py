"""The file service's settings."""

from typing import ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from reference_impl.file_service.document import NEWEST
from reference_impl.service_libs.settings import PublisherSettings


class FileServiceSettings(PublisherSettings):
    """Settings of the file service: limits of an upload, and how the worker claims uploads."""

    SERVICE: ClassVar[str] = "file_service"

    max_upload_bytes: PositiveInt = 5 * 1024 * 1024
    """Largest accepted file."""
    max_text_characters: PositiveInt = 50_000
    """Longest accepted text."""
    max_unpacked_bytes: PositiveInt = 50 * 1024 * 1024
    """Largest accepted document, unpacked."""
    extract_cpu_seconds: PositiveFloat = 10.0
    """CPU time after which a document is rejected."""
    extract_memory_bytes: PositiveInt = 1024 * 1024 * 1024
    """Memory of an extracting process, including the process itself; a document that needs more is rejected."""
    worker_parallel: PositiveInt = 4
    """Uploads extracted at once, each in its own process."""
    worker_poll_seconds: PositiveFloat = 0.2
    """How often the worker looks for uploads that another process recorded."""
    claim_seconds: PositiveFloat = 30.0
    """How long a worker's claim on an upload lasts before another worker may take it."""
    max_claims: PositiveInt = 20
    """Number of claims that may end with neither an outcome nor an error; each of them presumably killed a process."""
    extractor_version: int = Field(NEWEST, ge=1, le=NEWEST)
    """Extractor version for new uploads."""
