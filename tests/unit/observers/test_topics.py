"""What a record says as an event, and what is no event."""

import hashlib
import json

import pytest

from harness.observers.topics import digest, event_fields
from harness.stack import Record
from harness.system import Outcome, System

SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "small",
        "dependencies": {"kafka": {"topics": {"orders": 2}}},
        "services": {"shop": {"command": "python -m shop", "env": {"KAFKA": "{kafka}"}}},
        "load": {"upload": {"to": "shop", "post": "/orders"}},
        "events": {"id": "/event_id", "type": "/event_type", "cause": "/causation_id", "topics": ["orders"]},
        "outcomes": [
            {"of": "upload", "by": "/data/upload_id", "then": ["placed"]},
            {"of": "placed", "by": ["/data/upload_id", "/data/place"], "then": ["shipped"]},
            {"of": "batch", "by": "/data/batch_id", "then": ["closed"]},
        ],
    }
)


def event(**changes: object) -> dict[str, object]:
    return {
        "event_id": "e1",
        "event_type": "placed",
        "causation_id": "c1",
        "data": {"upload_id": "u1", "raw_file_storage_id": "b1"},
    } | changes


def seen(value: object, *, headers: tuple[tuple[str, bytes], ...] = ()) -> dict[str, object]:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return dict(event_fields(Record("orders", 1, 7, None, raw, headers), SYSTEM))


def test_an_event_has_its_id_digest_blob_and_join() -> None:
    fields = seen(event())
    assert fields["event_id"] == "e1"
    assert fields["causation_id"] == "c1"
    assert fields["raw_file_storage_id"] == "b1"
    assert fields["joins"] == {"0": "u1"}
    assert fields["digest"] == digest({"raw_file_storage_id": "b1", "upload_id": "u1"})


@pytest.mark.parametrize(
    "value", [b"\xff\x00", b"", b"[1]", b"null", {"event_type": "placed"}, event(event_id=""), {"event_id": "x"}]
)
def test_what_is_no_event_is_known_by_its_position(value: object) -> None:
    fields = seen(value)
    assert fields["malformed"]
    assert fields["event_id"] == "orders:1:7"


def test_a_malformed_record_of_the_harness_is_known_by_its_header() -> None:
    fields = seen(event(), headers=(("oneffect-fault", b"kafka.malformed"),))
    assert fields["malformed"]
    assert fields["injected"] == "kafka.malformed"


def test_a_duplicate_of_the_harness_is_an_event_all_the_same() -> None:
    fields = seen(event(), headers=(("oneffect-fault", b"kafka.duplicate"),))
    assert "malformed" not in fields
    assert fields["injected"] == "kafka.duplicate"


def test_the_digest_is_of_the_canonical_json() -> None:
    assert digest({"b": 1.0, "a": "ö"}) == hashlib.sha256('{"a":"ö","b":1}'.encode()).hexdigest()


def test_numbers_beyond_the_standard_still_have_a_digest() -> None:
    assert digest({"n": 2**60}) != digest({"n": 2**60 + 1})


def test_several_pointers_are_joined_as_json() -> None:
    data = {"upload_id": 'u"1', "place": {"b": 1, "a": [2]}}
    assert seen(event(event_type="shipped", data=data))["joins"] == {"1": '["u\\"1",{"a":[2],"b":1}]'}


@pytest.mark.parametrize("data", [{"upload_id": "u1"}, {"place": 1}, {"upload_id": "u1", "place": None}])
def test_an_event_that_lacks_one_of_several_values_is_not_joined(data: object) -> None:
    assert "1" not in seen(event(event_type="shipped", data=data))["joins"]


def test_the_outcome_of_a_batch_is_joined_by_the_batch() -> None:
    fields = seen(event(event_type="closed", data={"batch_id": "r1-b000000"}))
    assert fields["joins"] == {"2": "r1-b000000"}
    assert fields["upload_id"] is None


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"of": "upload", "by": ["/a", "/b"], "then": ["x"]}, "by: the id of an upload stands at one pointer"),
        ({"of": "batch", "by": ["/a"], "then": ["x"]}, "by: the id of a batch stands at one pointer"),
        ({"of": "batch", "by": "/a", "then": {"accepted": ["x"]}}, "only uploads are told apart"),
        ({"of": "placed", "by": "/a", "then": {"rejected": ["x"]}}, "only uploads are told apart"),
    ],
)
def test_a_rule_that_could_not_be_counted_is_refused(rule: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Outcome.model_validate(rule)


def test_a_record_nested_too_deep_for_a_canonical_form_does_not_stop_the_others() -> None:
    nested = b"[" * 1000 + b"]" * 1000
    raw = b'{"event_id": "e1", "event_type": "placed", "data": {"upload_id": "u1", "more": ' + nested + b"}}"
    fields = seen(raw)
    assert fields["event_id"] == "e1"
    assert fields["digest"] == hashlib.sha256(raw).hexdigest()
