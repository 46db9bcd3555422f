"""An event's records on the topics, and the events that followed from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.reports.moment import Asked, Moment, Numbered, short

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history.reader import History

_RECORDS: Final = """
    SELECT i, t, e.topic, e.partition, e."offset", event_id, event_type, malformed, digest, causation_id, joins,
           p.injected AS published_by
    FROM history e LEFT JOIN (
        SELECT topic, partition, "offset", min(injected) AS injected FROM history
        WHERE op = 'publish' AND phase = 'ok' AND injected IS NOT NULL GROUP BY ALL
    ) p ON p.topic = e.topic AND p.partition = e.partition AND p."offset" = e."offset"
    WHERE e.op = 'event'
"""
"""Each record, and the fault that recorded publishing it; its header is no proof, as services may forward it."""

_CAUSES: Final = f"""
    WITH asked AS {Asked.ROWS}, records AS ({_RECORDS}), causes AS (
        SELECT DISTINCT story, r.rule, joins[r.rule] AS value
        FROM records e JOIN asked ON e.event_id = asked.id JOIN (SELECT DISTINCT rule, of FROM rules) r ON r.of = e.event_type
        WHERE published_by IS NULL AND joins[r.rule] IS NOT NULL
    ), answers AS (
        SELECT e.*, r.rule, joins[r.rule] AS value
        FROM records e JOIN (SELECT DISTINCT rule, event_type FROM rules WHERE rule IN (SELECT rule FROM causes)) r
          USING (event_type)
    )
"""  # noqa: S608 - this module's own
"""Events that call for a follow-up by a rule, and the records that can be one; ``value`` joins them."""


def events(history: History, asked: Asked) -> Numbered:
    """Yield the records of each event."""
    query = f"SELECT * FROM ({_RECORDS}) JOIN {Asked.ROWS} a ON event_id = a.id ORDER BY i"  # noqa: S608 - this module's own
    for row in history.sql(query, **asked.parameters):
        if row["published_by"]:
            text, brief = f"event published again by {row['published_by']}", "published again"
        else:
            what = row["event_type"] or f"malformed: {row['malformed']}"
            text, brief = f"event {row['event_id']} on the topic: {what}", "published"
        yield row["story"], _moment(row, f"{text}, digest {short(row['digest'])}", brief, brief)


def follow_ups(history: History, asked: Asked) -> Numbered:
    """Yield what names an event as its cause or is joined to it by a rule, and each follow-up that never came."""
    query = f"""
        {_CAUSES}
        SELECT story, i, t, topic, partition, "offset", event_id, event_type, published_by
        FROM records JOIN asked ON causation_id = asked.id
        UNION
        SELECT story, i, t, topic, partition, "offset", event_id, event_type, published_by
        FROM answers JOIN causes USING (rule, value)
        ORDER BY i
    """  # noqa: S608 - this module's own
    own, reported = set(asked.pairs), set()
    for row in history.sql(query, **asked.parameters):
        if (pair := (row["story"], row["event_id"])) in own:
            continue
        text, again = f"follow-up {row['event_type']} {row['event_id']} on the topic", pair in reported
        text += f", published again by {row['published_by']}" if row["published_by"] else ""
        reported.add(pair)
        yield row["story"], _moment(row, text, "" if again or row["published_by"] else "follow-up", "follow-up")
    none = f"""
        {_CAUSES}
        SELECT story, string_agg(DISTINCT event_type, ' or ' ORDER BY event_type) AS types, any_value(ended) AS t,
               (SELECT min(topic) FROM records WHERE event_type IN (SELECT event_type FROM rules WHERE rule = c.rule)) AS topic
        FROM causes c JOIN rules USING (rule) JOIN finals f ON f.what = 'topics'
        WHERE NOT EXISTS (
            SELECT 1 FROM answers a WHERE a.published_by IS NULL AND a.rule = c.rule AND a.value = c.value)
        GROUP BY story, rule, value ORDER BY ALL
    """  # noqa: S608 - this module's own
    for row in history.sql(none, **asked.parameters):
        text, lane = f"the final read ends, and found no follow-up: {row['types']}", f"topic {row['topic'] or '?'}"
        yield row["story"], Moment(row["t"], "topics", text, "no follow-up by", "", "topic", lane, "no follow-up")


def _moment(row: Mapping[str, Any], text: str, brief: str, word: str) -> Moment:
    place = f"{row['topic']}:{row['partition']}:{row['offset']}"
    return Moment(row["t"], place, text, brief, "", "topic", f"topic {row['topic']}", word)
