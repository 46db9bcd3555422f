"""What a record says as an event, and what is no event."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from harness.model import Where
from harness.observers.digest import digest
from harness.observers.spoiled import Spoiled
from harness.observers.topics import Topics, event_fields
from harness.observers.topics import seen as told_of
from harness.observers.unreadable import UnreadableError
from harness.stack import Record
from harness.system import System
from harness.system_events import Outcome, TypeByTopic

SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "small",
        "dependencies": {"kafka": {"topics": {"orders": 2}}},
        "services": {"shop": {"command": "python -m shop", "env": {"KAFKA": "{kafka}"}}},
        "load": {"upload": {"to": "shop", "post": "/orders"}},
        "events": {
            "id": "/event_id",
            "type": "/event_type",
            "cause": "/causation_id",
            "raw": "/data/raw_file_storage_id",
            "topics": ["orders"],
        },
        "outcomes": [
            {"of": "upload", "by": "/data/upload_id", "then": ["placed"]},
            {"of": "placed", "by": ["/data/upload_id", "/data/place"], "then": ["shipped"]},
            {"of": "batch", "by": "/data/batch_id", "then": ["closed"]},
        ],
    }
)

ORDER = "996ad860-2a9a-504f-8861-aeafd0b2ae29"


def event(**changes: object) -> dict[str, object]:
    return {
        "event_id": "e1",
        "event_type": "placed",
        "causation_id": "c1",
        "data": {"upload_id": "u1", "raw_file_storage_id": "b1"},
    } | changes


def seen(value: object, *, headers: tuple[tuple[str, bytes], ...] = ()) -> dict[str, Any]:
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


class Nobody:
    async def pass_to_end(self):
        return []


def test_what_a_fault_put_other_bytes_in_place_of_was_an_outcome_and_calls_for_none() -> None:
    topics, heard = Topics(Nobody(), SYSTEM), []
    topics.on_outcome = heard.append
    topics.awaited.asked("upload", "u1", acceptable=True)
    value = json.dumps(event(data={"upload_id": "u1", "place": "here"})).encode()
    told = topics.overwritten(Record("orders", 1, 7, None, value))
    assert (told["event_id"], told["offset"], told["joins"]) == ("e1", 7, {"0": "u1", "1": '["u1","here"]'})
    assert heard == ["u1"]
    assert not topics.awaited, "neither the upload nor what nobody could read"
    assert topics.overwritten(Record("orders", 1, 8, None, b"none"))["malformed"] == "not JSON"


def test_a_record_without_a_value_is_a_tombstone_and_no_event_is_missing() -> None:
    told = dict(event_fields(Record("orders", 1, 7, b"e1", None), SYSTEM))
    assert told == {"op": "tombstone", "phase": "seen", "topic": "orders", "partition": 1, "offset": 7}
    by_topic = SYSTEM.events.model_copy(
        update={"id": Where(key=True), "type": TypeByTopic(topics={"orders": "placed"})}
    )
    system = SYSTEM.model_copy(update={"events": by_topic})
    assert event_fields(Record("orders", 1, 7, b"e1", None), system)["op"] == "tombstone"
    assert event_fields(Record("orders", 1, 7, b"e1", b""), system)["malformed"] == "not JSON"


def test_a_key_that_is_no_text_names_no_event_since_two_could_be_one() -> None:
    events = SYSTEM.events.model_copy(update={"id": Where(key=True)})
    system = SYSTEM.model_copy(update={"events": events})
    for key in (b"\xfe\x01", b"\xff\x01"):
        told = told_of(Record("orders", 1, 7, key, json.dumps(event()).encode()), system, Spoiled())
        assert "event_id" not in told
        assert str(told["error"]).startswith("UnicodeDecodeError")


def test_of_one_whose_headers_name_an_id_and_a_type_nobody_knows_what_it_is() -> None:
    events = SYSTEM.events.model_copy(update={"id": Where(header="ce_id"), "type": Where(header="ce_type")})
    system = SYSTEM.model_copy(update={"events": events})
    record = Record("orders", 1, 7, b"k", None, (("ce_id", b"e1"), ("ce_type", b"placed")))
    with pytest.raises(UnreadableError, match="an event without data, or a tombstone"):
        event_fields(record, system)
    assert event_fields(replace(record, headers=(("ce_id", b"e1"),)), system)["op"] == "tombstone"


def test_a_header_that_names_an_id_is_as_doubtful_where_the_topic_says_the_type() -> None:
    kinds = TypeByTopic(topics={"orders": "placed"})
    events = SYSTEM.events.model_copy(update={"id": Where(header="ce_id"), "type": kinds})
    system = SYSTEM.model_copy(update={"events": events})
    record = Record("orders", 1, 7, b"k", None, (("ce_id", b"e1"),))
    with pytest.raises(UnreadableError, match="give such events a value"):
        event_fields(record, system)
    assert event_fields(replace(record, headers=()), system)["op"] == "tombstone"
    assert event_fields(replace(record, topic="notes"), system)["op"] == "tombstone"


def test_what_a_fault_published_as_malformed_is_so_without_a_value_too() -> None:
    spoiled = Spoiled()
    spoiled.note(None, "spoiled by a fault")
    assert event_fields(Record("orders", 1, 7, None, None), SYSTEM, spoiled)["malformed"] == "spoiled by a fault"


async def test_a_tombstone_counts_as_read_and_asks_for_no_dead_letter() -> None:
    topics = Topics(Passes([json.dumps(event()).encode(), None]), SYSTEM)
    assert [fields["op"] async for fields in topics.read(final=True)] == ["event", "tombstone"]
    assert (topics.last, topics.count, topics.malformed) == ({("orders", 1): 1}, 2, [])


def test_where_records_say_no_type_their_topic_does() -> None:
    events = SYSTEM.events.model_copy(
        update={"type": TypeByTopic(topics={"orders": "placed", "refunds": "refunded"})}
    )
    by_topic = SYSTEM.model_copy(update={"events": events})
    value = json.dumps({"event_id": "e1", "event_type": "something else"}).encode()
    read = [dict(event_fields(Record(topic, 0, 7, None, value), by_topic)) for topic in ("orders", "refunds")]
    assert [fields["event_type"] for fields in read] == ["placed", "refunded"]
    stray = dict(event_fields(Record("orders", 0, 7, None, b"\xff"), by_topic))
    assert (stray["malformed"], stray["event_type"]) == ("not JSON", "placed")


def test_a_faults_header_tells_nothing_for_a_system_may_forward_it() -> None:
    for fault in (b"kafka.malformed", b"kafka.duplicate"):
        fields = seen(event(), headers=(("oneffect-fault", fault),))
        assert "malformed" not in fields
        assert fields["marked"] == fault.decode()


def test_what_the_harness_made_malformed_is_so_whoever_publishes_it_again() -> None:
    spoiled = Spoiled()
    value = json.dumps(event(data="text")).encode()
    spoiled.note(value, "spoiled by kafka.malformed: types")
    for offset in (7, 8):
        fields = event_fields(Record("orders", 1, offset, None, value), SYSTEM, spoiled)
        assert fields["malformed"] == "spoiled by kafka.malformed: types"
        assert (fields["event_id"], fields["claims"], fields["event_type"]) == (f"orders:1:{offset}", "e1", "placed")


def test_data_with_an_integer_that_a_double_cannot_hold_has_two_digests() -> None:
    fields = seen(event(data={"n": 1234567890123456789}))
    assert fields["digest"] == digest({"n": 1234567890123456789})
    assert fields["digest_rounded"] == hashlib.sha256(b'{"n":1234567890123456800}').hexdigest()
    assert seen(event())["digest_rounded"] is None


def test_several_pointers_are_joined_as_json() -> None:
    data = {"upload_id": 'u"1', "place": {"b": 1, "a": [2]}}
    assert seen(event(event_type="shipped", data=data))["joins"] == {"1": '["u\\"1",{"a":[2],"b":1}]'}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"upload_id": ORDER, "place": 1}, {"upload_id": ORDER.replace("-", "").upper(), "place": "1"}),
        ({"upload_id": "u1", "place": "{" + ORDER + "}"}, {"upload_id": "u1", "place": ORDER}),
        ({"upload_id": "", "place": True}, {"upload_id": "", "place": "true"}),
        ({"upload_id": "u1", "place": {"a": 1, "b": 2}}, {"upload_id": "u1", "place": {"b": 2, "a": 1}}),
    ],
)
def test_what_services_write_differently_is_one_value_among_several(one: object, other: object) -> None:
    keys = [
        seen(event(event_type=kind, data=data))["joins"]["1"] for kind, data in (("placed", one), ("shipped", other))
    ]
    assert keys[0] == keys[1]


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
        ({"of": "upload", "by": ["/a", "/b"], "then": ["x"]}, "by: the id of an upload is at one pointer"),
        ({"of": "batch", "by": ["/a"], "then": ["x"]}, "by: the id of a batch is at one pointer"),
        ({"of": "batch", "by": "/a", "then": {"accepted": ["x"]}}, "only uploads differ"),
        ({"of": "placed", "by": "/a", "then": {"rejected": ["x"]}}, "only uploads differ"),
    ],
)
def test_a_rule_that_could_not_be_counted_is_refused(rule: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Outcome.model_validate(rule)


DEEP = b"[" * 1000 + b"]" * 1000
ODD = [
    b'{"event_id": ' + b"[" * 300 + b"]" * 300 + b', "event_type": "placed", "data": {}}',
    b'{"event_id": "e1", "event_type": "placed", "data": {"upload_id": "u1", "more": ' + DEEP + b"}}",
    b'{"event_id": "e1", "event_type": "placed", "data": {"n": NaN}}',
    b'{"event_id": "e1", "event_type": "placed", "data": {"name": "\\ud800"}}',
    b'{"event_id": "e1", "event_type": "placed", "data": ' + DEEP * 2 + b"}",
]
"""Events to some parsers: nobody here can say what they are."""


class Passes:
    """A reader's passes."""

    def __init__(self, *passes: list[bytes | None]) -> None:
        self._passes = list(passes)
        self._offset = 0

    async def pass_to_end(self) -> list[Record]:
        made = []
        for value in self._passes.pop(0) if self._passes else []:
            made.append(Record("orders", 1, self._offset, None, value))
            self._offset += 1
        return made


@pytest.mark.parametrize("odd", ODD, ids=["id", "data", "nan", "surrogate", "deeper"])
async def test_a_record_that_cannot_be_read_is_told_and_the_others_are_read(odd: bytes) -> None:
    plain = json.dumps(event()).encode()
    told = [fields async for fields in Topics(Passes([plain, odd, plain]), SYSTEM).read(final=False)]
    assert [fields["offset"] for fields in told] == [0, 1, 2]
    assert told[1]["error"]
    assert "malformed" not in told[1]
    assert told[0]["event_id"] == told[2]["event_id"] == "e1"


async def test_what_a_pass_that_was_cut_short_did_not_give_is_given_by_the_next() -> None:
    topics = Topics(Passes([json.dumps(event()).encode()] * 3), SYSTEM)
    reading: Any = topics.read(final=False)
    assert [(await anext(reading))["offset"] for _ in range(2)] == [0, 1]
    await reading.aclose()
    # The second was handed out, and nobody said that it was taken.
    assert [fields["offset"] async for fields in topics.read(final=True)] == [1, 2]
    assert topics.count == 3


async def test_an_outcome_counts_although_the_values_of_its_event_cannot_be_kept(monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise ValueError("badly formed")

    topics, told = Topics(Passes([json.dumps(event()).encode()]), SYSTEM), []
    topics.on_outcome = told.append
    monkeypatch.setattr(topics.carried, "note", fails)
    topics.awaited.asked("upload", "u1", acceptable=True)
    with pytest.raises(ValueError, match="badly formed"):
        assert [fields async for fields in topics.read(final=False)]
    assert topics.awaited.settled("upload", "u1")
    assert (told, topics.take_raws()) == (["u1"], ["b1"])


@pytest.mark.parametrize(
    "spelled",
    [
        "6F9619FF-8B86-D011-B42D-00CF4FC964FF",
        "6f9619ff8b86d011b42d00cf4fc964ff",
        "{6F9619FF-8b86-d011-b42d-00cf4fc964ff}",
        "urn:uuid:6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    ],
)
def test_a_uuid_has_one_spelling(spelled: str) -> None:
    assert seen(event(event_id=spelled))["event_id"] == "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
    assert seen(event(data={"upload_id": spelled}))["joins"] == {"0": "6f9619ff-8b86-d011-b42d-00cf4fc964ff"}


@pytest.mark.parametrize(
    "other", ["E1", "01JADE", "6F9619FF-8B86-D011-B42D", "order-6F9619FF8B86D011B42D00CF4FC964FF"]
)
def test_any_other_id_stays_as_it_is(other: str) -> None:
    assert seen(event(event_id=other))["event_id"] == other
