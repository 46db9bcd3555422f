"""Each anomaly, and the stories of the events and uploads that show it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.reports.document import Document, Templates, said
from harness.reports.html_lanes import Lives, diagram, lives, numbers
from harness.reports.html_scale import Band
from harness.reports.html_tag import Html, join, tag
from harness.reports.moment import Moment, seconds
from harness.reports.said import of as said_of
from harness.reports.short import shorts
from harness.reports.story import Story, Subject, tell_all
from harness.reports.summary import brief, named, owner, subject

if TYPE_CHECKING:
    from harness.history.reader import History

MOST: Final = 50
"""Rows of evidence in the whole page, shared among its anomalies."""

_MOMENTS: Final = 40
"""Moments shown of a story; a longer story keeps its two ends."""


def anomalies(history: History, document: Document, templates: Templates, bands: Sequence[Band], run: str) -> Html:
    """Draw every anomaly and warning, with as many of its rows as there is room for."""
    entries = [
        (finding, which, name, anomaly)
        for finding in document["findings"]
        for which in ("anomalies", "warnings")
        for name, anomaly in finding[which].items()
    ]
    most = max(1, MOST // max(1, len(entries)))
    rows = [row for *_, anomaly in entries for row in anomaly["rows"][:most]]
    about = [pair for pair in map(subject, rows) if pair is not None]
    if about:
        shown = _Shown(tell_all(history, about), shorts(history, about), bands, lives(history), run)
    else:
        shown = _Shown({}, {}, bands, {}, run)
    return join(
        *(
            _anomaly(shown, finding, which, name, anomaly, templates.get((finding["checker"], name), ""), most)
            for finding, which, name, anomaly in entries
        )
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the rows of a page are drawn from."""

    stories: Mapping[Subject, Story]
    shorts: Mapping[Subject, str]
    bands: Sequence[Band]
    replicas: Lives
    run: str


def _anomaly(  # noqa: PLR0913, PLR0917 - what there is to say about an anomaly
    shown: _Shown,
    finding: Mapping[str, Any],
    which: str,
    name: str,
    anomaly: Mapping[str, Any],
    template: str,
    most: int,
) -> Html:
    rows = anomaly["rows"][:most]
    more = anomaly["count"] - len(rows)
    word = "warning" if which == "warnings" else finding["verdict"]
    return tag(
        "section",
        tag("h3", name, " ", tag("span", said_of(anomaly["count"], finding["judged"]), class_="count")),
        tag("p", join(tag("span", word, class_=f"badge {word}"), " ", finding["checker"]), class_="from"),
        *(_row(shown, row, name, said(template, row)) for row in rows),
        tag("p", f"… and {more} more, in verdict.json", class_="more") if more > 0 else None,
        class_="anomaly",
    )


def _row(shown: _Shown, row: Mapping[str, Any], name: str, words: str) -> Html:
    about = subject(row)
    if about is None:
        return tag("p", words, class_="said")
    story, left_out = _told(shown.stories[about])
    short = shown.shorts[about]
    show = shlex.join(["oneffect", "show", shown.run, f"--{about[0]}", short])
    summary = tag(
        "summary",
        tag("span", name, class_="name"),
        tag("code", f"{about[0]} {short}{'…' if short != about[1] else ''}"),
        tag("span", who, class_="who") if (who := named(row)) else None,
        tag("span", brief(story, owner(row)), class_="brief"),
    )
    return tag(
        "details",
        summary,
        tag("p", words, class_="said"),
        diagram(story, shown.bands, shown.replicas) if any(moment.lane for moment in story.moments) else None,
        _list(story.moments) if story.moments else tag("p", "Nothing was recorded about it."),
        tag("p", f"{left_out} moments in the middle are left out.", class_="more") if left_out > 0 else None,
        tag("p", tag("code", show), class_="command"),
        class_="story",
    )


def _told(story: Story) -> tuple[Story, int]:
    """Return the story, or its two ends if it is long, and how many moments are left out between them.

    Moments of the same time are sorted, so that a page that is made again is the same.
    """
    moments = sorted(story.moments, key=lambda moment: (moment.t, moment.who, moment.text))
    if (left_out := len(moments) - _MOMENTS) > 0:
        moments = [*moments[: _MOMENTS // 2], *moments[-_MOMENTS // 2 :]]
    return Story(story.kind, story.id, moments), left_out


def _list(moments: Sequence[Moment]) -> Html:
    """List the moments in words, with the numbers of the picture."""
    rows = [
        tag(
            "tr",
            tag("td", "" if number is None else number, class_="nth"),
            tag("td", seconds(moment.t), class_="time"),
            tag("td", moment.who, class_="who"),
            tag("td", moment.text),
            class_="around" if number is None else None,
        )
        for number, moment in zip(numbers(moments), moments, strict=True)
    ]
    return tag("table", tag("tbody", *rows), class_="moments")
