import re

import orjson
import pytest

from harness.observers.dead_letters import Known, letter_fields
from harness.stack import Record, RunNames
from harness.system_events import DeadLetters


def test_a_plain_service_has_a_plain_database() -> None:
    assert RunNames("r12ab").database("essay_lifecycle") == "r12ab_essay_lifecycle"


@pytest.mark.parametrize(("one", "other"), [("a-b", "a_b"), ("s" * 70, "s" * 71), ("s" * 62 + "a", "s" * 62 + "b")])
def test_two_services_never_share_a_database(one: str, other: str) -> None:
    made = {RunNames("r12ab").database(service) for service in (one, other)}
    assert len(made) == 2
    assert all(re.fullmatch("[a-z0-9_]{1,63}", name) for name in made)


def test_a_brokers_topic_is_known_by_its_plain_name_if_it_is_the_runs() -> None:
    names = RunNames("r1")
    assert names.plain(names.topic("essays")) == "essays"
    assert names.plain(RunNames("r12").topic("essays")) is None
    assert names.plain("essays") is None


def test_a_dead_letter_names_topics_as_the_system_file_does() -> None:
    where = DeadLetters(topic="dlq", id="/event_id", consumer="/consumer", source="/source", kind="/kind")
    value = {"event_id": "r1.essays:0:7", "source": {"topic": "r1.essays", "partition": 0, "offset": 7}}
    read = letter_fields(Record("dlq", 0, 3, None, orjson.dumps(value)), where, RunNames("r1"), Known())
    assert (read["event_id"], read["source_topic"]) == ("essays:0:7", "essays")
