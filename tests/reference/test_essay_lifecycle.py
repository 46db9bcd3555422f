from __future__ import annotations

import asyncio
import hashlib

import pytest
from structlog.testing import capture_logs

from reference_impl.common_core.enums import ValidationFailure
from reference_impl.common_core.events import (
    BatchEssaysReadyV1,
    EssayContentProvisionedV1,
    EssayValidationFailedV1,
    ReadyEssay,
    fact,
)
from reference_impl.dead_letters import Record, replay
from reference_impl.essay_lifecycle.core_logic import CONSUMER, essay_consumer
from reference_impl.service_libs.dead_letter import Letter
from reference_impl.service_libs.teller import Teller

TEXT = "Räksmörgås på väg\n".encode()
OTHER_TEXT = "Ostsmörgås på väg\n".encode()
ESSAYS = "SELECT essay_id, state, characters, words, reason FROM essay ORDER BY essay_id"
OTHER_ID = "00000000-0000-0000-0000-000000000001"
BATCHES = "SELECT batch_id, size, settled, revision FROM essay_batch"


def provisioned(upload_id="u1", *, text=TEXT, size=1, occurrence=1):
    return EssayContentProvisionedV1(
        upload_id=upload_id,
        batch_id="b",
        batch_size=size,
        file_name="a.txt",
        raw_file_storage_id="a" * 64,
        text_storage_id=hashlib.sha256(text).hexdigest(),
        extractor_version=2,
        occurrence=occurrence,
    )


def failed(upload_id="u1", *, size=1, occurrence=1):
    return EssayValidationFailedV1(
        upload_id=upload_id,
        batch_id="b",
        batch_size=size,
        file_name="a.txt",
        raw_file_storage_id="a" * 64,
        reason=ValidationFailure.NO_TEXT,
        detail="space",
        extractor_version=2,
        occurrence=occurrence,
    )


def ready(revision, **texts):
    essays = tuple(
        ReadyEssay(essay_id=essay_id, text_storage_id=hashlib.sha256(text).hexdigest())
        for essay_id, text in texts.items()
    )
    return BatchEssaysReadyV1(batch_id="b", pipeline_id=f"b/{revision}", essays=essays)


@pytest.fixture
def texts(content):
    for text in (TEXT, OTHER_TEXT):
        content.blobs[hashlib.sha256(text).hexdigest()] = text


@pytest.fixture
def consume(idempotency, content, the_outbox, clock, texts):
    return essay_consumer(idempotency.settings, idempotency, content, Teller(the_outbox, clock, CONSUMER)).consume


@pytest.fixture
def told_data(told):
    async def read():
        return [BatchEssaysReadyV1(**event["data"]) for event in await told("batches")]

    return read


async def test_provisioned_content_makes_an_essay_ready(consume, delivered, rows):
    await consume(delivered(provisioned()))
    assert await rows(ESSAYS) == [("u1", "ready", 18, 3, None)]


async def test_a_failed_validation_rejects_the_essay_without_asking_for_content(consume, delivered, rows, content):
    content.down = True
    await consume(delivered(failed()))
    assert await rows(ESSAYS) == [("u1", "rejected", None, None, "no_text")]


async def test_each_event_has_one_ledger_row_with_its_digest(consume, delivered, rows):
    for _ in range(2):
        await consume(delivered(failed()))
        await consume(delivered(provisioned()))
    entries = await rows("SELECT entry, consumer, business_key, length(digest) FROM effect_ledger")
    assert entries == [(1, "essay_lifecycle", "u1", 64), (2, "essay_lifecycle", "u1", 64)]


async def test_a_text_that_is_gone_is_set_aside(consume, delivered, letters, content):
    content.blobs.clear()
    await consume(delivered(provisioned()))
    (letter,) = await letters()
    assert letter["kind"] == "poison"
    assert "ContentMissing" in letter["reason"]


async def test_a_batch_is_told_once_when_its_last_essay_has_its_outcome(consume, delivered, told, told_data, rows):
    for outcome in (provisioned("u3", size=3), failed("u2", size=3), provisioned("u1", size=3)):
        assert await told_data() == []
        for _ in range(2):
            await consume(delivered(outcome))
    assert await told_data() == [ready(1, u1=TEXT, u3=TEXT)]
    assert await rows(BATCHES) == [("b", 3, 3, 1)]
    (event,) = await told("batches")
    assert event["causation_id"] == (await rows("SELECT event_id FROM effect_ledger WHERE entry = 3"))[0][0]
    assert await rows("SELECT key FROM outbox") == [("b",)]


async def test_a_batch_without_any_text_is_not_told(consume, delivered, told_data, rows):
    await consume(delivered(failed("u1", size=2)))
    await consume(delivered(failed("u2", size=2)))
    assert await told_data() == []
    assert await rows(BATCHES) == [("b", 2, 2, 0)]


async def test_of_two_replicas_that_settle_the_last_essays_at_once_one_tells(
    *, replicas, content, texts, delivered, told_data, rows
):
    two = [
        essay_consumer(each.idempotency.settings, each.idempotency, content, each.teller).consume
        for each in await replicas(CONSUMER, 2)
    ]
    for settled in range(0, 20, 2):
        outcomes = [provisioned(f"u{number:02}", size=20) for number in (settled, settled + 1)]
        await asyncio.gather(*(one(delivered(outcome)) for one, outcome in zip(two, outcomes, strict=True)))
    assert await told_data() == [ready(1, **{f"u{number:02}": TEXT for number in range(20)})]
    assert await rows(BATCHES) == [("b", 20, 20, 1)]


async def test_an_essay_extracted_anew_sends_its_complete_batch_on_another_pass(consume, delivered, told, told_data):
    await consume(delivered(provisioned("u1", size=2)))
    await consume(delivered(provisioned("u2", size=2)))
    for _ in range(2):
        await consume(delivered(provisioned("u1", text=OTHER_TEXT, size=2), occurrence=2))
    assert await told_data() == [ready(1, u1=TEXT, u2=TEXT), ready(2, u1=OTHER_TEXT, u2=TEXT)]
    one, other = await told("batches")
    assert one["event_id"] != other["event_id"]


async def test_an_essay_that_passes_after_all_sends_its_batch_on_another_pass(consume, delivered, told_data, rows):
    await consume(delivered(failed()))
    await consume(delivered(provisioned(), occurrence=2))
    assert await told_data() == [ready(1, u1=TEXT)]
    assert await rows(BATCHES) == [("b", 1, 1, 1)]


async def test_an_essay_that_no_longer_passes_leaves_its_batch(consume, delivered, letters, told_data, rows):
    """Extracted again by an older version, or within lower limits."""
    await consume(delivered(provisioned("u1", size=2)))
    await consume(delivered(provisioned("u2", size=2)))
    await consume(delivered(failed("u1", size=2, occurrence=2), occurrence=2))
    assert await letters() == []
    assert await rows(ESSAYS) == [("u1", "rejected", None, None, "no_text"), ("u2", "ready", 18, 3, None)]
    assert await told_data() == [ready(1, u1=TEXT, u2=TEXT), ready(2, u2=TEXT)]
    await consume(delivered(provisioned("u1", size=2), occurrence=1, identity=OTHER_ID))
    assert (await rows(ESSAYS))[0][:2] == ("u1", "rejected"), "the older outcome came late"


async def test_a_batch_whose_last_text_no_longer_passes_keeps_its_latest_pass(consume, delivered, told_data, rows):
    await consume(delivered(provisioned()))
    with capture_logs() as logs:
        await consume(delivered(failed(occurrence=2), occurrence=2))
    assert [(each["log_level"], each["batch_id"], each["essay_id"]) for each in logs] == [("warning", "b", "u1")]
    assert await rows("SELECT state, occurrence, text_storage_id FROM essay") == [("rejected", 2, None)]
    assert len(await rows("SELECT 1 FROM effect_ledger")) == 2
    assert await told_data() == [ready(1, u1=TEXT)]
    assert await rows(BATCHES) == [("b", 1, 1, 1)], "no pass that no event names"
    await consume(delivered(provisioned(text=OTHER_TEXT, occurrence=3), occurrence=3))
    assert await told_data() == [ready(1, u1=TEXT), ready(2, u1=OTHER_TEXT)]


@pytest.mark.parametrize("outcome", [provisioned(), failed()])
async def test_an_outcome_that_changes_nothing_starts_no_pass(consume, delivered, told_data, rows, outcome):
    await consume(delivered(outcome))
    before = await told_data()
    await consume(delivered(outcome, occurrence=2))
    assert await told_data() == before
    assert len(await rows("SELECT 1 FROM effect_ledger")) == 2


async def test_a_dead_letter_that_is_replayed_after_a_newer_outcome_changes_nothing(
    *, consume, content, database, delivered, letters, rows, told_data
):
    first, newer = delivered(provisioned()), delivered(provisioned(text=OTHER_TEXT, occurrence=2), occurrence=2)
    text = content.blobs.pop(provisioned().text_storage_id)
    await consume(first)
    content.blobs[provisioned().text_storage_id] = text
    await consume(newer)
    (letter,) = map(Letter.model_validate, await letters())
    await replay(database, letter, Record(first.key, first.value))
    await consume(first)
    assert await rows("SELECT occurrence, text_storage_id FROM essay") == [
        (2, hashlib.sha256(OTHER_TEXT).hexdigest())
    ]
    assert await told_data() == [ready(1, u1=OTHER_TEXT)]
    assert len(await rows("SELECT 1 FROM effect_ledger")) == 2


async def test_a_change_before_the_batch_is_complete_changes_the_essay_alone(consume, delivered, told_data, rows):
    await consume(delivered(provisioned("u1", size=2)))
    await consume(delivered(provisioned("u1", text=OTHER_TEXT, size=2), occurrence=2))
    assert await rows(BATCHES) == [("b", 2, 1, 0)]
    await consume(delivered(provisioned("u2", size=2)))
    assert await told_data() == [ready(1, u1=OTHER_TEXT, u2=TEXT)]


async def test_work_done_again_tells_the_same_fact(
    *, idempotency, content, texts, interrupted, delivered, told, told_data, rows, clock
):
    teller = interrupted(CONSUMER)
    await essay_consumer(idempotency.settings, idempotency, content, teller).consume(delivered(provisioned()))
    (event,) = await told("batches")
    assert teller.cut_off == [(event["event_id"], event["data"])]
    expected = fact(ready(1, u1=TEXT), source=CONSUMER, now=clock.now(), correlation_id="any")
    assert event["event_id"] == str(expected.event_id)
    assert await rows(BATCHES) == [("b", 1, 1, 1)]


@pytest.mark.parametrize(
    ("size", "reason"),
    [(3, "batch b has 2 of 2 essays, and u2 says it has 3"), (1, "batch b has 2 of 2 essays, and u2 says it has 1")],
)
async def test_another_size_of_one_batch_is_set_aside(*, consume, delivered, letters, rows, size, reason):
    await consume(delivered(provisioned("u1", size=2)))
    await consume(delivered(provisioned("u2", size=size)))
    (letter,) = await letters()
    assert reason in letter["reason"]
    assert await rows(BATCHES) == [("b", 2, 1, 0)]
    assert [essay for essay, *_ in await rows(ESSAYS)] == ["u1"]


async def test_more_essays_than_the_batch_has_are_set_aside(consume, delivered, letters, told_data):
    await consume(delivered(provisioned("u1")))
    await consume(delivered(provisioned("u2")))
    (letter,) = await letters()
    assert "batch b has 2 of 1 essays" in letter["reason"]
    assert await told_data() == [ready(1, u1=TEXT)]


async def test_the_ledger_could_show_a_duplicate(consume, delivered, database, rows):
    """Nothing but its entry is unique in it."""
    await consume(delivered(provisioned()))
    columns = "consumer, event_id, business_key, digest"
    again = f"INSERT INTO effect_ledger ({columns}) SELECT {columns} FROM effect_ledger"
    await database.write(lambda transaction: transaction.exec_driver_sql(again))
    one, other = await rows(f"SELECT {columns} FROM effect_ledger")
    assert one == other
