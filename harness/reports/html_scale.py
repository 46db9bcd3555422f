"""The scale from ns since the run's start to pixels, and the fault bands that both pictures share."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.reports.html_tag import Html, tag
from harness.reports.moment import seconds

if TYPE_CHECKING:
    from harness.history.reader import History

ROW: Final = 20
"""Pixels of one row of faults."""

_MOST_ROWS: Final = 12
_MOST: Final = 200
_INSTANT: Final = 3
"""Least pixels of a band."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear between knots: ascending ``times`` (ns), and the pixel of each in ``places``."""

    times: Sequence[int]
    places: Sequence[float]

    def __call__(self, t: float) -> float:
        """Return the pixel of ``t``, clamped to the ends of the scale."""
        n = bisect_right(self.times, t)
        if n == 0:
            return self.places[0]
        if n == len(self.times):
            return self.places[-1]
        begin, end = self.times[n - 1], self.times[n]
        return self.places[n - 1] + (self.places[n] - self.places[n - 1]) * (t - begin) / (end - begin)


@dataclass(frozen=True, slots=True)
class Band:
    """A fault's time in place, ns; a fault that does not heal begins and ends at its injection."""

    row: int
    name: str
    target: str
    begin: int
    bit: int | None
    end: int
    said: str


def bands(history: History, end: int) -> list[Band]:
    """Return the run's faults, a row for each name; a fault that nobody healed lasts until ``end``."""
    rows: dict[str, int] = {}
    made = []
    for fault in history.sql("SELECT * FROM faults WHERE injected IS NOT NULL ORDER BY i LIMIT $most", most=_MOST):
        last = fault["healed"] or (end if fault["heals"] else fault["injected"])
        row = rows.setdefault(fault["name"], min(len(rows), _MOST_ROWS - 1))
        met = "never bit" if fault["bit"] is None else f"bit {seconds(fault['bit'])}"
        healed = f", healed {seconds(fault['healed'])}" if fault["healed"] else ""
        target = fault["target"] or ""
        said = f"{fault['fault']} {fault['name']} {target}: injected {seconds(fault['injected'])}, {met}{healed}"
        made.append(Band(row, fault["name"], target, fault["injected"], fault["bit"], last, said))
    return made


def row_names(faults: Sequence[Band]) -> list[str]:
    """Return the label of each row of faults."""
    names: dict[int, list[str]] = {}
    for band in faults:
        names.setdefault(band.row, [])
        if band.name not in names[band.row]:
            names[band.row].append(band.name)
    return [row[0] if len(row) == 1 else f"{row[0]} and others" for _, row in sorted(names.items())]


def drawn(faults: Sequence[Band], scale: Scale, top: int, height: float) -> Iterator[Html]:
    """Draw the bands across a picture of ``height``, and their bars in rows from ``top`` down."""
    for band in faults:
        x, width = scale(band.begin), max(_INSTANT, scale(band.end) - scale(band.begin))
        yield tag("rect", class_="across", x=x, y=0, width=width, height=height)
    for band in faults:
        x, width = scale(band.begin), max(_INSTANT, scale(band.end) - scale(band.begin))
        y = top + band.row * ROW
        bar = tag("rect", class_="bar", x=x, y=y + 4, width=width, height=ROW - 8, rx=2)
        bite = None
        if band.bit is not None and scale.times[0] <= band.bit <= scale.times[-1]:
            bite = tag("rect", class_="bite", x=scale(band.bit) - 1, y=y + 2, width=2, height=ROW - 4)
        yield tag("g", tag("title", band.said), bar, bite, class_="fault" if band.bit is not None else "fault never")
