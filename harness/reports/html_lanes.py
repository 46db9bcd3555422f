"""A story as lanes: front door, topics, store, replicas, database and blobs, with the faults across.

Each moment has a place of its own, so time is not to scale: a long time without one takes little room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import log10
from typing import TYPE_CHECKING, Final

from harness.reports.html_scale import ROW, Band, Scale, drawn, row_names
from harness.reports.html_tag import Html, tag, text
from harness.reports.story import Moment, Story, seconds

if TYPE_CHECKING:
    from harness.history.reader import History

LANE: Final = 46
_WIDTH: Final = 834
_LEAST: Final = 20
"""Pixels between two marks."""

_LETTER: Final = 6.3
"""Pixels of a letter of a label, with a little room."""

_TICK_ROOM: Final = 56
_NAMES: Final = 162
_NAME: Final = 24
"""Letters of a lane's name."""

_ORDER: Final = ("front door", "topic", "store", "replica", "database", "blob")
_WORDS: Final = (
    ("upload ", "front door"),
    ("event ", "topic"),
    ("follow-up ", "topic"),
    ("offset passed", "topic"),
    ("dead letter", "letters"),
    ("was asked", "store"),
    ("service ", "replica"),
    ("effect", "database"),
    ("the final read", "database"),
    ("raw blob", "blob"),
)
"""How a moment of each kind begins; those of faults are drawn as bands."""

_UP: Final = frozenset({"ready", "resumed"})
_DOWN: Final = frozenset({"killed", "exited", "stopped", "paused"})
_WRONG: Final = frozenset({"no effect by", "killed", "exited", "blob missing", "blob different"})


def kind(moment: Moment) -> str | None:
    """Which kind of lane a moment stands in; None if it is no moment of a lane, but a fault's."""
    return next((lane for word, lane in _WORDS if moment.text.startswith(word)), None)


def diagram(history: History, story: Story, bands: Sequence[Band]) -> Html:
    """The picture of a story that has at least one moment in a lane."""
    moments = [one for one in story.moments if kind(one)]
    found = [one for one in bands if one.begin <= moments[-1].t and one.end >= moments[0].t]
    names = row_names(found := _rows(found))
    lanes = _lanes(history, story, moments)
    scale, places = _scale(moments, lanes)
    top = len(names) * ROW + 10
    height = top + len(lanes) * LANE
    width = round(scale.places[-1])
    middle = {lane: top + n * LANE + LANE // 2 - 4 for n, lane in enumerate(lanes)}
    size = {"width": width, "height": height + 20}
    picture = tag(
        "svg",
        *drawn(found, scale, 0, height),
        *(tag("line", class_="lane", x1=0, x2=width, y1=y, y2=y) for y in middle.values()),
        *_struck(found, scale, middle),
        *_lives(history, moments, scale, middle),
        tag("polyline", class_="path", points=_path(moments, places, middle)),
        *_marks(moments, places, middle),
        *_ticks(moments, places, height),
        viewBox=f"0 0 {width} {height + 20}",
        class_="lanes",
        role="img",
        aria_label=f"The story of {story.kind} {story.id}, as in the list below",
        **size,
    )
    return tag("div", _beside(names, middle, height), tag("div", picture, class_="scroll"), class_="pair")


def numbers(moments: Sequence[Moment]) -> list[int | None]:
    """The number that stands at each moment's mark; None for those of faults."""
    count = 0
    return [(count := count + 1) if kind(one) else None for one in moments]


def _lane(moment: Moment) -> str:
    """The name of a moment's lane."""
    which = kind(moment)
    if which == "topic":
        place = moment.text.partition("(")[2].partition(",")[0] if moment.brief == "offset passed" else moment.who
        return f"topic {place.rsplit(':', 2)[0]}"
    if which == "replica":
        return moment.who
    return {"store": "redis", "letters": "dead letters", "blob": "raw blob"}.get(which or "", which or "")


def _lanes(history: History, story: Story, moments: Sequence[Moment]) -> list[str]:
    """The lanes in order: those with moments, and the replicas of each service that has a part in the story."""
    consumers = {one.consumer for one in story.moments if one.consumer and kind(one)}
    replicas = history.sql("SELECT DISTINCT name FROM history WHERE op IN ('health', 'service') ORDER BY name")
    having = {name for row in replicas if (name := str(row["name"])).partition("#")[0] in consumers}
    order = {"front door": 0, "redis": 2, "database": 4, "raw blob": 5, "dead letters": 6}
    lanes = {_lane(one) for one in moments} | having
    return sorted(lanes, key=lambda lane: (order.get(lane, 1 if lane.startswith("topic ") else 3), lane))


def _scale(moments: Sequence[Moment], lanes: Sequence[str]) -> tuple[Scale, list[float]]:
    """As much room for the time between two moments as the page's width has, and more than that only for words."""
    most = 400.0
    stretch = next((one / 2 for one in range(round(most), 0, -1) if _places(moments, lanes, one / 2)[1] <= _WIDTH), 0)
    places, width = _places(moments, lanes, stretch)
    width = max(width, _WIDTH)
    end = moments[-1].t + 1
    return Scale([moments[0].t - 1, *(one.t for one in moments), end], [0.0, *places, width]), places


def _places(moments: Sequence[Moment], lanes: Sequence[str], stretch: float) -> tuple[list[float], float]:
    """Each moment's pixel, and the width of all.

    The time before a moment counts by its logarithm, ``stretch`` pixels for each tenfold of it; words in one lane stand
    beside each other.
    """
    taken = dict.fromkeys(lanes, 0.0)
    places: list[float] = []
    for n, (moment, word) in enumerate(zip(moments, _words(moments), strict=True)):
        half = max(10.0, len(word) * _LETTER / 2)
        gap = (moment.t - moments[n - 1].t) / 1e6 if n else 0
        x = max((places[-1] if n else 8.0) + _LEAST + stretch * log10(1 + gap / 10), taken[_lane(moment)] + half + 4)
        taken[_lane(moment)] = x + half
        places.append(x)
    return places, max(*taken.values(), places[-1]) + 12


def _rows(found: Sequence[Band]) -> list[Band]:
    """The same bands, in as few rows as their names need."""
    rows: dict[int, int] = {}
    return [
        Band(rows.setdefault(one.row, len(rows)), one.name, one.target, one.begin, one.bit, one.end, one.said)
        for one in found
    ]


def _struck(found: Sequence[Band], scale: Scale, middle: dict[str, int]) -> Iterator[Html]:
    """Where a fault's target is a lane, it is marked in that lane."""
    for band in found:
        target = band.target.partition("->")[0]
        for lane, y in middle.items():
            if target in {lane, lane.partition("#")[0], lane.removeprefix("topic ")}:
                x = scale(band.begin)
                wide = max(3, scale(band.end) - x)
                yield tag(
                    "rect", tag("title", band.said), class_="struck", x=x, y=y - 12, width=wide, height=24, rx=3
                )


def _lives(history: History, moments: Sequence[Moment], scale: Scale, middle: dict[str, int]) -> Iterator[Html]:
    """When each replica was up."""
    begin, end = moments[0].t, moments[-1].t
    changes = history.sql("SELECT t, name, phase FROM history WHERE op = 'service' AND t <= $end ORDER BY i", end=end)
    for lane in (lane for lane in middle if "#" in lane):
        since: int | None = begin
        spans = []
        for row in changes:
            if row["name"] != lane:
                continue
            if row["phase"] in _DOWN:
                spans.append((since, row["t"]))
                since = None
            elif row["phase"] in _UP and since is None:
                since = max(begin, row["t"])
        spans.append((since, end))
        for first, last in spans:
            if first is not None and last > first:
                x = scale(first)
                yield tag("rect", class_="up", x=x, y=middle[lane] - 2, width=scale(last) - x, height=4, rx=2)


def _path(moments: Sequence[Moment], places: Sequence[float], middle: dict[str, int]) -> str:
    """From mark to mark, without what only happened around."""
    told = [(x, one) for x, one in zip(places, moments, strict=True) if kind(one) not in {"replica", "blob"}]
    return " ".join(f"{x:.1f},{middle[_lane(one)]}" for x, one in told)


def _marks(moments: Sequence[Moment], places: Sequence[float], middle: dict[str, int]) -> Iterator[Html]:
    for n, (x, moment, word) in enumerate(zip(places, moments, _words(moments), strict=True), 1):
        y = middle[_lane(moment)]
        wrong = moment.brief in _WRONG or (moment.brief == "effect" and word != "effect")
        yield tag(
            "g",
            tag("title", f"{seconds(moment.t)} {moment.who}: {moment.text}"),
            tag("circle", cx=x, cy=y, r=8.5),
            tag("text", n, x=x, y=y + 3.5, class_="number"),
            tag("text", word, x=x, y=y + 21, class_="word"),
            class_=f"mark {'wrong' if wrong else (kind(moment) or '').partition(' ')[0]}",
        )


def _words(moments: Sequence[Moment]) -> list[str]:
    """The word under each mark; a second effect of one consumer is called so."""
    effects: Counter[str] = Counter()
    words = []
    for moment in moments:
        effects[moment.consumer] += moment.brief == "effect"
        again = moment.brief == "effect" and effects[moment.consumer] > 1
        words.append("effect again" if again else _word(moment))
    return words


def _word(moment: Moment) -> str:
    if moment.brief:
        return {"uploaded": "sent", "no effect by": "no effect"}.get(moment.brief, moment.brief)
    words = moment.text.partition(",")[0].split()
    return words[0] if words[0] == "follow-up" or len(words) == 1 else words[1]


def _ticks(moments: Sequence[Moment], places: Sequence[float], foot: int) -> Iterator[Html]:
    last = -float(_TICK_ROOM)
    for x, moment in zip(places, moments, strict=True):
        if x - last >= _TICK_ROOM:
            last = x
            yield tag("text", seconds(moment.t), class_="tick", x=x, y=foot + 14, text_anchor="middle")


def _beside(names: Sequence[str], middle: dict[str, int], height: int) -> Html:
    rows = [tag("text", text(name, _NAME), x=0, y=n * ROW + 14, class_="row") for n, name in enumerate(names)]
    lanes = [tag("text", text(lane, _NAME), x=0, y=y + 4, class_="lane-name") for lane, y in middle.items()]
    return tag("svg", *rows, *lanes, width=_NAMES, height=height + 20, class_="names", aria_hidden="true")
