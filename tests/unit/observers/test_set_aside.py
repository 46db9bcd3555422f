"""A dead letter's own words, beside those of the history."""

import struct
from typing import Any

import orjson
import pytest

from harness.observers.dead_letters import Known, letter_fields
from harness.observers.set_aside import SetAside, set_aside
from harness.stack import Record, RunNames
from harness.system_events import DeadLetters

WHERE = DeadLetters(topic="letters", id="/event_id", consumer="/consumer", source="/source", kind="/kind")


def letter(value: object) -> SetAside:
    record = Record("letters", 0, 3, None, value if isinstance(value, bytes) else orjson.dumps(value))
    return set_aside(record, WHERE, letter_fields(record, WHERE, RunNames("r1"), Known()), RunNames("r1"), ())


def test_the_system_is_asked_in_its_own_words() -> None:
    one = letter(
        {
            "event_id": "r1.essays:2:7",
            "consumer": "checker",
            "source": {"topic": "r1.essays", "partition": 2, "offset": 7},
            "kind": "malformed",
        }
    )
    assert one.about == {
        "event_id": "r1.essays:2:7",
        "consumer": "checker",
        "topic": "r1.essays",
        "partition": "2",
        "offset": "7",
    }
    assert one.fields == {
        "event_id": "essays:2:7",
        "consumer": "checker",
        "source_topic": "essays",
        "source_partition": 2,
        "source_offset": 7,
    }


def test_what_a_letter_does_not_say_is_left_out() -> None:
    assert letter({"event_id": "e", "consumer": None, "source": "gone"}).about == {"event_id": "e"}
    assert letter(b"no JSON").about == {}


def test_two_letters_of_one_consumer_about_one_record_are_about_the_same() -> None:
    said = {"event_id": "e", "consumer": "c", "source": {"topic": "r1.essays", "partition": 0, "offset": 1}}
    assert letter({**said, "kind": "poison"}).key == letter({**said, "kind": "conflict"}).key
    assert letter(said).key != letter({**said, "consumer": "d"}).key


KNOWN = Known(["essays"], ["billing"])
SPRING: dict[str, Any] = {
    "topic": "letters",
    "id": "/id",
    "consumer": {"header": "kafka_dlt-original-consumer-group"},
    "source": {name: f"kafka_dlt-original-{name}" for name in ("topic", "partition", "offset")},
}
CONNECT: dict[str, Any] = {
    "topic": "letters",
    "id": {"header": "ce_id"},
    "consumer": "billing",
    "source": {name: f"__connect.errors.{name}" for name in ("topic", "partition", "offset")},
}


def spring(topic: str = "r1.essays", partition: int = 2, offset: int = 808464432) -> list[tuple[str, bytes]]:
    """Headers as Spring's DeadLetterPublishingRecoverer writes them."""
    return [
        ("kafka_dlt-original-topic", topic.encode()),
        ("kafka_dlt-original-partition", struct.pack(">i", partition)),
        ("kafka_dlt-original-offset", struct.pack(">q", offset)),
        ("kafka_dlt-original-consumer-group", b"billing-r1"),
    ]


def fields(where: dict[str, Any], value: bytes, *headers: tuple[str, bytes]) -> dict[str, object]:
    record = Record("letters", 0, 3, b"key", value, headers)
    return dict(letter_fields(record, DeadLetters.model_validate(where), RunNames("r1"), KNOWN))


def test_springs_headers_name_the_place_and_the_group() -> None:
    found = fields(SPRING, b'{"id": "e1"}', *spring())
    wanted = {"source_topic": "essays", "source_partition": 2, "source_offset": 808464432, "consumer": "billing"}
    assert wanted.items() <= found.items()
    assert (found["event_id"], found["kind"]) == ("e1", "unsaid")
    assert fields(SPRING, b"\0", *spring())["event_id"] is None


def test_connects_headers_are_text() -> None:
    headers = [("__connect.errors.topic", b"r1.essays"), ("ce_id", b"e1")]
    headers += [("__connect.errors.partition", b"0"), ("__connect.errors.offset", b"12345678")]
    found = fields(CONNECT, b"", *headers)
    assert (found["source_partition"], found["source_offset"], found["event_id"]) == (0, 12345678, "e1")
    assert found["consumer"] == "billing"


@pytest.mark.parametrize(
    ("places", "offset"),
    [
        ([spring(offset=1), spring("r1.essays-retry-0", 0, 5)], 1),
        ([spring(offset=1), spring(offset=9)], 9),
    ],
)
def test_of_several_places_the_last_on_a_topic_of_events_counts(places: Any, offset: int) -> None:
    assert fields(SPRING, b"{}", *places[0], *places[1])["source_offset"] == offset


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([], "it has 0 headers kafka_dlt-original-topic"),
        (spring()[:2], "and 0 kafka_dlt-original-offset"),
        ([*spring()[:2], ("kafka_dlt-original-offset", b"abc")], "b'abc' is no number"),
        (
            [*spring()[:3], ("kafka_dlt-original-consumer-group", b"other")],
            "other is neither a service nor a service's group",
        ),
        (spring()[:3], "None is neither a service"),
    ],
)
def test_a_letter_whose_headers_do_not_say_whence_it_came_cannot_be_read(headers: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fields(SPRING, b"{}", *headers)
