"""A story as lanes: front door, topics, store, replicas, database and blobs, with the faults across.

Each moment has a place of its own, so time is not to scale: a long time without one takes little room.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from harness.reports.html_places import Mark, marks
from harness.reports.html_scale import ROW, Band, Scale, drawn, row_names
from harness.reports.html_tag import Html, tag, text
from harness.reports.moment import Moment, seconds

if TYPE_CHECKING:
    from harness.history.reader import History
    from harness.reports.story import Story

LANE: Final = 46
_TICK_ROOM: Final = 56
_NAMES: Final = 162
_NAME: Final = 24
"""Letters of a lane's name."""

_ORDER: Final = ("front door", "topic", "store", "replica", "database", "blob", "letters")
"""Kinds of lanes from top to bottom."""

_UP: Final = frozenset({"ready", "resumed"})
_DOWN: Final = frozenset({"killed", "exited", "stopped", "paused"})
_WRONG: Final = frozenset(
    {"no effect", "effect again", "no follow-up", "killed", "exited", "blob missing", "blob different"}
)
"""Words of what should not be."""

Lives = Mapping[str, Sequence[tuple[int, str]]]
"""The name of each replica, and what became of it: (ns since the start, phase), oldest first."""


def lives(history: History) -> Lives:
    """Every replica of the run, also one that never changed."""
    found: dict[str, list[tuple[int, str]]] = {}
    for row in history.sql("SELECT t, op, name, phase FROM history WHERE op IN ('health', 'service') ORDER BY i"):
        changes = found.setdefault(str(row["name"]), [])
        if row["op"] == "service":
            changes.append((row["t"], row["phase"]))
    return found


def diagram(story: Story, bands: Sequence[Band], replicas: Lives) -> Html:
    """The picture of a story that has at least one moment in a lane."""
    moments = [one for one in story.moments if one.lane]
    begin, end = moments[0].t, moments[-1].t
    found = _rows([one for one in bands if one.begin <= end and one.end >= begin])
    names = row_names(found)
    placed, width = marks(moments)
    scale = Scale([begin - 1, *(one.moment.t for one in placed), end + 1], [0.0, *(one.x for one in placed), width])
    lanes = _lanes(moments, replicas)
    top = len(names) * ROW + 10
    height = top + len(lanes) * LANE
    middle = {lane: top + n * LANE + LANE // 2 - 4 for n, lane in enumerate(lanes)}
    size = {"width": round(width), "height": height + 20}
    picture = tag(
        "svg",
        *drawn(found, scale, 0, height),
        *(tag("line", class_="lane", x1=0, x2=round(width), y1=y, y2=y) for y in middle.values()),
        *_struck(found, scale, middle),
        *_lives(replicas, (begin, end), scale, middle),
        tag("polyline", class_="path", points=_path(placed, middle)),
        *(_mark(one, middle[one.moment.lane]) for one in placed),
        *_ticks(placed, height),
        viewBox=f"0 0 {round(width)} {height + 20}",
        class_="lanes",
        role="img",
        aria_label=f"The story of {story.kind} {story.id}, as in the list below",
        **size,
    )
    return tag("div", _beside(names, middle, height), tag("div", picture, class_="scroll"), class_="pair")


def numbers(moments: Sequence[Moment]) -> list[int | None]:
    """The number that stands at each moment's mark; None for those of faults."""
    count = 0
    return [(count := count + 1) if one.lane else None for one in moments]


def _lanes(moments: Sequence[Moment], replicas: Lives) -> list[str]:
    """The lanes in order: those with moments, and the replicas of each service that has a part in the story."""
    consumers = {one.consumer for one in moments if one.consumer}
    order = {name: _ORDER.index("replica") for name in replicas if name.partition("#")[0] in consumers}
    order |= {one.lane: _ORDER.index(one.kind) for one in moments}
    return sorted(order, key=lambda lane: (order[lane], lane))


def _rows(found: Sequence[Band]) -> list[Band]:
    """The same bands, in as few rows as their names need."""
    rows: dict[int, int] = {}
    return [
        Band(rows.setdefault(one.row, len(rows)), one.name, one.target, one.begin, one.bit, one.end, one.said)
        for one in found
    ]


def _struck(found: Sequence[Band], scale: Scale, middle: Mapping[str, int]) -> Iterator[Html]:
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


def _lives(replicas: Lives, span: tuple[int, int], scale: Scale, middle: Mapping[str, int]) -> Iterator[Html]:
    """When each replica was up."""
    begin, end = span
    for lane in (lane for lane in middle if "#" in lane):
        since: int | None = begin
        spans = []
        for t, phase in replicas.get(lane, ()):
            if t > end:
                continue
            if phase in _DOWN:
                spans.append((since, t))
                since = None
            elif phase in _UP and since is None:
                since = max(begin, t)
        spans.append((since, end))
        for first, last in spans:
            if first is not None and last > first:
                x = scale(first)
                yield tag("rect", class_="up", x=x, y=middle[lane] - 2, width=scale(last) - x, height=4, rx=2)


def _path(placed: Sequence[Mark], middle: Mapping[str, int]) -> str:
    """From mark to mark, without what only happened around."""
    told = [one for one in placed if one.moment.kind not in {"replica", "blob"}]
    return " ".join(f"{one.x:.1f},{middle[one.moment.lane]}" for one in told)


def _mark(one: Mark, y: int) -> Html:
    moment = one.moment
    return tag(
        "g",
        tag("title", f"{seconds(moment.t)} {moment.who}: {moment.text}"),
        tag("circle", cx=one.x, cy=y, r=8.5),
        tag("text", one.number, x=one.x, y=y + 3.5, class_="number"),
        tag("text", one.word, x=one.x, y=y + 21, class_="word"),
        class_=f"mark {'wrong' if one.word in _WRONG else moment.kind.partition(' ')[0]}",
    )


def _ticks(placed: Sequence[Mark], foot: int) -> Iterator[Html]:
    last = -float(_TICK_ROOM)
    for one in placed:
        if one.x - last >= _TICK_ROOM:
            last = one.x
            yield tag("text", seconds(one.moment.t), class_="tick", x=one.x, y=foot + 14, text_anchor="middle")


def _beside(names: Sequence[str], middle: Mapping[str, int], height: int) -> Html:
    rows = [tag("text", text(name, _NAME), x=0, y=n * ROW + 14, class_="row") for n, name in enumerate(names)]
    lanes = [tag("text", text(lane, _NAME), x=0, y=y + 4, class_="lane-name") for lane, y in middle.items()]
    return tag("svg", *rows, *lanes, width=_NAMES, height=height + 20, class_="names", aria_hidden="true")
