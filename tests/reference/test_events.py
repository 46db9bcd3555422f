from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from reference_impl.common_core.enums import ContentType, ValidationFailure
from reference_impl.common_core.events import EssayContentProvisionedV1, EssayValidationFailedV1, EventEnvelope, fact

PROVISIONED = EssayContentProvisionedV1(
    upload_id="u1",
    batch_id="u1",
    batch_size=1,
    file_name="a.txt",
    raw_file_storage_id="a" * 64,
    text_storage_id="b" * 64,
    extractor_version=2,
)


def fields(**changed):
    return {
        "event_id": uuid4(),
        "event_type": PROVISIONED.EVENT_TYPE,
        "event_timestamp": datetime.now(UTC),
        "source_service": "file_service",
        "correlation_id": "u1",
        "causation_id": None,
        "data": PROVISIONED,
        **changed,
    }


def test_the_content_types_are_those_of_the_contract():
    assert str(ContentType.RAW_UPLOAD_BLOB) == "raw_upload_blob"
    assert str(ContentType.EXTRACTED_PLAINTEXT) == "extracted_plaintext"


def test_an_envelope_survives_the_wire():
    event = EventEnvelope[EssayContentProvisionedV1](**fields())
    assert EventEnvelope[EssayContentProvisionedV1].model_validate_json(event.model_dump_json()) == event


def test_an_envelope_is_frozen():
    event: Any = EventEnvelope[EssayContentProvisionedV1](**fields())
    with pytest.raises(ValidationError, match="frozen"):
        event.source_service = "another"


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_timestamp": datetime(2024, 1, 1)},  # noqa: DTZ001 - the point
        {"event_type": "file.essay.v1"},
        {"event_type": "huleedu.file.essay_content.provisioned.v0"},
        {"event_id": "no-uuid"},
        {"data": {"upload_id": "u1"}},
    ],
)
def test_an_envelope_refuses(wrong):
    with pytest.raises(ValidationError):
        EventEnvelope[EssayContentProvisionedV1](**fields(**wrong))


def test_what_a_newer_producer_adds_is_passed_over():
    told = fields(another=1, data={**PROVISIONED.model_dump(), "another": 1})
    assert EventEnvelope[EssayContentProvisionedV1](**told).data == PROVISIONED


@pytest.mark.parametrize("event", [EssayContentProvisionedV1, EssayValidationFailedV1])
def test_both_outcomes_require_the_raw_blob(event):
    assert event.model_fields["raw_file_storage_id"].is_required()
    assert event.model_fields["raw_file_storage_id"].annotation is str


def test_a_rejection_says_why():
    event = EssayValidationFailedV1(
        upload_id="u",
        batch_id="b",
        batch_size=3,
        file_name="a.pdf",
        raw_file_storage_id="a" * 64,
        reason="damaged",
        detail="EOFError",
        extractor_version=1,
    )
    assert event.reason is ValidationFailure.DAMAGED


def test_no_event_makes_a_class_of_its_own():
    # Milliseconds of a core for each event that is told, and classes that wait for the garbage collector.
    told = [
        fact(PROVISIONED, source="file_service", now=datetime.now(UTC), correlation_id="u1", occurrence=occurrence)
        for occurrence in (1, 2)
    ]
    assert type(told[0]) is type(told[1])
