from __future__ import annotations

import pytest

from reference_impl.batch_orchestrator.core_logic import CONSUMER, batch_consumer
from reference_impl.common_core.events import (
    BatchAssessmentCompletedV1,
    BatchEssaysReadyV1,
    EssaySpellcheckRequestedV1,
    RankedEssay,
    ReadyEssay,
    fact,
)
from reference_impl.service_libs.teller import Teller

PIPELINES = "SELECT pipeline_id, batch_id, size, state FROM pipeline ORDER BY pipeline_id"

READY = BatchEssaysReadyV1(
    batch_id="b",
    pipeline_id="b/1",
    essays=(
        ReadyEssay(essay_id="u1", text_storage_id="a" * 64),
        ReadyEssay(essay_id="u2", text_storage_id="b" * 64),
    ),
)
ASSESSED = BatchAssessmentCompletedV1(
    batch_id="b",
    pipeline_id="b/1",
    result_storage_id="c" * 64,
    ranking=(RankedEssay(essay_id="u1", rank=1, strength_ppm=600_000),),
)


@pytest.fixture
def consume(idempotency, the_outbox, clock):
    return batch_consumer(idempotency.settings, idempotency, Teller(the_outbox, clock, CONSUMER)).consume


async def test_a_complete_batch_asks_once_for_each_essay(consume, delivered, told, rows, clock):
    for _ in range(2):
        await consume(delivered(READY))
    events = await told("spelling")
    assert [event["data"] for event in events] == [
        {
            "essay_id": essay.essay_id,
            "batch_id": "b",
            "pipeline_id": "b/1",
            "pipeline_size": 2,
            "text_storage_id": essay.text_storage_id,
        }
        for essay in READY.essays
    ]
    request = EssaySpellcheckRequestedV1(**events[0]["data"])
    expected = fact(request, source=CONSUMER, now=clock.now(), correlation_id="any")
    assert events[0]["event_id"] == str(expected.event_id)
    assert events[0]["correlation_id"] == "b/1"
    assert await rows(PIPELINES) == [("b/1", "b", 2, "requested")]
    assert await rows("SELECT key FROM outbox") == [("u1",), ("u2",)]


async def test_work_done_again_tells_the_same_facts(idempotency, interrupted, delivered, told, rows):
    teller = interrupted(CONSUMER)
    await batch_consumer(idempotency.settings, idempotency, teller).consume(delivered(READY))
    events = await told("spelling")
    assert len(events) == 2
    assert teller.cut_off == [(events[0]["event_id"], events[0]["data"])]
    assert await rows("SELECT business_key FROM effect_ledger") == [("b/1",)]


async def test_an_assessment_ends_the_pass(consume, delivered, rows):
    await consume(delivered(READY))
    for _ in range(2):
        await consume(delivered(ASSESSED))
    assert await rows(PIPELINES) == [("b/1", "b", 2, "assessed")]
    assert await rows("SELECT count(*) FROM effect_ledger") == [(2,)]


async def test_a_later_pass_is_another_pipeline(consume, delivered, rows):
    await consume(delivered(READY))
    await consume(delivered(READY.model_copy(update={"pipeline_id": "b/2"})))
    await consume(delivered(ASSESSED))
    assert await rows(PIPELINES) == [("b/1", "b", 2, "assessed"), ("b/2", "b", 2, "requested")]


async def test_an_assessment_of_an_unknown_pass_is_set_aside(consume, delivered, letters):
    await consume(delivered(ASSESSED))
    (letter,) = await letters()
    assert "pass b/1 was never requested and cannot become assessed" in letter["reason"]


async def test_the_ledger_shows_what_only_the_inbox_prevents(consume, delivered, rows):
    for identity in range(2):
        await consume(delivered(READY, identity=f"00000000-0000-4000-8000-00000000000{identity}"))
    assert await rows("SELECT business_key FROM effect_ledger") == [("b/1",), ("b/1",)]
    assert await rows(PIPELINES) == [("b/1", "b", 2, "requested")]
