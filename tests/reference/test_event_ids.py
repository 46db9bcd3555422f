from __future__ import annotations

import hashlib
import json
import unicodedata
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from reference_impl.common_core.event_ids import digest, event_id, malformed_id

# What canonical JSON can hold: no integers beyond 2**53, no infinities, no lone surrogates.
texts = st.text(st.characters(codec="utf-8"))
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
data = st.dictionaries(texts, values, max_size=5)
facts = st.tuples(texts, texts, texts, st.integers(1, 100))


def backwards(value: object) -> object:
    """The same JSON, every object's keys in the opposite order."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(list(value))}
    return [backwards(each) for each in value] if isinstance(value, list) else value


@given(data)
def test_the_order_of_keys_does_not_change_a_digest(some):
    assert digest(backwards(some)) == digest(some)


@given(data)
def test_a_digest_survives_the_wire(some):
    assert digest(json.loads(json.dumps(some))) == digest(some)


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_the_way_a_number_is_written_does_not_change_a_digest(number):
    assert digest({"n": float(number)}) == digest({"n": number})


@given(texts, texts)
def test_different_texts_have_different_digests(one, other):
    assert (digest({"t": one}) == digest({"t": other})) == (one == other)


def test_unicode_forms_are_different_facts():
    composed, decomposed = (unicodedata.normalize(form, "Räksmörgås") for form in ("NFC", "NFD"))
    assert digest({"t": composed}) != digest({"t": decomposed})
    assert event_id("t", "s", composed) != event_id("t", "s", decomposed)


def test_a_digest_is_that_of_the_canonical_form():
    assert digest({"b": 1.0, "a": "ö"}) == hashlib.sha256('{"a":"ö","b":1}'.encode()).hexdigest()


@given(facts)
def test_the_same_fact_has_the_same_id(fact):
    assert event_id(*fact) == event_id(*fact)


@given(facts, facts)
def test_two_facts_never_share_an_id(one, other):
    assert (event_id(*one) == event_id(*other)) == (one == other)


def test_no_separator_can_be_forged():
    assert event_id("a", "b|c", "d") != event_id("a|b", "c", "d")
    assert event_id("a", 'b","c', "d") != event_id("a", "b", 'c","d')


def test_ids_never_change():
    assert event_id("huleedu.file.essay_content.provisioned.v1", "file_service", "u1") == UUID(
        "60a8ad60-1ea2-5fbe-96bd-4f9cd9d26540"
    )


def test_another_occurrence_is_another_fact():
    assert event_id("t", "s", "k", 1) != event_id("t", "s", "k", 2)


def test_a_malformed_record_is_known_by_where_it_lies():
    assert malformed_id("essays", 3, 17) == "essays:3:17"
