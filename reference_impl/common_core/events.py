"""The facts that services tell each other. No field holds a clock's or a random value: digests rest on it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from reference_impl.common_core.enums import ValidationFailure

StorageId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A blob's name: the SHA-256 of its bytes, and nothing else that a path could be made of."""


class EventData(BaseModel):
    """What all events' ``data`` have in common: frozen, nothing extra, a type of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    EVENT_TYPE: ClassVar[str]


class EssayContentProvisionedV1(EventData):
    """An upload passed validation; its text is stored."""

    EVENT_TYPE = "huleedu.file.essay_content.provisioned.v1"

    upload_id: str = Field(min_length=1)
    file_name: str
    raw_file_storage_id: StorageId
    text_storage_id: StorageId


class EssayValidationFailedV1(EventData):
    """An upload was rejected; its raw blob is kept all the same."""

    EVENT_TYPE = "huleedu.file.essay_validation.failed.v1"

    upload_id: str = Field(min_length=1)
    file_name: str
    raw_file_storage_id: StorageId
    reason: ValidationFailure
    detail: str


UPLOAD_OUTCOMES: tuple[type[EventData], ...] = (EssayContentProvisionedV1, EssayValidationFailedV1)
"""Exactly one of these follows each acknowledged upload."""
