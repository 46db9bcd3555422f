"""What waits for its outcome, in whatever order and however often it is asked for and answered."""

from collections.abc import Iterator

import pytest

from harness.observers.awaited import Awaited
from harness.system import Outcome

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
    awaited.asked("upload", "u1")
    awaited.asked("batch", "b1")
    assert len(awaited) == 2
    awaited.saw("refused", {"0": "u1"})
    assert len(awaited) == 1
    awaited.saw("done", {"1": "b1"})
    assert not awaited


def test_an_answer_may_come_before_it_is_asked_for(awaited: Awaited) -> None:
    awaited.saw("stored", {"0": "u1"})
    awaited.asked("upload", "u1")
    assert not awaited


def test_an_answer_to_one_rule_is_none_to_another(awaited: Awaited) -> None:
    awaited.asked("batch", "k")
    awaited.saw("stored", {"0": "k"})
    assert len(awaited) == 1


def test_an_event_asks_for_what_follows_it_once_however_often_it_is_seen(awaited: Awaited) -> None:
    awaited.saw("stored", {"0": "u1", "2": "e1"})
    assert len(awaited) == 1
    awaited.saw("stored", {"0": "u1", "2": "e1"})
    assert len(awaited) == 1
    awaited.saw("checked", {"2": "e1"})
    awaited.saw("stored", {"0": "u1", "2": "e1"})
    assert not awaited
