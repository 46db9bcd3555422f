"""A dead letter's own words, beside those of the history."""

import orjson

from harness.observers.dead_letters import letter_fields
from harness.observers.set_aside import SetAside, set_aside
from harness.stack import Record, RunNames
from harness.system import DeadLetters

WHERE = DeadLetters(topic="letters", id="/event_id", consumer="/consumer", source="/source", kind="/kind")


def letter(value: object) -> SetAside:
    record = Record("letters", 0, 3, None, value if isinstance(value, bytes) else orjson.dumps(value))
    return set_aside(record, WHERE, letter_fields(record, WHERE, RunNames("r1")))


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
