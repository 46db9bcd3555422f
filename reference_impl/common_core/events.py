"""The facts that services tell each other, and the one form in which they travel.

No field of a fact holds a clock's or a random value: digests rest on it.

A batch goes through the pipeline once, and once more each time that one of its essays is extracted anew; such a pass
has a ``pipeline_id``, and every event of the pass carries it.
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
"""A blob's name: the SHA-256 of its bytes, and nothing else that a path could be made of."""

Name = Annotated[str, Field(min_length=1, max_length=512)]


class Part(BaseModel):
    """An event, or a piece of its ``data``: frozen; a newer producer may add fields, and what they mean is not needed here."""

    model_config = ConfigDict(frozen=True)


class EventEnvelope(Part, Generic[T]):
    """An event: who says what about which fact.

    ``event_id`` is deterministic (see ``event_ids``); ``event_timestamp`` and all else outside ``data`` may
    differ between two publications of the same fact.
    """

    event_id: UUID
    event_type: EventType
    event_timestamp: AwareDatetime
    source_service: str
    correlation_id: str
    causation_id: str | None
    data: T


class EventData(Part):
    """What all events' ``data`` have in common: a type, and the business key that the fact is about."""

    EVENT_TYPE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    """The fields that the business key is made of."""

    @property
    def business_key(self) -> str:
        """Canonical JSON of the key's fields, so that no separator could stand inside one of them."""
        return rfc8785.dumps([getattr(self, name) for name in self.KEY]).decode()


class UploadOutcome(EventData):
    """What both outcomes of an upload tell."""

    KEY = ("upload_id",)

    upload_id: Name
    batch_id: Name
    batch_size: int = Field(ge=1)
    file_name: str
    raw_file_storage_id: StorageId
    extractor_version: int = Field(ge=1)
    occurrence: int = Field(1, ge=1, description="How often the upload was extracted, with this time")


class EssayContentProvisionedV1(UploadOutcome):
    """An upload passed validation; its text is stored. ``upload_id`` is the essay's id from here on."""

    EVENT_TYPE = "huleedu.file.essay_content.provisioned.v1"

    text_storage_id: StorageId


class EssayValidationFailedV1(UploadOutcome):
    """An upload was rejected; its raw blob is kept all the same."""

    EVENT_TYPE = "huleedu.file.essay_validation.failed.v1"

    reason: ValidationFailure
    detail: str


class ReadyEssay(Part):
    """One essay of a batch, and where its text is."""

    essay_id: Name
    text_storage_id: StorageId


class BatchEssaysReadyV1(EventData):
    """Every upload of a batch has its outcome; these essays have a text. Not told of a batch without any."""

    EVENT_TYPE = "huleedu.batch.essays.ready.v1"
    KEY = ("pipeline_id",)

    batch_id: Name
    pipeline_id: Name
    essays: tuple[ReadyEssay, ...] = Field(min_length=1)


class EssaySpellcheckRequestedV1(EventData):
    """A command: correct this essay, one of so many in its pass."""

    EVENT_TYPE = "huleedu.essay.spellcheck.requested.v1"
    KEY = ("pipeline_id", "essay_id")

    essay_id: Name
    batch_id: Name
    pipeline_id: Name
    pipeline_size: int = Field(ge=1)
    text_storage_id: StorageId


class EssaySpellcheckCompletedV1(EventData):
    """Its result: the corrected text, and how many of its words were corrected."""

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
    """An essay's place, 1 being the best, and its Bradley-Terry strength, in millionths of the pass's whole."""

    essay_id: Name
    rank: int = Field(ge=1)
    strength_ppm: int = Field(ge=0, le=1_000_000)


class BatchAssessmentCompletedV1(EventData):
    """Its result: the ranking, best first; stored whole, with the comparisons, as an assessment result."""

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
"""Every event there is."""


_FACT = EventEnvelope[SerializeAsAny[EventData]]
"""Made once: pydantic takes each writing of it for another class, which takes milliseconds to make."""


def fact(  # noqa: PLR0913 - what an envelope consists of
    data: EventData,
    *,
    source: str,
    now: datetime,
    correlation_id: str,
    causation_id: str | None = None,
    occurrence: int = 1,
) -> EventEnvelope[EventData]:
    """The event that tells ``data``; its id depends on type, source, business key and occurrence alone."""
    return _FACT(
        event_id=event_id(data.EVENT_TYPE, source, data.business_key, occurrence),
        event_type=data.EVENT_TYPE,
        event_timestamp=now,
        source_service=source,
        correlation_id=correlation_id,
        causation_id=causation_id,
        data=data,
    )
