from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import assume, given
from hypothesis import strategies as st

from reference_impl.common_core.event_ids import digest, event_id, malformed_id
from reference_impl.common_core.events import EssayContentProvisionedV1, EssaySpellcheckRequestedV1, EventData, fact

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


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def told(*, metadata: Mapping[str, object] = MappingProxyType({}), **changed: object):
    """The provisioned upload u1, changed so; ``metadata`` are the envelope's."""
    fields = {
        "upload_id": "u1",
        "batch_id": "b1",
        "batch_size": 1,
        "file_name": "a.txt",
        "raw_file_storage_id": "a" * 64,
        "text_storage_id": "b" * 64,
        "extractor_version": 2,
    }
    around: dict[str, Any] = {"source": "file_service", "now": NOW, "correlation_id": "u1"} | dict(metadata)
    return fact(EssayContentProvisionedV1(**fields | changed), **around)


def request(**key: str):
    return EssaySpellcheckRequestedV1(batch_id="b1", pipeline_size=1, text_storage_id="a" * 64, **key)


def of_id(data: EventData) -> UUID:
    return fact(data, source="s", now=NOW, correlation_id="c").event_id


def of(event) -> str:
    """The digest that a consumer finds for an event on the wire."""
    return digest(json.loads(event.model_dump_json())["data"])


def backwards(value: Any) -> Any:
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


@given(texts)
def test_a_unicode_form_outside_the_key_changes_the_digest_and_not_the_id(name):
    """The file's name is no part of the key: the same fact, told with other data, is a conflict and not a new fact."""
    composed, decomposed = (told(file_name=unicodedata.normalize(form, name)) for form in ("NFC", "NFD"))
    assert composed.event_id == decomposed.event_id
    same = composed.data.file_name == decomposed.data.file_name
    assert (of(composed) == of(decomposed)) == same


@given(names, st.sampled_from(["NFC", "NFD"]))
def test_a_unicode_form_inside_the_key_is_another_fact(name, form):
    other = unicodedata.normalize(form, name)
    assume(0 < len(other) <= 512)
    assert (told(upload_id=name).event_id == told(upload_id=other).event_id) == (name == other)


@given(st.datetimes(timezones=st.just(UTC)), texts, st.none() | texts)
def test_metadata_leave_id_and_digest(moment, correlation_id, causation_id):
    other = told(metadata={"now": moment, "correlation_id": correlation_id, "causation_id": causation_id})
    assert (other.event_id, of(other)) == (told().event_id, of(told()))


@given(names, names)
def test_two_facts_with_equal_data_besides_the_key_have_different_ids(one, other):
    assert (told(upload_id=one).event_id == told(upload_id=other).event_id) == (one == other)


def test_two_occurrences_with_equal_data_have_different_ids():
    first, second = (told(metadata={"occurrence": n}) for n in (1, 2))
    assert of(first) == of(second)
    assert first.event_id != second.event_id


separators = st.sampled_from(['","', '"', ",", "|", ":", "/", "\\", " ", "", '"],["'])


@given(separators, names, names, names)
def test_a_separator_inside_a_key_of_two_parts_makes_no_two_facts_one(separator, one, two, three):
    left = request(pipeline_id=one + separator + two, essay_id=three)
    right = request(pipeline_id=one, essay_id=two + separator + three)
    assert (left.business_key == right.business_key) == (left == right)
    assert (of_id(left) == of_id(right)) == (left == right)


@given(separators, st.lists(texts, min_size=4, max_size=4), st.integers(0, 1))
def test_a_separator_inside_a_part_of_an_id_makes_no_two_facts_one(separator, words, at):
    left, right = list(words), list(words)
    left[at : at + 2] = [separator.join(words[at : at + 2])]
    right[at + 1 : at + 3] = [separator.join(words[at + 1 : at + 3])]
    assert (event_id(*left) == event_id(*right)) == (left == right)


@pytest.mark.parametrize("number", [2**53, -(2**53), 10**30, float("nan"), float("inf")])
def test_what_has_no_canonical_form_has_no_digest(number):
    with pytest.raises(rfc8785.CanonicalizationError):
        digest({"n": number})


@pytest.mark.parametrize("written", ["1", "1.0", "1e0", "10E-1", "1.000"])
def test_forms_of_a_number_on_the_wire_are_one(written):
    assert digest(json.loads(f'{{"n": {written}}}')) == digest({"n": 1})


def test_a_number_is_no_text_and_no_truth():
    assert len({digest({"n": value}) for value in (1, "1", True, None)}) == 4


def test_no_separator_can_be_forged():
    assert event_id("a", "b|c", "d") != event_id("a|b", "c", "d")
    assert event_id("a", 'b","c', "d") != event_id("a", "b", 'c","d')


def test_ids_never_change():
    assert event_id("huleedu.file.essay_content.provisioned.v1", "file_service", "u1") == UUID(
        "60a8ad60-1ea2-5fbe-96bd-4f9cd9d26540"
    )


def test_another_occurrence_is_another_fact():
    assert event_id("t", "s", "k", 1) != event_id("t", "s", "k", 2)


places = st.tuples(
    st.from_regex(r"[a-zA-Z0-9._-]{1,20}", fullmatch=True), st.integers(0, 9999), st.integers(0, 2**40)
)


@given(places, places)
def test_malformed_records_at_two_places_are_two(one, other):
    assert (malformed_id(*one) == malformed_id(*other)) == (one == other)


@given(places, facts)
def test_a_malformed_record_is_never_taken_for_an_event(place, some):
    assert malformed_id(*place) != str(event_id(*some))


def test_a_malformed_record_is_known_by_where_it_lies():
    assert malformed_id("essays", 3, 17) == "essays:3:17"
