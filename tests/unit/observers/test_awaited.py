"""What waits for its outcome, in whatever order and however often it is asked for and answered."""

from collections.abc import Iterator

import pytest

from harness.observers.awaited import Awaited
from harness.system_events import Outcome

RULES = [
    Outcome(of="upload", by="/upload", then={"accepted": ["stored"], "rejected": ["refused"]}),
    Outcome(of="batch", by="/batch", then=["done"]),
    Outcome(of="stored", by="/essay", then=["checked"]),
]


@pytest.fixture
def awaited() -> Iterator[Awaited]:
    made = Awaited(RULES)
    yield made
    made.close()


def test_what_was_asked_waits_until_it_is_answered(awaited: Awaited) -> None:
    awaited.asked("upload", "u1", acceptable=True)
    awaited.asked("batch", "b1", acceptable=True)
    assert len(awaited) == 2
    awaited.saw("refused", {"0": "u1"}, "id")
    assert len(awaited) == 1
    awaited.saw("done", {"1": "b1"}, "id")
    assert not awaited


def test_an_answer_may_come_before_it_is_asked_for(awaited: Awaited) -> None:
    awaited.saw("stored", {"0": "u1"}, "id")
    awaited.asked("upload", "u1", acceptable=True)
    assert not awaited


def test_an_answer_to_one_rule_is_none_to_another(awaited: Awaited) -> None:
    awaited.asked("batch", "k", acceptable=True)
    awaited.saw("stored", {"0": "k"}, "id")
    assert len(awaited) == 1


def test_an_event_asks_for_what_follows_it_once_however_often_it_is_seen(awaited: Awaited) -> None:
    awaited.saw("stored", {"0": "u1", "2": "e1"}, "id")
    assert len(awaited) == 1
    awaited.saw("stored", {"0": "u1", "2": "e1"}, "id")
    assert len(awaited) == 1
    awaited.saw("checked", {"2": "e1"}, "id")
    awaited.saw("stored", {"0": "u1", "2": "e1"}, "id")
    assert not awaited


def test_what_is_asked_again_waits_for_another_event(awaited: Awaited) -> None:
    awaited.asked("upload", "u1", acceptable=True)
    awaited.saw("stored", {"0": "u1"}, "first")
    assert awaited.settled("upload", "u1")
    awaited.asked_again("upload", "u1")
    assert len(awaited) == 1
    awaited.saw("stored", {"0": "u1"}, "first")
    assert not awaited.settled("upload", "u1")
    awaited.saw("stored", {"0": "u1"}, "second")
    assert not awaited
    assert awaited.settled("upload", "u1")


def test_the_new_outcome_may_come_before_the_answer(awaited: Awaited) -> None:
    for event_id in ("first", "second"):
        awaited.saw("stored", {"0": "u1"}, event_id)
    awaited.asked_again("upload", "u1")
    assert not awaited


def test_each_time_that_is_asked_is_an_outcome_more(awaited: Awaited) -> None:
    for _ in range(2):
        awaited.asked_again("upload", "u1")
    for event_id in ("first", "second", "second"):
        awaited.saw("stored", {"0": "u1"}, event_id)
    assert len(awaited) == 1
    awaited.saw("stored", {"0": "u1"}, "third")
    assert not awaited


def test_of_what_nobody_asks_nothing_is_settled(awaited: Awaited) -> None:
    assert not awaited.settled("upload", "u1")
    assert not awaited.settled("parcel", "p1")
    awaited.saw("stored", {"0": "u1"}, "first")
    assert awaited.settled("upload", "u1")


def test_of_a_rule_for_one_kind_of_upload_the_other_waits_for_nothing() -> None:
    rules = [
        Outcome(of="upload", by="/upload", then=["stored"]),
        Outcome(of="upload", by="/upload", then={"accepted": ["archived"]}),
    ]
    awaited = Awaited(rules)
    awaited.asked("upload", "good", acceptable=True)
    awaited.asked("upload", "bad", acceptable=False)
    assert len(awaited) == 3
    awaited.saw("stored", {"0": "bad"}, "id")
    assert awaited.settled("upload", "bad")
    awaited.asked_again("upload", "bad")
    awaited.saw("stored", {"0": "bad"}, "again")
    assert awaited.settled("upload", "bad")
    awaited.saw("stored", {"0": "good"}, "id")
    assert not awaited.settled("upload", "good")
    awaited.saw("archived", {"1": "good"}, "id")
    assert not awaited
    awaited.close()


def test_what_is_asked_again_waits_for_a_new_outcome_by_one_of_its_rules() -> None:
    awaited = Awaited([Outcome(of="upload", by="/upload", then=[kind]) for kind in ("stored", "extracted")])
    awaited.asked("upload", "u1", acceptable=True)
    awaited.saw("stored", {"0": "u1"}, "id")
    awaited.asked_again("upload", "u1")
    awaited.saw("stored", {"0": "u1"}, "again")
    assert len(awaited) == 1
    awaited.saw("extracted", {"1": "u1"}, "id")
    assert not awaited
    awaited.asked_again("upload", "u1")
    assert len(awaited) == 2
    assert not awaited.settled("upload", "u1")
    for event_id in ("again", "and again"):
        awaited.saw("extracted", {"1": "u1"}, event_id)
    assert not awaited
    assert awaited.settled("upload", "u1")
    awaited.close()


def test_what_is_kept_of_a_key_is_bounded(awaited: Awaited) -> None:
    for number in range(10_000):
        awaited.saw("stored", {"0": "u1"}, str(number))
    assert len(awaited._answered[0].get("u1") or b"") < 100
