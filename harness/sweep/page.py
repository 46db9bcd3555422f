"""map.html: a sweep as one self-contained page, a row for each message, with the report of each run."""

from __future__ import annotations

import os
from pathlib import Path

from harness.reports.html import framed
from harness.reports.html_tag import Html, tag
from harness.sweep.lineage import ACTIONS
from harness.sweep.map import WORDS, Cell, Map, counts
from harness.sweep.pair_map import PairMap


def page(made: Map, title: str, folder: Path, pairs: PairMap | None = None) -> str:
    """Return the page; links to reports are relative to ``folder``, where it will be."""
    head = tag("tr", tag("th", "message"), *(tag("th", action.name) for action in ACTIONS))
    rows = [
        tag("tr", tag("td", tag("code", str(row[0].step))), *(tag("td", *_cell(cell, folder)) for cell in row))
        for row in made.rows
    ]
    verdict = made.verdict if pairs is None else max(made.verdict, pairs.verdict, key=WORDS.index)
    return framed(
        f"{verdict}: {title}",
        tag(
            "header",
            tag("p", title, class_="eyebrow"),
            tag("h1", verdict.capitalize(), class_=verdict),
            tag("p", f"{len(made.cells)} cells: {made.counts}", class_="lead"),
            tag("p", pairs.said, class_="lead") if pairs is not None else None,
        ),
        tag(
            "section",
            tag("h2", "Every message that one event causes, in order"),
            tag("table", head, *rows, class_="checks"),
            tag("p", made.left, class_="from") if made.left else None,
        ),
        _pairs(pairs, folder) if pairs is not None else None,
    )


def _pairs(made: PairMap, folder: Path) -> Html:
    """A fold for each first fault, open if one of its pairs is not valid."""
    folds = []
    for first, messages in made.groups:
        cells = [cell for _, row in messages for cell in row.values()]
        head = tag("tr", tag("th", "then, at the same event"), *(tag("th", action.name) for action in ACTIONS))
        rows = [
            tag(
                "tr",
                tag("td", tag("code", str(step))),
                *(tag("td", *(_cell(row[action], folder) if action in row else ["-"])) for action in ACTIONS),
            )
            for step, row in messages
        ]
        summary = tag("summary", tag("span", first, class_="name"), tag("span", counts(cells), class_="from"))
        opened = "" if any(cell.verdict != "valid" for cell in cells) else None
        folds.append(tag("details", summary, tag("table", head, *rows, class_="checks"), open=opened))
    return tag("section", tag("h2", "A second fault while the event is dealt with again"), *folds)


def _cell(cell: Cell, folder: Path) -> list[Html]:
    verdict, _, why = cell.said.partition(": ")
    badge = tag("span", verdict, class_=f"badge {cell.verdict}")
    if cell.cases:
        report = os.path.relpath(cell.cases[-1].directory / "report.html", folder)
        badge = tag("a", badge, href=report)
    return [badge, tag("div", why, class_="from")] if why else [badge]
