"""The run at a glance: faults, answers per second and their latency, on one time axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.reports.html_scale import ROW, Band, Scale, drawn, row_names
from harness.reports.html_tag import Html, join, tag

if TYPE_CHECKING:
    from harness.history.reader import History

_WIDTH: Final = 870
_PANEL: Final = 96
"""Pixels of a panel's height."""

_GAP: Final = 26
_FOOT: Final = 22
_NAMES: Final = 126
_MOST: Final = 180
"""Most columns; a longer run has wider ones."""

_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_TICKS: Final = 9
_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Columns:
    """How uploads ended, in columns of ``wide`` seconds from second ``begin``.

    A row has ``nth``, ``ok`` (acknowledged), ``rest`` (ended otherwise), and ``p50`` and ``p99``, the latency of the
    acknowledged ones in ms.
    """

    begin: int
    wide: int
    rows: Sequence[Mapping[str, Any]]
    scale: Scale

    def place(self, nth: float) -> float:
        """Return the pixel at which a column begins."""
        return self.scale((self.begin + nth * self.wide) * _SECOND)

    def second(self, row: Mapping[str, Any]) -> str:
        """Say when a row's column begins."""
        return f"{self.begin + row['nth'] * self.wide} s"

    @property
    def most(self) -> float:
        """The highest number of answers per second, rounded up."""
        return _nice(max((row["ok"] + row["rest"] for row in self.rows), default=0) / self.wide)

    @property
    def slowest(self) -> float:
        """The highest latency, ms, rounded up."""
        return _nice(max((row["p99"] or 0 for row in self.rows), default=0.0))


def timeline(history: History, faults: Sequence[Band]) -> Html:
    """Draw the timeline and its faults; in a run of over three minutes a column is more than a second."""
    columns = answers(history)
    names = row_names(faults)
    first = len(names) * ROW + _GAP
    second = first + _PANEL + _GAP
    height = second + _PANEL
    picture = tag(
        "svg",
        *drawn(faults, columns.scale, 0, height),
        _axis(first),
        *_bars(columns, first + _PANEL),
        _axis(second),
        *_lines(columns, second + _PANEL),
        *_ticks(columns.scale, height),
        viewBox=f"0 0 {_WIDTH} {height + _FOOT}",
        width=_WIDTH,
        height=height + _FOOT,
        role="img",
        aria_label="Faults, answers a second and latency over the run",
    )
    panels = [(first, "answers/s", f"{columns.most:g}"), (second, "latency", _milliseconds(columns.slowest))]
    beside = _beside(names, panels, height + _FOOT)
    drawing = tag("div", beside, tag("div", picture, class_="scroll"), class_="pair")
    return tag("div", drawing, _legend(faults, columns.wide))


def answers(history: History) -> Columns:
    """Return the run's columns, at most ``_MOST`` of them."""
    span = history.sql("SELECT coalesce(min(t), 0) AS first, coalesce(max(t), 0) AS last FROM history")[0]
    begin = span["first"] // _SECOND
    seconds = max(1, -(-span["last"] // _SECOND) - begin)
    wide = _step(seconds, _MOST)
    rows = history.sql(
        """
        SELECT (e.t - $begin) // $wide AS nth, count(*) FILTER (e.phase = 'ok') AS ok,
               count(*) FILTER (e.phase <> 'ok') AS rest,
               quantile_cont((e.t - coalesce(b.intended, b.t)) / 1e6, 0.5) FILTER (e.phase = 'ok') AS p50,
               quantile_cont((e.t - coalesce(b.intended, b.t)) / 1e6, 0.99) FILTER (e.phase = 'ok') AS p99
        FROM history e JOIN history b ON b.i = e.of AND b.op = e.op
        WHERE e.op IN ('upload', 'publish') AND e.injected IS NULL GROUP BY nth ORDER BY nth
        """,
        begin=begin * _SECOND,
        wide=wide * _SECOND,
    )
    return Columns(begin, wide, rows, Scale([begin * _SECOND, (begin + seconds) * _SECOND], [0.0, float(_WIDTH)]))


def _bars(columns: Columns, foot: int) -> Iterator[Html]:
    for row in columns.rows:
        x = columns.place(row["nth"])
        width = max(1.0, columns.place(row["nth"] + 1) - x - 1)
        ok, rest = (row[name] / columns.wide / columns.most * _PANEL for name in ("ok", "rest"))
        said = f"{columns.second(row)}: {row['ok'] / columns.wide:g} acknowledged a second"
        if row["rest"]:
            said += f", {row['rest'] / columns.wide:g} not"
        yield tag(
            "g",
            tag("title", said),
            tag("rect", class_="ok", x=x, y=foot - ok, width=width, height=ok) if ok else None,
            tag("rect", class_="rest", x=x, y=foot - ok - rest, width=width, height=rest) if rest else None,
        )


def _lines(columns: Columns, foot: int) -> Iterator[Html]:
    """Draw the latencies, each point in the middle of its column."""
    for name in ("p99", "p50"):
        points = [
            (columns.place(row["nth"] + 0.5), foot - row[name] / columns.slowest * _PANEL, row)
            for row in columns.rows
            if row[name] is not None
        ]
        yield tag("polyline", class_=name, points=" ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points))
        for x, y, row in points:
            said = f"{columns.second(row)}: {name} {_milliseconds(row[name])}"
            yield tag("circle", tag("title", said), class_=name, cx=x, cy=y, r=2.5)


def _axis(top: int) -> Html:
    lines = [
        tag("line", x1=0, x2=_WIDTH, y1=y, y2=y, class_="grid" if y < top + _PANEL else "foot")
        for y in (top, top + _PANEL // 2, top + _PANEL)
    ]
    return tag("g", *lines)


def _ticks(scale: Scale, foot: int) -> Iterator[Html]:
    begin, end = (t // _SECOND for t in scale.times)
    step = _step(end - begin, _TICKS)
    for second in range(-(-begin // step) * step, end + 1, step):
        x = scale(second * _SECOND)
        anchor = "start" if x < ROW else "end" if x > _WIDTH - ROW else "middle"
        yield tag("text", f"{second} s", class_="tick", x=x, y=foot + 16, text_anchor=anchor)


def _beside(names: Sequence[str], panels: Sequence[tuple[int, str, str]], height: int) -> Html:
    """Label each row and panel, left of the picture, where scrolling does not move the labels."""
    lines = [tag("text", name, x=0, y=n * ROW + 14, class_="row") for n, name in enumerate(names)]
    for top, name, peak in panels:
        lines += [
            tag("text", name, x=0, y=top + 4, class_="row"),
            tag("text", peak, x=_NAMES - 8, y=top + 4, text_anchor="end", class_="tick"),
            tag("text", "0", x=_NAMES - 8, y=top + _PANEL + 4, text_anchor="end", class_="tick"),
        ]
    return tag("svg", *lines, width=_NAMES, height=height, class_="names", aria_hidden="true")


def _legend(faults: Sequence[Band], wide: int) -> Html:
    entries = [("ok", "acknowledged"), ("rest", "refused, or no answer"), ("p50", "p50"), ("p99", "p99")]
    if faults:
        entries += [("fault", "fault in place"), ("bite", "it bit")]
    if any(band.bit is None for band in faults):
        entries.append(("never", "never bit"))
    keys = [tag("span", tag("i", class_=f"key {name}"), said) for name, said in entries]
    return tag("p", *keys, join(f"each column {wide} s") if wide > 1 else None, class_="legend")


def _step(seconds: int, most: int) -> int:
    """Return the least round number of seconds that cuts ``seconds`` into at most ``most`` pieces."""
    return next((step for step in _STEPS if step * most >= seconds), -(-seconds // most))


def _nice(value: float) -> float:
    """Round ``value`` up to a round number, at least 1."""
    size = 1.0
    while size * 10 < value:
        size *= 10
    return next(step * size for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * size >= value)


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.3g} s"  # noqa: PLR2004 - of a second
