from __future__ import annotations

import hashlib

import pytest

from reference_impl.common_core.enums import ValidationFailure
from reference_impl.common_core.events import EssayContentProvisionedV1, EssayValidationFailedV1
from reference_impl.essay_lifecycle.core_logic import essay_consumer
from reference_impl.essay_lifecycle.state_machine import EssayState, IllegalTransition, check

TEXT = "Räksmörgås på väg\n".encode()
ESSAYS = "SELECT essay_id, state, characters, words, reason FROM essay"

PROVISIONED = EssayContentProvisionedV1(
    upload_id="u1", file_name="a.txt", raw_file_storage_id="a" * 64, text_storage_id=hashlib.sha256(TEXT).hexdigest()
)
FAILED = EssayValidationFailedV1(
    upload_id="u1", file_name="a.txt", raw_file_storage_id="a" * 64, reason=ValidationFailure.NO_TEXT, detail="space"
)


@pytest.fixture
def consume(idempotency, content):
    content.blobs[PROVISIONED.text_storage_id] = TEXT
    return essay_consumer(idempotency, content, ttl_seconds=86_400)


async def test_provisioned_content_makes_an_essay_ready(consume, delivered, rows):
    await consume(delivered(PROVISIONED))
    assert await rows(ESSAYS) == [("u1", "ready", 18, 3, None)]


async def test_a_failed_validation_rejects_the_essay_without_asking_for_content(consume, delivered, rows, content):
    content.down = True
    await consume(delivered(FAILED))
    assert await rows(ESSAYS) == [("u1", "rejected", None, None, "no_text")]


async def test_each_event_has_one_ledger_row_with_its_digest(consume, delivered, rows):
    for _ in range(2):
        await consume(delivered(FAILED))
        await consume(delivered(PROVISIONED))
    entries = await rows("SELECT entry, consumer, business_key, length(digest) FROM effect_ledger")
    assert entries == [(1, "essay_lifecycle", "u1", 64), (2, "essay_lifecycle", "u1", 64)]


async def test_the_ledger_could_show_a_duplicate(rows):
    """Nothing but its entry is unique in it."""
    indexes = await rows("SELECT name FROM pragma_index_list('effect_ledger') WHERE \"unique\"")
    assert indexes == []


async def test_an_event_that_cannot_follow_is_set_aside(consume, delivered, rows, letters):
    await consume(delivered(PROVISIONED))
    await consume(delivered(FAILED))
    assert await rows(ESSAYS) == [("u1", "ready", 18, 3, None)]
    (letter,) = await letters()
    assert letter["kind"] == "poison"
    assert "essay u1 is ready and cannot become rejected" in letter["reason"]


async def test_a_text_that_is_gone_is_set_aside(consume, delivered, letters, content):
    content.blobs.clear()
    await consume(delivered(PROVISIONED))
    (letter,) = await letters()
    assert letter["kind"] == "poison"
    assert "ContentMissing" in letter["reason"]


@pytest.mark.parametrize(
    ("present", "wanted"), [(None, "ready"), (None, "rejected"), ("rejected", "ready"), ("ready", "ready")]
)
def test_states_that_may_follow(present, wanted):
    check("u1", EssayState(present) if present else None, EssayState(wanted))


def test_a_state_that_may_not():
    with pytest.raises(IllegalTransition):
        check("u1", EssayState.READY, EssayState.REJECTED)
