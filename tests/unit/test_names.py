import re

import orjson
import pytest

from harness.addresses import Names
from harness.observers.dead_letters import Known, letter_fields
from harness.stack import Record, RunNames
from harness.stacks.external.names import FixedNames
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


@pytest.mark.parametrize("kind", ["topic", "group"])
def test_what_already_runs_goes_by_the_system_files_names_in_both_directions(kind: str) -> None:
    fixed = FixedNames("r1", Names(topics={"orders": "prod.Orders"}, groups={"billing": "prod-billing"}))
    there, back = (fixed.topic, fixed.plain) if kind == "topic" else (fixed.group, fixed.service)
    for name in ("orders", "billing", "other"):
        assert back(there(name)) == name
    # Another's name that is also one of the system file's.
    assert back("orders" if kind == "topic" else "billing") is None
