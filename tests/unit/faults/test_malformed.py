"""What is made malformed is so by the system's own pointers, or not made at all."""

from random import Random

import orjson
import pytest

from harness.coding import Decode
from harness.errors import PlanRefused
from harness.faults.kafka_malformed import KafkaMalformed, spoiled
from harness.stack import Record
from harness.system import System
from harness.system_events import Events

EVENT = {"event_id": "e1", "event_type": "t", "data": {"raw_file_storage_id": "b1", "name": "n"}}
SAMPLE = orjson.dumps(EVENT)
EVENTS = Events(id="/event_id", type="/event_type", topics=["essays"])
FLAT = Events(id="/id", type="/type", data=None, raw=None, topics=["essays"])


def records(*values) -> list[Record]:
    return [Record("essays", 0, n, b"key-%d" % n, value) for n, value in enumerate(values)]


def made(kind, tail=(SAMPLE,), events=EVENTS, seed=1) -> bytes:
    found = spoiled(kind, records(*tail), events, Random(seed))
    assert found is not None
    return found[1]


@pytest.mark.parametrize("kind", ["bytes", "types", "no_raw"])
def test_it_has_a_key_where_the_topics_records_have_one_and_not_that_of_an_event(kind) -> None:
    """A compacted topic takes none without a key, and a key may be an event's id."""
    found = spoiled(kind, records(SAMPLE, b"[1]"), EVENTS, Random(1))
    assert found is not None
    assert found[0]
    assert found[0] not in {one.key for one in records(SAMPLE, b"[1]")}
    assert (spoiled(kind, [Record("essays", 0, 1, None, SAMPLE)], EVENTS, Random(1)) or [b""])[0] is None


def test_stray_bytes_are_no_text() -> None:
    for seed in range(50):
        with pytest.raises(UnicodeDecodeError):
            made("bytes", seed=seed).decode()


def test_wrong_types_keep_the_id_that_they_claim() -> None:
    event = orjson.loads(made("types"))
    assert event["event_id"] == "e1"
    assert not isinstance(event["data"], dict)


def test_the_data_are_those_that_the_system_file_points_to() -> None:
    payload = {"id": "e1", "type": "t", "payload": {"n": 1}}
    events = Events(id="/id", type="/type", data="/payload", raw=None, topics=["essays"])
    event = orjson.loads(made("types", [orjson.dumps(payload)], events))
    assert event == payload | {"payload": event["payload"]}
    assert not isinstance(event["payload"], dict)


def test_where_the_whole_value_is_the_data_nothing_of_the_event_is_left() -> None:
    assert not isinstance(orjson.loads(made("types", [b'{"id": "e1", "type": "t"}'], FLAT)), dict)


def test_an_event_without_its_raw_blob_is_otherwise_the_same() -> None:
    assert orjson.loads(made("no_raw")) == {**EVENT, "data": {"name": "n"}}


def test_an_event_that_names_no_raw_blob_is_passed_over() -> None:
    other = orjson.dumps({"event_id": "e2", "event_type": "t", "data": {"name": "n"}})
    assert orjson.loads(made("no_raw", [SAMPLE, other]))["event_id"] == "e1"
    assert spoiled("no_raw", records(other), EVENTS, Random(1)) is None


@pytest.mark.parametrize("kind", ["bytes", "types", "no_raw"])
def test_the_same_seed_makes_the_same_bytes(kind) -> None:
    assert made(kind, seed=7) == made(kind, seed=7)


@pytest.mark.parametrize("sample", [None, b"", b"[1]", b"\xff"])
@pytest.mark.parametrize("kind", ["types", "no_raw"])
def test_where_there_is_no_event_to_spoil_none_is_made(kind, sample) -> None:
    assert spoiled(kind, records(sample), EVENTS, Random(1)) is None


def test_a_system_whose_events_name_no_raw_blob_cannot_lose_one(system: System) -> None:
    """By default they name one if there are blobs to check."""
    fault = KafkaMalformed.model_validate({"count": 1, "kinds": ["no_raw"]})
    told = system.model_dump(exclude_unset=True, exclude_none=True)
    fault.check("essays", System.model_validate({**told, "blobs": {"get": "http://{content_service}/{id}"}}))
    with pytest.raises(PlanRefused, match=r"no events\.raw"):
        fault.check("essays", System.model_validate(told))


@pytest.mark.parametrize("kind", ["types", "no_raw"])
def test_where_values_are_decoded_only_stray_bytes_are_made(system: System, kind) -> None:
    events = system.events.model_copy(update={"decode": Decode(function="decoding:order"), "raw": "/raw"})
    decoded = system.model_copy(update={"events": events})
    KafkaMalformed.model_validate({"count": 1, "kinds": ["bytes"]}).check("essays", decoded)
    KafkaMalformed.model_validate({"count": 1}).check("essays", decoded)
    assert spoiled(kind, records(SAMPLE), EVENTS, Random(1)) is not None
    assert spoiled(kind, records(SAMPLE), EVENTS.model_copy(update={"decode": events.decode}), Random(1)) is None
    with pytest.raises(PlanRefused, match=rf"kinds: {kind}: .*write `kinds: \[bytes\]`"):
        KafkaMalformed.model_validate({"count": 1, "kinds": ["bytes", kind]}).check("essays", decoded)
