from random import Random

import orjson
import pytest

from harness.faults.kafka_malformed import malformed

EVENT = {"event_id": "e1", "event_type": "t", "data": {"raw_file_storage_id": "b1", "name": "n"}}
SAMPLE = orjson.dumps(EVENT)


def test_stray_bytes_are_no_text() -> None:
    for seed in range(50):
        with pytest.raises(UnicodeDecodeError):
            malformed("bytes", SAMPLE, Random(seed)).decode()


def test_wrong_types_keep_the_id_that_they_claim() -> None:
    event = orjson.loads(malformed("types", SAMPLE, Random(1)))
    assert event["event_id"] == "e1"
    assert not isinstance(event["data"], dict)


def test_an_event_without_its_raw_blob_is_otherwise_the_same() -> None:
    assert orjson.loads(malformed("no_raw", SAMPLE, Random(1))) == {**EVENT, "data": {"name": "n"}}


@pytest.mark.parametrize("kind", ["bytes", "types", "no_raw"])
def test_the_same_seed_makes_the_same_bytes(kind) -> None:
    assert malformed(kind, SAMPLE, Random(7)) == malformed(kind, SAMPLE, Random(7))


@pytest.mark.parametrize("sample", [None, b"", b"[1]", b"\xff"])
def test_where_there_is_no_event_to_spoil_it_is_stray_bytes(sample) -> None:
    assert malformed("no_raw", sample, Random(1))[:1] == b"\xff"
