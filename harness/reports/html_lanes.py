"""A story as lanes: front door, topics, store, replicas, database and blobs, with the faults across.

Each moment gets a place of its own, so time is not to scale: a long gap takes little room.
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
"""Characters shown of a lane's name."""

_ORDER: Final = ("front door", "topic", "store", "replica", "database", "blob", "letters")
"""Kinds of lanes from top to bottom."""

_UP: Final = frozenset({"ready", "resumed"})
_DOWN: Final = frozenset({"killed", "exited", "stopped", "paused"})
_WRONG: Final = frozenset(
    {"no effect", "effect again", "no follow-up", "killed", "exited", "blob missing", "blob different"}
)
"""Words of marks that show something wrong."""

Lives = Mapping[str, Sequence[tuple[int, str]]]
"""Replica name -> its changes as (ns since the start, phase), oldest first."""


def lives(history: History) -> Lives:
    """Return the changes of every replica in the run, also of those that never changed."""
    by_name: dict[str, list[tuple[int, str]]] = {}
    for row in history.sql("SELECT t, op, name, phase FROM history WHERE op IN ('health', 'service') ORDER BY i"):
        changes = by_name.setdefault(str(row["name"]), [])
        if row["op"] == "service":
            changes.append((row["t"], row["phase"]))
    return by_name


def diagram(story: Story, bands: Sequence[Band], replicas: Lives) -> Html:
    """Draw a story that has at least one moment in a lane."""
    moments = [moment for moment in story.moments if moment.lane]
    begin, end = moments[0].t, moments[-1].t
    visible = _rows([band for band in bands if band.begin <= end and band.end >= begin])
    names = row_names(visible)
    placed, width = marks(moments)
    scale = Scale(
        [begin - 1, *(mark.moment.t for mark in placed), end + 1], [0.0, *(mark.x for mark in placed), width]
    )
    lanes = _lanes(moments, replicas)
    top = len(names) * ROW + 10
    height = top + len(lanes) * LANE
    middle = {lane: top + n * LANE + LANE // 2 - 4 for n, lane in enumerate(lanes)}
    size = {"width": round(width), "height": height + 20}
    picture = tag(
        "svg",
        *drawn(visible, scale, 0, height),
        *(tag("line", class_="lane", x1=0, x2=round(width), y1=y, y2=y) for y in middle.values()),
        *_struck(visible, scale, middle),
        *_lives(replicas, (begin, end), scale, middle),
        tag("polyline", class_="path", points=_path(placed, middle)),
        *(_mark(mark, middle[mark.moment.lane]) for mark in placed),
        *_ticks(placed, height),
        viewBox=f"0 0 {round(width)} {height + 20}",
        class_="lanes",
        role="img",
        aria_label=f"The story of {story.kind} {story.id}, as in the list below",
        **size,
    )
    return tag("div", _beside(names, middle, height), tag("div", picture, class_="scroll"), class_="pair")


def numbers(moments: Sequence[Moment]) -> list[int | None]:
    """Return the number at each moment's mark; None for faults, which have no mark."""
    count = 0
    return [(count := count + 1) if moment.lane else None for moment in moments]


def _lanes(moments: Sequence[Moment], replicas: Lives) -> list[str]:
    """Return the lanes in order: those with moments, and the replicas of each service in the story."""
    consumers = {moment.consumer for moment in moments if moment.consumer}
    order = {name: _ORDER.index("replica") for name in replicas if name.partition("#")[0] in consumers}
    order |= {moment.lane: _ORDER.index(moment.kind) for moment in moments}
    return sorted(order, key=lambda lane: (order[lane], lane))


def _rows(bands: Sequence[Band]) -> list[Band]:
    """Return the bands, renumbered to leave no row empty."""
    rows: dict[int, int] = {}
    return [
        Band(rows.setdefault(band.row, len(rows)), band.name, band.target, band.begin, band.bit, band.end, band.said)
        for band in bands
    ]


def _struck(bands: Sequence[Band], scale: Scale, middle: Mapping[str, int]) -> Iterator[Html]:
    """Mark each fault whose target is a lane in that lane."""
    for band in bands:
        target = band.target.partition("->")[0]
        for lane, y in middle.items():
            if target in {lane, lane.partition("#")[0], lane.removeprefix("topic ")}:
                x = scale(band.begin)
                wide = max(3, scale(band.end) - x)
                yield tag(
                    "rect", tag("title", band.said), class_="struck", x=x, y=y - 12, width=wide, height=24, rx=3
                )


def _lives(replicas: Lives, span: tuple[int, int], scale: Scale, middle: Mapping[str, int]) -> Iterator[Html]:
    """Draw when each replica was up."""
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
    """Connect the marks of the story itself, without those of replicas and blobs."""
    own = [mark for mark in placed if mark.moment.kind not in {"replica", "blob"}]
    return " ".join(f"{mark.x:.1f},{middle[mark.moment.lane]}" for mark in own)


def _mark(mark: Mark, y: int) -> Html:
    moment = mark.moment
    return tag(
        "g",
        tag("title", f"{seconds(moment.t)} {moment.who}: {moment.text}"),
        tag("circle", cx=mark.x, cy=y, r=8.5),
        tag("text", mark.number, x=mark.x, y=y + 3.5, class_="number"),
        tag("text", mark.word, x=mark.x, y=y + 21, class_="word"),
        class_=f"mark {'wrong' if mark.word in _WRONG else moment.kind.partition(' ')[0]}",
    )


def _ticks(placed: Sequence[Mark], foot: int) -> Iterator[Html]:
    last = -float(_TICK_ROOM)
    for mark in placed:
        if mark.x - last >= _TICK_ROOM:
            last = mark.x
            yield tag("text", seconds(mark.moment.t), class_="tick", x=mark.x, y=foot + 14, text_anchor="middle")


def _beside(names: Sequence[str], middle: Mapping[str, int], height: int) -> Html:
    rows = [tag("text", text(name, _NAME), x=0, y=n * ROW + 14, class_="row") for n, name in enumerate(names)]
    lanes = [tag("text", text(lane, _NAME), x=0, y=y + 4, class_="lane-name") for lane, y in middle.items()]
    return tag("svg", *rows, *lanes, width=_NAMES, height=height + 20, class_="names", aria_hidden="true")
