"""An event's records on the topics, and the events that followed from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.reports.moment import Asked, Moment, Numbered, short

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history.reader import History

_RECORDS: Final = """
    SELECT i, t, e.topic, e.partition, e."offset", event_id, event_type, malformed, digest, causation_id, joins,
           coalesce(p.injected, e.injected) AS published_by
    FROM history e LEFT JOIN (
        SELECT topic, partition, "offset", min(injected) AS injected FROM history
        WHERE op = 'publish' AND phase = 'ok' AND injected IS NOT NULL GROUP BY ALL
    ) p ON p.topic = e.topic AND p.partition = e.partition AND p."offset" = e."offset"
    WHERE e.op = 'event'
"""
"""Each record, and the fault that published it."""


def events(history: History, asked: Asked) -> Numbered:
    """The records of each event."""
    query = f"SELECT * FROM ({_RECORDS}) JOIN {Asked.ROWS} a ON event_id = a.id ORDER BY i"  # noqa: S608 - this module's own
    for row in history.sql(query, **asked.parameters):
        if row["published_by"]:
            text, brief = f"event published again by {row['published_by']}", "published again"
        else:
            what = row["event_type"] or f"malformed: {row['malformed']}"
            text, brief = f"event {row['event_id']} on the topic: {what}", "published"
        yield row["story"], _moment(row, f"{text}, digest {short(row['digest'])}", brief, brief)


def follow_ups(history: History, asked: Asked) -> Numbered:
    """What names an event as its cause, or is joined to it by a rule of the system file."""
    query = f"SELECT * FROM ({_RECORDS}) JOIN {Asked.ROWS} a ON causation_id = a.id ORDER BY i"  # noqa: S608 - this module's own
    own = set(asked.pairs)
    for row in history.sql(query, **asked.parameters):
        if (row["story"], row["event_id"]) not in own:
            text = f"follow-up {row['event_type']} {row['event_id']} on the topic"
            yield row["story"], _moment(row, text, "", "follow-up")


def _moment(row: Mapping[str, Any], text: str, brief: str, word: str) -> Moment:
    place = f"{row['topic']}:{row['partition']}:{row['offset']}"
    return Moment(row["t"], place, text, brief, "", "topic", f"topic {row['topic']}", word)
