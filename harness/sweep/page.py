"""map.html: a sweep as one self-contained page, a row for each message, with the report of each run."""

from __future__ import annotations

import os
from pathlib import Path

from harness.reports.html import framed
from harness.reports.html_tag import Html, tag
from harness.sweep.lineage import ACTIONS
from harness.sweep.map import Cell, Map


def page(made: Map, title: str, folder: Path) -> str:
    """Return the page; links to reports are relative to ``folder``, where it will be."""
    head = tag("tr", tag("th", "message"), *(tag("th", action.name) for action in ACTIONS))
    rows = [
        tag("tr", tag("td", tag("code", str(row[0].step))), *(tag("td", *_cell(cell, folder)) for cell in row))
        for row in made.rows
    ]
    return framed(
        f"{made.verdict}: {title}",
        tag(
            "header",
            tag("p", title, class_="eyebrow"),
            tag("h1", made.verdict.capitalize(), class_=made.verdict),
            tag("p", f"{len(made.cells)} cells: {made.counts}", class_="lead"),
        ),
        tag(
            "section",
            tag("h2", "Every message that one event causes, in order"),
            tag("table", head, *rows, class_="checks"),
        ),
    )


def _cell(cell: Cell, folder: Path) -> list[Html]:
    verdict, _, why = cell.said.partition(": ")
    badge = tag("span", verdict, class_=f"badge {cell.verdict}")
    if cell.cases:
        report = os.path.relpath(cell.cases[-1].directory / "report.html", folder)
        badge = tag("a", badge, href=report)
    return [badge, tag("div", why, class_="from")] if why else [badge]
