"""The facts that services publish to each other, and the envelope around them.

No field of a fact holds a clock reading or a random value, because digests depend on it.

A batch passes through the pipeline once, and again each time one of its essays is extracted anew. Each pass has a
``pipeline_id``, which every event of the pass carries.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Generic, TypeVar
from uuid import UUID

import rfc8785
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SerializeAsAny, StringConstraints

from reference_impl.common_core.enums import ValidationFailure
from reference_impl.common_core.event_ids import event_id

T = TypeVar("T")

EventType = Annotated[str, StringConstraints(pattern=r"^huleedu(\.[a-z][a-z0-9_]*){3}\.v[1-9][0-9]*$")]
"""``huleedu.<domain>.<entity>.<action>.v<n>``."""

StorageId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A blob's name: the SHA-256 of its bytes in hex, so it can never form a path."""

Name = Annotated[str, Field(min_length=1, max_length=512)]


class Part(BaseModel):
    """An event, or a part of its ``data``: frozen. Unknown fields, which a newer producer may add, are ignored."""

    model_config = ConfigDict(frozen=True)


class EventEnvelope(Part, Generic[T]):
    """An event: who states which fact, and when.

    ``event_id`` is deterministic (see ``event_ids``); ``event_timestamp`` and everything else outside ``data`` may differ
    between two publications of the same fact.
    """

    event_id: UUID
    event_type: EventType
    event_timestamp: AwareDatetime
    source_service: str
    correlation_id: str
    causation_id: str | None
    data: T


class EventData(Part):
    """The base of all events' ``data``: a type, and the business key that identifies the fact's subject."""

    EVENT_TYPE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    """The fields that make up the business key."""

    @property
    def business_key(self) -> str:
        """Canonical JSON of the key's fields, because a separator could also occur inside one of them."""
        return rfc8785.dumps([getattr(self, name) for name in self.KEY]).decode()


class UploadOutcome(EventData):
    """The fields that both outcomes of an upload have."""

    KEY = ("upload_id",)

    upload_id: Name
    batch_id: Name
    batch_size: int = Field(ge=1)
    file_name: str
    raw_file_storage_id: StorageId
    extractor_version: int = Field(ge=1)
    occurrence: int = Field(1, ge=1, description="How often the upload was extracted, including this time")


class EssayContentProvisionedV1(UploadOutcome):
    """An upload passed validation; its text is stored. ``upload_id`` is the essay's id from here on."""

    EVENT_TYPE = "huleedu.file.essay_content.provisioned.v1"

    text_storage_id: StorageId


class EssayValidationFailedV1(UploadOutcome):
    """An upload was rejected; its raw blob is kept."""

    EVENT_TYPE = "huleedu.file.essay_validation.failed.v1"

    reason: ValidationFailure
    detail: str


class ReadyEssay(Part):
    """An essay of a batch, and the location of its text."""

    essay_id: Name
    text_storage_id: StorageId


class BatchEssaysReadyV1(EventData):
    """Every upload of a batch has its outcome; these essays have a text. Not published for a batch without any."""

    EVENT_TYPE = "huleedu.batch.essays.ready.v1"
    KEY = ("pipeline_id",)

    batch_id: Name
    pipeline_id: Name
    essays: tuple[ReadyEssay, ...] = Field(min_length=1)


class EssaySpellcheckRequestedV1(EventData):
    """A command: correct this essay, one of ``pipeline_size`` in its pass."""

    EVENT_TYPE = "huleedu.essay.spellcheck.requested.v1"
    KEY = ("pipeline_id", "essay_id")

    essay_id: Name
    batch_id: Name
    pipeline_id: Name
    pipeline_size: int = Field(ge=1)
    text_storage_id: StorageId


class EssaySpellcheckCompletedV1(EventData):
    """The result of a spellcheck: the corrected text, and how many of its words were corrected."""

    EVENT_TYPE = "huleedu.essay.spellcheck.completed.v1"
    KEY = ("pipeline_id", "essay_id")

    essay_id: Name
    batch_id: Name
    pipeline_id: Name
    pipeline_size: int = Field(ge=1)
    corrected_text_storage_id: StorageId
    words: int = Field(ge=0)
    corrections: int = Field(ge=0)


class BatchAssessmentRequestedV1(EventData):
    """A command: every essay of the pass is admitted; compare and rank them."""

    EVENT_TYPE = "huleedu.batch.assessment.requested.v1"
    KEY = ("pipeline_id",)

    batch_id: Name
    pipeline_id: Name


class RankedEssay(Part):
    """An essay's rank, 1 being the best, and its Bradley-Terry strength, in millionths of the pass's total."""

    essay_id: Name
    rank: int = Field(ge=1)
    strength_ppm: int = Field(ge=0, le=1_000_000)


class BatchAssessmentCompletedV1(EventData):
    """The result of an assessment: the ranking, best first. The stored result also has the comparisons."""

    EVENT_TYPE = "huleedu.batch.assessment.completed.v1"
    KEY = ("pipeline_id",)

    batch_id: Name
    pipeline_id: Name
    result_storage_id: StorageId
    ranking: tuple[RankedEssay, ...] = Field(min_length=1)


UPLOAD_OUTCOMES: tuple[type[UploadOutcome], ...] = (EssayContentProvisionedV1, EssayValidationFailedV1)
"""Exactly one of these follows each acknowledged upload."""

EVENTS: tuple[type[EventData], ...] = (
    *UPLOAD_OUTCOMES,
    BatchEssaysReadyV1,
    EssaySpellcheckRequestedV1,
    EssaySpellcheckCompletedV1,
    BatchAssessmentRequestedV1,
    BatchAssessmentCompletedV1,
)
"""Every event."""


_FACT = EventEnvelope[SerializeAsAny[EventData]]
"""Made once: pydantic makes a new class for each such expression, which takes milliseconds."""


def fact(  # noqa: PLR0913 - what an envelope consists of
    data: EventData,
    *,
    source: str,
    now: datetime,
    correlation_id: str,
    causation_id: str | None = None,
    occurrence: int = 1,
) -> EventEnvelope[EventData]:
    """Make the event that publishes ``data``; its id depends on type, source, business key and occurrence alone."""
    return _FACT(
        event_id=event_id(data.EVENT_TYPE, source, data.business_key, occurrence),
        event_type=data.EVENT_TYPE,
        event_timestamp=now,
        source_service=source,
        correlation_id=correlation_id,
        causation_id=causation_id,
        data=data,
    )
