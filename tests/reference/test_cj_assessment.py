from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.cj_assessment.core_logic import CONSUMER, assessment_consumer
from reference_impl.cj_assessment.features import Features, measure
from reference_impl.cj_assessment.ranking import pairs, rank, strengths
from reference_impl.common_core.events import (
    BatchAssessmentRequestedV1,
    EssaySpellcheckCompletedV1,
    fact,
)
from reference_impl.service_libs.teller import Teller

REQUESTED = BatchAssessmentRequestedV1(batch_id="b", pipeline_id="b/1")
TEXTS = {
    "u1": "A cat sat. It sat. A cat sat.",
    "u2": "The quick brown fox, who had never met a lazier dog, jumped over it twice that very same morning. " * 2,
    "u3": "Cats.",
}


@pytest.fixture
async def completed(content):
    """What the spell checker told of the three essays."""
    return [
        EssaySpellcheckCompletedV1(
            essay_id=essay_id,
            batch_id="b",
            pipeline_id="b/1",
            pipeline_size=len(TEXTS),
            corrected_text_storage_id=await content.store_content(text.encode(), "corrected_text"),
            words=len(text.split()),
            corrections=1,
        )
        for essay_id, text in TEXTS.items()
    ]


def consumer(idempotency, content, database, teller):
    return assessment_consumer(idempotency.settings, idempotency, content, database, teller).consume


@pytest.fixture
def consume(idempotency, content, database, the_outbox, clock):
    return consumer(idempotency, content, database, Teller(the_outbox, clock, CONSUMER))


async def test_the_last_essay_of_a_pass_requests_its_assessment_once(
    *, consume, delivered, completed, told, rows, clock
):
    for data in completed:
        assert await told("rankings") == []
        for _ in range(2):
            await consume(delivered(data))
    (event,) = await told("rankings")
    assert event["data"] == REQUESTED.model_dump()
    expected = fact(REQUESTED, source=CONSUMER, now=clock.now(), correlation_id="any")
    assert event["event_id"] == str(expected.event_id)
    assert await rows("SELECT pipeline_id, size, admitted FROM assessment") == [("b/1", 3, 3)]
    admitted = await rows("SELECT words, distinct_words, sentences, corrections FROM admission WHERE essay_id = 'u1'")
    assert admitted == [(8, 4, 3, 1)]
    assert len(await rows("SELECT 1 FROM effect_ledger")) == 3


async def test_of_two_replicas_that_admit_the_last_essays_at_once_one_requests(
    *, replicas, content, delivered, completed, told, rows
):
    made = [consumer(each.idempotency, content, each.database, each.teller) for each in await replicas(CONSUMER, 3)]
    await asyncio.gather(*(consume(delivered(data)) for consume, data in zip(made, completed, strict=True)))
    assert len(await told("rankings")) == 1
    assert await rows("SELECT admitted FROM assessment") == [(3,)]


async def test_a_request_ranks_stores_and_tells_once(*, consume, delivered, completed, told, rows, content):
    for data in completed:
        await consume(delivered(data))
    for _ in range(2):
        await consume(delivered(REQUESTED))
    _, event = await told("rankings")
    ranking = event["data"]["ranking"]
    assert [(each["essay_id"], each["rank"]) for each in ranking] == [("u2", 1), ("u1", 2), ("u3", 3)]
    stored = json.loads(content.blobs[event["data"]["result_storage_id"]])
    assert stored["essays"] == ranking
    assert [each[:2] for each in stored["comparisons"]] == [["u1", "u2"], ["u1", "u3"], ["u2", "u3"]]
    assert content.kinds[-1] == "assessment_result"
    kept = await rows("SELECT essay_id, rank, strength_ppm FROM ranking WHERE pipeline_id = 'b/1' ORDER BY rank")
    assert kept == [(each["essay_id"], each["rank"], each["strength_ppm"]) for each in ranking]
    assert await rows("SELECT result_storage_id FROM assessment") == [(event["data"]["result_storage_id"],)]
    assert len(await rows("SELECT 1 FROM effect_ledger")) == 4


async def test_work_done_again_tells_the_same_facts(
    *, idempotency, content, database, interrupted, delivered, completed, told
):
    teller = interrupted(CONSUMER)
    consume = consumer(idempotency, content, database, teller)
    for data in completed:
        await consume(delivered(data))
    teller.cut_off_next()
    await consume(delivered(REQUESTED))
    events = await told("rankings")
    assert teller.cut_off == [(event["event_id"], event["data"]) for event in events]
    assert len(events) == 2


async def test_the_order_in_which_essays_came_does_not_matter(consume, delivered, completed, told):
    """Of two passes over the same essays, in the second the other way round, the rankings are the same."""
    for data in completed:
        await consume(delivered(data))
    for data in reversed(completed):
        await consume(delivered(data.model_copy(update={"pipeline_id": "b/2"})))
    await consume(delivered(REQUESTED))
    await consume(delivered(REQUESTED.model_copy(update={"pipeline_id": "b/2"})))
    *_, one, other = await told("rankings")
    assert one["data"]["ranking"] == other["data"]["ranking"]
    assert one["event_id"] != other["event_id"]


async def test_a_pass_ranks_its_own_essays_alone(consume, delivered, completed, told, rows):
    for data in completed:
        await consume(delivered(data))
    await consume(delivered(completed[0].model_copy(update={"pipeline_id": "b/2", "pipeline_size": 1})))
    await consume(delivered(REQUESTED.model_copy(update={"pipeline_id": "b/2"})))
    *_, event = await told("rankings")
    assert event["data"]["ranking"] == [{"essay_id": "u1", "rank": 1, "strength_ppm": 1_000_000}]
    kept = await rows("SELECT pipeline_id, result_storage_id FROM assessment ORDER BY pipeline_id")
    assert kept == [("b/1", None), ("b/2", event["data"]["result_storage_id"])]


async def test_more_essays_than_the_pass_has_are_set_aside(consume, delivered, completed, letters, told):
    for data in [*completed, completed[0].model_copy(update={"essay_id": "u4"})]:
        await consume(delivered(data))
    (letter,) = await letters()
    assert "pass b/1 has 4 of 3 essays" in letter["reason"]
    assert len(await told("rankings")) == 1


async def test_an_essay_that_contradicts_its_pass_is_set_aside(consume, delivered, completed, letters, rows):
    await consume(delivered(completed[0]))
    await consume(delivered(completed[1].model_copy(update={"pipeline_size": 4})))
    (letter,) = await letters()
    assert "pass b/1 has 2 of 3 essays, and u2 says it has 4" in letter["reason"]
    assert await rows("SELECT admitted FROM assessment") == [(1,)]


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("", Features(0, 0, 0, 0)),
        ("?! ...", Features(0, 0, 0, 0)),
        ("It's fine. Is it? It's!", Features(5, 4, 3, 0)),
        ("No end", Features(2, 2, 1, 0)),
    ],
)
def test_features(text, features):
    assert measure(text, 0) == features


@pytest.mark.parametrize(
    ("features", "criteria"),
    [
        (Features(36, 20, 2, 9), (36, 20, 0, -0.25)),
        (Features(10, 5, 1, 1), (10, 5, -8, -0.1)),
        (Features(40, 5, 1, 0), (40, 5, -22, 0)),
        (Features(0, 0, 0, 0), (0, 0, -18, 0)),
    ],
)
def test_what_is_judged_of_features(features, criteria):
    assert features.criteria == criteria


GOOD = Features(words=500, distinct_words=250, sentences=28, corrections=2)
some_features = st.builds(
    Features,
    words=st.integers(0, 400),
    distinct_words=st.integers(0, 200),
    sentences=st.just(100),
    corrections=st.integers(400, 800),
)
some_essays = st.dictionaries(st.text(min_size=1, max_size=5), some_features, min_size=1, max_size=60)


@given(some_essays, st.randoms(use_true_random=False))
def test_a_better_essay_is_first_and_the_order_of_the_input_does_not_matter(essays, random):
    given_so = {**essays, "the best": GOOD}
    ranking = rank(given_so)
    assert ranking.essays[0].essay_id == "the best"
    assert sorted(each.essay_id for each in ranking.essays) == sorted(given_so)
    assert [each.rank for each in ranking.essays] == list(range(1, len(given_so) + 1))
    shares = [each.strength_ppm for each in ranking.essays]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1_000_000, abs=len(shares))
    assert all(points + against == 2 * len(GOOD.criteria) for _, _, points, against in ranking.comparisons)
    shuffled = list(given_so.items())
    random.shuffle(shuffled)
    assert rank(dict(shuffled)) == ranking


def test_equal_essays_stand_in_the_order_of_their_ids():
    essays = rank(dict.fromkeys(["c", "a", "b"], GOOD)).essays
    assert [(each.essay_id, each.strength_ppm) for each in essays] == [("a", 333_333), ("b", 333_333), ("c", 333_333)]


def test_fewer_corrections_decide_between_otherwise_equal_essays():
    essays = rank({"a": replace(GOOD, corrections=9), "b": GOOD}).essays
    assert [each.essay_id for each in essays] == ["b", "a"]


@pytest.mark.parametrize("essays", [2, 5, 40, 41, 64, 65, 300])
def test_bradley_terry_finds_the_order_that_the_outcomes_came_from(essays):
    true = np.exp(np.linspace(-2, 2, essays))
    order = list(true)
    Random(essays).shuffle(order)
    true = np.array(order)
    first, second = pairs(essays)
    won = 1e6 * true[first] / (true[first] + true[second])
    found = strengths(essays, first, second, won, 1e6 - won)
    assert np.argsort(found).tolist() == np.argsort(true).tolist()


def test_who_won_or_lost_every_comparison_has_a_finite_strength_above_nothing():
    one, other = strengths(2, np.array([0]), np.array([1]), np.array([8.0]), np.array([0.0])).tolist()
    assert 0 < other < 1 < one < 100


@pytest.mark.parametrize("essays", [1, 2, 3, 40, 41, 64, 1000])
def test_no_pair_meets_twice_and_the_pairs_are_bounded(essays):
    first, second = pairs(essays)
    met = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(met) == len(first)
    assert all(len(pair) == 2 for pair in met)
    if essays <= 40:
        assert len(met) == essays * (essays - 1) // 2
    else:
        assert len(met) <= essays * essays.bit_length()
