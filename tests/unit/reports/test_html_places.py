"""Where the marks of a story stand."""

import pytest

from harness.reports import html_places
from harness.reports.html_places import WIDTH, marks
from harness.reports.moment import Moment

MS = 1_000_000


def moments(times: list[int], word: str = "effect", lane: str = "database") -> list[Moment]:
    return [Moment(t * MS, "shop", f"{word} {t}", word, "shop", "database", lane, word) for t in times]


def test_as_much_room_as_the_page_has() -> None:
    # The most even spread that fits: one step more would be too wide.
    placed, width = marks(moments([0, 10, 200, 90_000]))
    assert width == WIDTH
    row = html_places._Row([one.moment for one in placed], [one.word for one in placed])
    fits = [step for step in range(401) if row.places(step / 2)[1] <= WIDTH]
    assert [one.x for one in placed] == row.places(max(fits) / 2)[0]


def test_more_room_than_a_page_only_for_words() -> None:
    placed, width = marks(moments(list(range(0, 4000, 100))))
    assert width > WIDTH
    half = len("effect again") * html_places._LETTER / 2
    assert placed[5].x - placed[4].x == pytest.approx(2 * half + 4)


def test_one_moment_alone() -> None:
    ((placed,), width) = marks(moments([7]))
    assert (placed.number, placed.word, width) == (1, "effect", WIDTH)


def test_lanes_do_not_push_each_other() -> None:
    one, other = moments([0], lane="a"), moments([1], lane="b")
    placed, _ = marks([*one, *other, *moments([2], lane="a")])
    assert placed[0].x < placed[1].x < placed[2].x
    assert [mark.word for mark in placed] == ["effect", "effect again", "effect again"]


def test_the_layouts_that_are_tried_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []
    places = html_places._Row.places
    monkeypatch.setattr(
        html_places._Row, "places", lambda row, stretch: tried.append(stretch) or places(row, stretch)
    )
    marks(moments(list(range(0, 40_000, 1000))))
    assert len(tried) < 12
