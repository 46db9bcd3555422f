from __future__ import annotations

import json
import random
import string
import subprocess
import sys

import pytest

from reference_impl.common_core.events import EssaySpellcheckRequestedV1
from reference_impl.service_libs.teller import Teller
from reference_impl.spell_checker.core_logic import CONSUMER, spelling_consumer
from reference_impl.spell_checker.spelling import Spelling

TEXT = "Teh quick fox JUMPD over 2nd Räksmörgås; I don't recieve it."
CORRECTED = "The quick fox JUMP over 2nd Räksmörgås; I don't receive it."


@pytest.fixture(scope="module")
def english():
    return Spelling.english()


@pytest.fixture
async def requested(content):
    storage_id = await content.store_content(TEXT.encode(), "extracted_plaintext")
    return EssaySpellcheckRequestedV1(
        essay_id="u1", batch_id="b", pipeline_id="b/1", pipeline_size=2, text_storage_id=storage_id
    )


@pytest.fixture
def consumer(idempotency, content, english):
    def make(teller):
        return spelling_consumer(idempotency.settings, idempotency, content, english, teller).consume

    return make


@pytest.fixture
def consume(consumer, the_outbox, clock):
    return consumer(Teller(the_outbox, clock, CONSUMER))


async def test_a_request_is_answered_once_with_the_corrected_text(
    *, consume, delivered, requested, told, rows, content
):
    for _ in range(2):
        await consume(delivered(requested))
    (event,) = await told("spelling")
    assert event["event_type"] == "huleedu.essay.spellcheck.completed.v1"
    corrected_id = event["data"].pop("corrected_text_storage_id")
    assert event["data"] == {
        "essay_id": "u1",
        "batch_id": "b",
        "pipeline_id": "b/1",
        "pipeline_size": 2,
        "words": 11,
        "corrections": 3,
    }
    assert content.blobs[corrected_id].decode() == CORRECTED
    assert content.kinds[-1] == "corrected_text"
    assert await rows("SELECT * FROM spellcheck") == [(1, "b/1", "u1", corrected_id, 11, 3)]
    assert await rows("SELECT business_key FROM effect_ledger") == [('["b/1","u1"]',)]


async def test_the_same_essay_in_a_later_pass_is_corrected_again(consume, delivered, requested, told):
    await consume(delivered(requested))
    await consume(delivered(requested.model_copy(update={"pipeline_id": "b/2"})))
    one, other = await told("spelling")
    assert one["event_id"] != other["event_id"]


async def test_work_done_again_tells_the_same_fact(*, consumer, interrupted, delivered, requested, told, rows):
    teller = interrupted(CONSUMER)
    await consumer(teller)(delivered(requested))
    assert teller.cut_off == [json_of(event) for event in await told("spelling")]
    assert len(await rows("SELECT 1 FROM spellcheck")) == 1


def json_of(event):
    return event["event_id"], event["data"]


async def test_a_text_that_is_gone_is_set_aside(consume, delivered, requested, letters, content):
    content.blobs.clear()
    await consume(delivered(requested))
    (letter,) = await letters()
    assert "ContentMissing" in letter["reason"]


async def test_its_own_results_are_passed_over(consume, delivered, requested, told, rows):
    await consume(delivered(requested))
    (event,) = await told("spelling")
    before = await rows("SELECT * FROM inbox")
    delivery = delivered(requested)
    await consume(type(delivery)("spelling", 0, 1, b"u1", json.dumps(event).encode()))
    assert await rows("SELECT * FROM inbox") == before


@pytest.mark.parametrize(
    ("word", "correction"),
    [
        ("recieve", "receive"),
        ("Recieve", "Receive"),
        ("RECIEVE", "RECEIVE"),
        ("tomorow", "tomorrow"),
        ("tomorrrow", "tomorrow"),
        ("receive", "receive"),
        ("it's", "it's"),
        ("b2b", "b2b"),
        ("naïve", "naïve"),
        ("räceive", "räceive"),
        ("xqzwvjk", "xqzwvjk"),
        ("", ""),
        ("receive\u2019s", "receive\u2019s"),
    ],
)
def test_a_word(english, word, correction):
    corrected = english.correct(word)
    assert (corrected.text, corrected.corrections) == (correction, int(word != correction))


def test_all_between_the_words_is_kept():
    corrected = Spelling({"the": 1}).correct("  teh,\r\n\n\tteh...teh-the ")
    assert corrected.text == "  the,\r\n\n\tthe...the-the "
    assert (corrected.words, corrected.corrections) == (4, 3)


@pytest.mark.parametrize("known", [["cat", "bat"], ["bat", "cat"]])
def test_of_equally_frequent_candidates_the_alphabet_decides(known):
    assert Spelling(dict.fromkeys(known, 1)).correct("dat").text == "cat"


def test_the_most_frequent_candidate_is_taken():
    assert Spelling({"bat": 2, "cat": 1}).correct("dat").text == "bat"


def test_another_process_corrects_alike():
    """The order of a set of strings differs from process to process, and must not matter."""
    words = " ".join("".join(random.Random(seed).choices(string.ascii_lowercase, k=3)) for seed in range(300))
    code = (
        "import sys; from reference_impl.spell_checker.spelling import Spelling;"
        "print(Spelling.english().correct(sys.argv[1]))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code, words], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


@pytest.mark.parametrize("letters", [1, 5, 32, 500])
def test_a_long_text_of_odd_words_takes_bounded_work(letters):
    """Counted, not timed: letters looked up. Distinct words only, and no neighbours of what is no word."""
    looked_up = 0

    class Counting(dict[str, int]):
        def __contains__(self, key: object) -> bool:
            nonlocal looked_up
            looked_up += len(str(key))
            return super().__contains__(key)

    odd = "".join(random.Random(letters).choices(string.ascii_lowercase, k=50_000))
    text = " ".join(odd[at : at + letters] for at in range(0, 50_000, letters + 1))
    spelling = Spelling(Counting())
    for _ in range(2):
        assert spelling.correct(text).words > 50_000 / (letters + 1) - 1
    assert looked_up <= 54 * 33 * 50_000
