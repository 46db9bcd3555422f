"""What is injected into the file service."""

from __future__ import annotations

from typing import Protocol

from reference_impl.file_service.extractor import Extraction
from reference_impl.service_libs.protocols import ContentServiceClientProtocol, KafkaBusProtocol

__all__ = ["ContentServiceClientProtocol", "ExtractorProtocol", "KafkaBusProtocol"]


class ExtractorProtocol(Protocol):
    """Text from the bytes of a file, as one version gives it; what is wrong with them is a result, never an error."""

    async def extract(self, content: bytes, file_name: str, version: int) -> Extraction: ...
