"""Each anomaly, and the stories of the events and uploads that show it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from harness.reports.document import Document, Templates, said
from harness.reports.html_lanes import diagram, kind, numbers
from harness.reports.html_scale import Band
from harness.reports.html_tag import Html, join, tag
from harness.reports.story import Kind, Moment, Story, seconds, tell
from harness.reports.summary import brief, prefix, subject

if TYPE_CHECKING:
    from harness.history.reader import History

MOST: Final = 50
"""Rows of evidence in the whole page, shared out among its anomalies."""

_MOMENTS: Final = 40
"""Of a story; of a longer one its two ends are told."""


def anomalies(history: History, document: Document, templates: Templates, bands: Sequence[Band], run: str) -> Html:
    """Every anomaly and warning that was found, with as many of its rows as there is room for."""
    found = [
        (finding, which, name, one)
        for finding in document["findings"]
        for which in ("anomalies", "warnings")
        for name, one in finding[which].items()
    ]
    most = max(1, MOST // max(1, len(found)))
    about = {subject(row) for *_, one in found for row in one["rows"][:most]} - {None}
    with _excerpt(history, [one for one in about if one]):
        return join(
            *(
                _anomaly(history, finding, which, name, one, templates, bands, run, most)
                for finding, which, name, one in found
            )
        )


@contextmanager
def _excerpt(history: History, subjects: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Meanwhile ``history`` holds only what bears on ``subjects``: one look through a long run, not ten a story."""
    if not subjects:
        yield
        return
    asked = {which: [id_ for kind_, id_ in subjects if kind_ == which] for which in ("event", "upload")}
    history.sql("CREATE SCHEMA excerpt")
    try:
        history.sql(
            """
            CREATE TABLE excerpt.history AS
            WITH seen AS (SELECT * FROM main.history WHERE op = 'event'),
            ups AS (SELECT unnest($uploads::VARCHAR[]) AS id
                    UNION SELECT upload_id FROM seen WHERE event_id IN (SELECT unnest($events::VARCHAR[]))),
            evs AS (SELECT unnest($events::VARCHAR[]) AS id
                    UNION SELECT event_id FROM seen WHERE upload_id IN (SELECT unnest($uploads::VARCHAR[]))),
            raws AS (SELECT DISTINCT raw_file_storage_id AS id FROM main.history
                     WHERE raw_file_storage_id IS NOT NULL AND op IN ('upload', 'event')
                       AND (upload_id IN (FROM ups) OR event_id IN (FROM evs))),
            places AS (SELECT DISTINCT topic, partition FROM seen WHERE event_id IN (FROM evs))
            SELECT * FROM main.history
            WHERE op IN ('fault', 'service', 'health') OR upload_id IN (FROM ups) OR event_id IN (FROM evs)
               OR causation_id IN (FROM evs) OR op = 'blob' AND raw_file_storage_id IN (FROM raws)
               OR op = 'offset' AND (topic, partition) IN (FROM places)
               OR i IN (SELECT c.i FROM main.history c, evs WHERE c.op = 'claim' AND contains(c.key, evs.id))
            """,
            uploads=asked["upload"],
            events=asked["event"],
        )
        history.sql("SET search_path = 'excerpt,main'")
        yield
    finally:
        history.sql("SET search_path = 'main'")
        history.sql("DROP SCHEMA excerpt CASCADE")


def _anomaly(  # noqa: PLR0913, PLR0917 - what there is to say about one
    history: History,
    finding: Mapping[str, Any],
    which: str,
    name: str,
    anomaly: Mapping[str, Any],
    templates: Templates,
    bands: Sequence[Band],
    run: str,
    most: int,
) -> Html:
    template = templates.get((finding["checker"], name), "")
    rows = anomaly["rows"][:most]
    more = anomaly["count"] - len(rows)
    of = f" of {finding['judged']}" if finding["judged"] >= anomaly["count"] else ""
    word = "warning" if which == "warnings" else finding["verdict"]
    return tag(
        "section",
        tag("h3", name, " ", tag("span", f"{anomaly['count']}{of}", class_="count")),
        tag("p", join(tag("span", word, class_=f"badge {word}"), " ", finding["checker"]), class_="from"),
        *(_row(history, row, name, said(template, row), bands, run) for row in rows),
        tag("p", f"… and {more} more, in verdict.json", class_="more") if more > 0 else None,
        class_="anomaly",
    )


def _row(history: History, row: Mapping[str, Any], name: str, words: str, bands: Sequence[Band], run: str) -> Html:  # noqa: PLR0913, PLR0917 - as above
    about = subject(row)
    if about is None:
        return tag("p", words, class_="said")
    story = _told(history, *about)
    consumer = row.get("consumer")
    consumer = consumer if isinstance(consumer, str) else ""
    short = prefix(*about)
    left_out = len(story.moments) - _MOMENTS
    if left_out > 0:
        story = Story(story.kind, story.id, [*story.moments[: _MOMENTS // 2], *story.moments[-_MOMENTS // 2 :]])
    show = shlex.join(["oneffect", "show", run, f"--{about[0]}", short])
    summary = tag(
        "summary",
        tag("span", name, class_="name"),
        tag("code", f"{about[0]} {short}{'…' if short != about[1] else ''}"),
        tag("span", consumer, class_="who") if consumer else None,
        tag("span", brief(story, consumer), class_="brief"),
    )
    return tag(
        "details",
        summary,
        tag("p", words, class_="said"),
        diagram(history, story, bands) if any(map(kind, story.moments)) else None,
        _list(story.moments) if story.moments else tag("p", "Nothing was recorded of it."),
        tag("p", f"{left_out} moments in the middle are left out.", class_="more") if left_out > 0 else None,
        tag("p", tag("code", show), class_="command"),
        class_="story",
    )


def _told(history: History, kind_: Kind, id_: str) -> Story:
    """The story; what was seen at one moment has an order here, so that a page made anew is the same."""
    story = tell(history, kind_, id_)
    return Story(kind_, id_, sorted(story.moments, key=lambda one: (one.t, one.who, one.text)))


def _list(moments: Sequence[Moment]) -> Html:
    """The moments in words; numbers are those of the picture."""
    rows = [
        tag(
            "tr",
            tag("td", "" if number is None else number, class_="nth"),
            tag("td", seconds(one.t), class_="time"),
            tag("td", one.who, class_="who"),
            tag("td", one.text),
            class_="around" if number is None else None,
        )
        for number, one in zip(numbers(moments), moments, strict=True)
    ]
    return tag("table", tag("tbody", *rows), class_="moments")
