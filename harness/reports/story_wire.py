"""Which replica did what with an event, as the taps on its links saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.reports.moment import Asked, Moment, MomentKind, Numbered
from harness.reports.story_deeds import any_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history.reader import History

_BECAME: Final = {
    "refused": "an error was given in its place",
    "refused_reply": "executed, an error was given for the answer",
    "lost_request": "the request was lost",
    "lost_reply": "executed, the answer was lost",
    "unanswered": "no answer came",
    "sent": "",
}
"""What became of a request that was not simply answered."""

_TOLD: Final = "op = 'wire' AND phase NOT IN ('plain', 'failed')"


def commands(history: History, asked: Asked) -> Numbered:
    """Yield each request whose key names the event or the upload as a whole, who sent it, and what became of it."""
    query = f"""
        WITH stores AS (SELECT DISTINCT split_part(link, '->', 2) AS target FROM history WHERE {_TOLD} AND options <> '')
        SELECT story, t_begin AS t, link, command, options, key, phase, kind,
               split_part(link, '->', 2) IN (SELECT target FROM stores) AS is_store
        FROM (SELECT * FROM history WHERE {_TOLD} AND regexp_matches(key, $any)) JOIN {Asked.ROWS} a ON contains(key, a.id)
        WHERE regexp_matches(key, '(^|[^A-Za-z0-9])' || regexp_escape(a.id) || '($|[^A-Za-z0-9])')
        ORDER BY t_begin, i
    """  # noqa: S608 - of this module's own making
    if not asked.pairs:
        return
    for row in history.sql(query, any=any_of(asked), **asked.parameters):
        replica, _, target = row["link"].partition("->")
        what = " ".join(filter(None, [row["command"], row["options"], row["key"]]))
        text = f"sent {target}: {what}{_became(row)}"
        service, store = replica.partition("#")[0], bool(row["is_store"])
        kind: MomentKind = "store" if store else "replica"
        brief = f"{row['command']} by {replica}" if store else ""
        yield (
            row["story"],
            Moment(row["t"], replica, text, brief, service, kind, target if store else replica, row["command"]),
        )


def commits(history: History, asked: Asked) -> Numbered:
    """Yield, for each group and record of the event, the first accepted commit past it, and who sent it."""
    query = f"""
        WITH commits AS (
            SELECT t_begin, link, key AS consumer, phase, kind, unnest(places::JSON[]) AS place FROM history
            WHERE {_TOLD} AND command = 'OffsetCommit' AND kind = 'ok'
        )
        SELECT story, c.consumer, e.topic, e.partition, e."offset", min(c.t_begin) AS t, arg_min(c.link, c.t_begin) AS link,
               arg_min(c.phase, c.t_begin) AS phase, arg_min(c.kind, c.t_begin) AS kind,
               arg_min((c.place->>2)::BIGINT, c.t_begin) AS committed
        FROM history e JOIN {Asked.ROWS} a ON e.event_id = a.id JOIN commits c
          ON place->>0 = e.topic AND (place->>1)::INTEGER = e.partition AND (place->>2)::BIGINT > e."offset"
        WHERE e.op = 'event' GROUP BY ALL ORDER BY t
    """  # noqa: S608 - of this module's own making
    for row in history.sql(query, **asked.parameters):
        replica = row["link"].partition("->")[0]
        place = f"{row['topic']}:{row['partition']}:{row['offset']}"
        text = f"sent the commit of its offset ({place}, up to {row['committed']}){_became(row)}"
        brief, service = f"offset committed by {replica}", replica.partition("#")[0]
        yield row["story"], Moment(row["t"], replica, text, brief, service, "replica", replica, "commits")


def published(history: History, asked: Asked) -> Numbered:
    """Yield who sent the event's record, if it is the first of its batch: the broker's reply places no other."""
    query = f"""
        WITH batches AS (
            SELECT t_begin, link, phase, kind, unnest(places::JSON[]) AS place FROM history
            WHERE {_TOLD} AND command = 'Produce' AND kind = 'ok'
        )
        SELECT DISTINCT story, b.t_begin AS t, b.link, b.phase, b.kind, e.topic, e.partition, e."offset"
        FROM history e JOIN {Asked.ROWS} a ON e.event_id = a.id JOIN batches b
          ON place->>0 = e.topic AND (place->>1)::INTEGER = e.partition AND (place->>2)::BIGINT = e."offset"
        WHERE e.op = 'event' ORDER BY t
    """  # noqa: S608 - of this module's own making
    for row in history.sql(query, **asked.parameters):
        replica = row["link"].partition("->")[0]
        text = f"sent it to {row['topic']}:{row['partition']}, where its offset is {row['offset']}{_became(row)}"
        yield row["story"], Moment(row["t"], replica, text, "", "", "replica", replica, "publishes")


def _became(row: Mapping[str, Any]) -> str:
    said = f"answered {row['kind']}" if row["kind"] and row["phase"] == "answered" else _BECAME.get(row["phase"], "")
    return f"; {said}" if said else ""
