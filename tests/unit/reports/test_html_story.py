"""Anomalies on the page: each with its stories, told together exactly as one by one."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.checkers.judge import judge
from harness.history.reader import History
from harness.reports.html_lanes import diagram, lives, numbers
from harness.reports.html_scale import bands
from harness.reports.html_tag import Html
from harness.reports.story import Subject, tell, tell_all
from harness.reports.summary import subject

BAD = Path(__file__).parents[2] / "histories" / "bad"
TOLD = [
    "lost.recorded",
    "duplicate.recorded",
    "raw_different",
    "conflated",
    "outcome_doubled",
    "effect_and_dead_letter",
]


@pytest.fixture(params=TOLD)
def recorded(request: pytest.FixtureRequest) -> Iterator[History]:
    with History(BAD / f"{request.param}.jsonl") as opened:
        yield opened


def subjects(history: History) -> list[Subject]:
    rows = [row for one in judge(history) for found in one.anomalies.values() for row in found]
    return sorted({about for row in rows if (about := subject(row))})


def test_stories_told_together_are_the_same(recorded: History) -> None:
    about = subjects(recorded)
    assert about
    together = tell_all(recorded, about)
    assert list(together) == about
    for one in about:
        # What was seen at one moment has no order.
        assert Counter(together[one].moments) == Counter(tell(recorded, *one).moments)


def test_many_stories_cost_no_more_looks_through_the_history_than_one(
    recorded: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = subjects(recorded)
    asked: list[str] = []
    ask = recorded.sql
    monkeypatch.setattr(recorded, "sql", lambda query, **given: asked.append(query) or ask(query, **given))
    tell_all(recorded, about[:1])
    one = len(asked)
    tell_all(recorded, about)
    assert 0 < len(asked) <= 2 * one


def test_each_moment_has_a_lane_or_is_a_fault_s(recorded: History) -> None:
    moments = [moment for one in tell_all(recorded, subjects(recorded)).values() for moment in one.moments]
    assert {one.text.partition(" ")[0] for one in moments if not one.lane} <= {"fault"}
    assert {one.kind for one in moments if not one.lane} <= {"fault"}
    assert all(one.word for one in moments if one.lane)


def pictured(history: History, id_: str) -> Html:
    return diagram(tell(history, "event", id_), bands(history, 31 * 10**9), lives(history))


def test_marks_have_the_numbers_of_the_list(history: History, lost: str) -> None:
    story = tell(history, "event", lost)
    drawn = pictured(history, lost)
    counted = [number for number in numbers(story.moments) if number]
    assert counted == list(range(1, len(counted) + 1))
    assert drawn.count('class="number"') == len(counted)


def test_lanes_from_the_front_door_to_the_blob(history: History, lost: str) -> None:
    drawn = pictured(history, lost)
    lanes = ["front door", "topic essays", "redis", "essay_lifecycle#1", "database", "raw blob"]
    places = [drawn.index(f">{lane}<") for lane in lanes]
    assert places == sorted(places)
    assert drawn.count('class="across"') == 2
    assert drawn.count('class="struck"') == 1


def test_what_went_wrong_stands_out(history: History, lost: str, twice: str) -> None:
    # Killed, and in the end no effect and no blob.
    assert pictured(history, lost).count('class="mark wrong"') == 3
    # Only the second effect.
    assert pictured(history, twice).count('class="mark wrong"') == 1
