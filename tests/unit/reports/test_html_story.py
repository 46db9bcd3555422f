"""Anomalies on the page: each with its stories, told from an excerpt exactly as from the whole history."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.checkers.judge import judge
from harness.history.reader import History
from harness.reports.html_lanes import diagram, kind, numbers
from harness.reports.html_scale import bands
from harness.reports.html_story import _excerpt
from harness.reports.story import Moment, tell
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


def subjects(history: History) -> list[tuple[str, str]]:
    rows = [row for one in judge(history) for found in one.anomalies.values() for row in found]
    return sorted({about for row in rows if (about := subject(row))})


def told(history: History, about: list[tuple[str, str]]) -> list[Counter[Moment]]:
    # What was seen at one moment has no order.
    return [Counter(tell(history, *one).moments) for one in about]


def test_an_excerpt_tells_the_same(recorded: History) -> None:
    about = subjects(recorded)
    assert about
    whole = told(recorded, about)
    with _excerpt(recorded, about):
        assert told(recorded, about) == whole


def test_an_excerpt_is_small_and_goes_away(recorded: History) -> None:
    count = "SELECT count(*) AS n FROM history"
    before = recorded.sql(count)
    with _excerpt(recorded, subjects(recorded)[:1]):
        assert recorded.sql(count)[0]["n"] < before[0]["n"] / 2
    assert recorded.sql(count) == before
    with pytest.raises(ZeroDivisionError), _excerpt(recorded, subjects(recorded)):
        raise ZeroDivisionError
    assert recorded.sql(count) == before


def test_each_moment_has_a_lane_or_is_a_fault_s(recorded: History) -> None:
    moments = [moment for one in subjects(recorded) for moment in tell(recorded, *one).moments]
    assert {one.text.partition(" ")[0] for one in moments if kind(one) is None} <= {"fault"}


def test_marks_have_the_numbers_of_the_list(history: History, lost: str) -> None:
    story = tell(history, "event", lost)
    drawn = diagram(history, story, bands(history, 31 * 10**9))
    counted = [number for number in numbers(story.moments) if number]
    assert counted == list(range(1, len(counted) + 1))
    assert drawn.count('class="number"') == len(counted)


def test_lanes_from_the_front_door_to_the_blob(history: History, lost: str) -> None:
    drawn = diagram(history, tell(history, "event", lost), bands(history, 31 * 10**9))
    lanes = ["front door", "topic essays", "redis", "essay_lifecycle#1", "database", "raw blob"]
    places = [drawn.index(f">{lane}<") for lane in lanes]
    assert places == sorted(places)
    assert drawn.count('class="across"') == 2
    assert drawn.count('class="struck"') == 1


def test_what_went_wrong_stands_out(history: History, lost: str, twice: str) -> None:
    found = bands(history, 31 * 10**9)
    # Killed, and in the end no effect and no blob.
    assert diagram(history, tell(history, "event", lost), found).count('class="mark wrong"') == 3
    # Only the second effect.
    assert diagram(history, tell(history, "event", twice), found).count('class="mark wrong"') == 1
