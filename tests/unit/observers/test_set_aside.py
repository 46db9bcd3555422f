"""A dead letter's own words, beside those of the history."""

import struct
from typing import Any

import orjson
import pytest

from harness.observers.dead_letters import DeadLetters as Observer
from harness.observers.dead_letters import Known, letter_fields
from harness.observers.set_aside import SetAside, set_aside
from harness.observers.unreadable import UnreadableError
from harness.stack import Record, RunNames
from harness.system_events import DeadLetters
from tests.standin import StandIn

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


@pytest.mark.parametrize("value", [b"no JSON", b"", None, b"7\0", b'{"event_id": "e"', b'{"a": ' + b"[" * 9999])
def test_a_letter_that_cannot_be_parsed_is_unreadable_and_no_letter_about_nothing(value: bytes | None) -> None:
    record = Record("letters", 0, 3, None, value)
    with pytest.raises(UnreadableError, match="not JSON"):
        letter_fields(record, WHERE, RunNames("r1"), Known())


ABOUT = b'"event_id": "e", "consumer": "c", "kind": "poison", "source": {"topic": "r1.essays", "partition": 0, "offset": 1}'


@pytest.mark.parametrize("odd", [b'"\\udcff"', b"NaN", b"1e999", b"-Infinity", b"9" * 40])
def test_what_only_some_parsers_accept_beside_its_fields_hides_none_of_them(odd: bytes) -> None:
    one = letter(b'{"detail": ' + odd + b", " + ABOUT + b"}")
    assert one.about == {"event_id": "e", "consumer": "c", "topic": "r1.essays", "partition": "0", "offset": "1"}


@pytest.mark.parametrize("field", [b"event_id", b"consumer", b"kind", b"source"])
@pytest.mark.parametrize("odd", [b'"\\udcff"', b"NaN"])
def test_what_only_some_parsers_accept_in_one_of_its_fields_makes_it_unreadable(field: bytes, odd: bytes) -> None:
    named = b'{"topic": ' + odd + b"}" if field == b"source" else odd
    record = Record("letters", 0, 3, None, b"{" + ABOUT + b', "' + field + b'": ' + named + b"}")
    with pytest.raises(UnreadableError, match="no text or number"):
        letter_fields(record, WHERE, RunNames("r1"), Known())


def test_an_id_that_is_a_number_is_spelled_as_in_its_event() -> None:
    for number in (17, 2**64 + 1):
        assert letter(b'{"event_id": %d}' % number).fields["event_id"] == str(number)


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
    assert fields({**SPRING, "id": ["/a", "/b"]}, b"\0", *spring())["source_offset"] == 808464432


def test_where_no_place_on_a_topic_of_events_is_named_the_id_must_be_readable() -> None:
    elsewhere = spring("r1.essays-retry-0")
    assert fields(SPRING, b'{"id": "e1"}', *elsewhere)["event_id"] == "e1"
    with pytest.raises(UnreadableError, match="on no topic of events, and its id cannot be read: not JSON"):
        fields(SPRING, b"\0", *elsewhere)
    assert fields({**SPRING, "id": {"key": True}}, b"\0", *elsewhere)["event_id"] == "key"


@pytest.mark.parametrize("named", [{"consumer": "/consumer"}, {"kind": "/kind"}, {"source": "/source"}])
def test_a_value_that_holds_more_than_the_id_must_be_readable(named: dict[str, str]) -> None:
    with pytest.raises(UnreadableError, match="not JSON"):
        fields({**SPRING, "consumer": "billing", **named}, b"\0", *spring())


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


@pytest.mark.parametrize("consumer", ["/consumer", {"header": "group"}])
async def test_a_tombstone_deletes_a_letter_and_is_none(consumer: Any) -> None:
    class Topic(StandIn):
        async def pass_to_end(self):
            return [Record("letters", 0, 3, b"key", None)]

    where = DeadLetters(topic="letters", id="/event_id", consumer=consumer, source="/source")
    observer = Observer(Topic(), where, RunNames("r1"), Known())
    assert [row async for row in observer.read(final=True)] == []


async def test_a_letter_that_headers_describe_may_be_about_a_tombstone() -> None:
    class Topic(StandIn):
        async def pass_to_end(self):
            headers = (("topic", b"r1.essays"), ("partition", b"2"), ("offset", b"7"))
            return [Record("letters", 0, 3, None, None, headers)]

    source = {"topic": "topic", "partition": "partition", "offset": "offset"}
    where = DeadLetters(topic="letters", id={"key": True}, consumer="checker", source=source)
    observer = Observer(Topic(), where, RunNames("r1"), Known(events=["essays"], services=["checker"]))
    (row,) = [row async for row in observer.read(final=True)]
    assert (row["source_topic"], row["source_offset"]) == ("essays", 7)
