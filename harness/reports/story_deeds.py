"""What consumers did with an event: what they asked the store, how far they read, effects and dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.reports.moment import Asked, Moment, Numbered, short

if TYPE_CHECKING:
    from harness.history.reader import History

_CHANGES = 3
"""Changes of a total in a story: other events are added to it too."""

_PART = 64
"""Characters of an id in the first search of the keys: an id can be of any length, an expression cannot."""


def claims(history: History, asked: Asked) -> Numbered:
    """Yield each command to the store on a key that holds the event's id, unless a tap saw who sent it.

    Nobody saw the answers.
    """
    query = f"""
        WITH named AS (
            SELECT i, t, command, key FROM history WHERE op = 'claim' AND regexp_matches(key, $any)
              AND (split_part(command, ' ', 1), key) NOT IN (
                  SELECT (command, key) FROM history WHERE op = 'wire' AND key IS NOT NULL AND command IS NOT NULL)
        )
        SELECT story, t, command, key, (SELECT min(consumer) FROM applies WHERE contains(key, consumer)) AS consumer
        FROM named JOIN {Asked.ROWS} a ON contains(key, a.id) ORDER BY i
    """  # noqa: S608 - of this module's own making
    if not asked.pairs:
        return
    for row in history.sql(query, any=any_of(asked), **asked.parameters):
        command = row["command"]
        text, consumer = f"was asked: {command} {row['key']}", row["consumer"] or ""
        yield row["story"], Moment(row["t"], "store", text, f"{command} asked", consumer, "store", "redis", command)


def offsets(history: History, asked: Asked) -> Numbered:
    """Yield when each group was first seen past each of the event's records."""
    query = f"""
        SELECT story, o.consumer, e.topic, e.partition, e."offset", min(o.t) AS t, min_by(o.committed, o.t) AS committed
        FROM history e JOIN {Asked.ROWS} a ON e.event_id = a.id JOIN history o
          ON o.op = 'offset' AND o.topic = e.topic AND o.partition = e.partition AND o.committed > e."offset"
        WHERE e.op = 'event' GROUP BY ALL ORDER BY t
    """  # noqa: S608 - of this module's own making
    for row in history.sql(query, **asked.parameters):
        place = f"{row['topic']}:{row['partition']}:{row['offset']}"
        text, brief = f"offset passed ({place}, committed {row['committed']})", "offset passed"
        lane = f"topic {row['topic']}"
        yield row["story"], Moment(row["t"], row["consumer"], text, brief, row["consumer"], "topic", lane, brief)


def effects(history: History, asked: Asked) -> Numbered:
    """Yield when each effect was first seen, and each consumer that must have one but had none at the end."""
    first = f"""
        SELECT story, consumer, event_id, effect, digest, min(t) AS t
        FROM effects JOIN {Asked.ROWS} a ON event_id = a.id GROUP BY ALL ORDER BY t
    """  # noqa: S608 - of this module's own making
    for row in history.sql(first, **asked.parameters):
        named = f"effect {row['effect']}" if row["effect"] else "effect"
        text = f"{named} seen" + (f", carries {short(row['digest'])}" if row["digest"] else "")
        who = row["consumer"]
        yield row["story"], Moment(row["t"], who, text, "effect", who, "database", "database", "effect")
    none = f"""
        WITH asked AS {Asked.ROWS}, last AS (SELECT read, began FROM finals WHERE what = 'effects'), there AS (
            SELECT DISTINCT consumer, event_id FROM effects JOIN last USING (read) JOIN asked ON event_id = asked.id
        ), shared AS (
            SELECT DISTINCT consumer, key FROM effects JOIN last USING (read) WHERE sharing > 1
        )
        SELECT DISTINCT story, p.consumer, e.event_id, last.began AS t
        FROM history e JOIN asked ON e.event_id = asked.id JOIN applies p ON p.event_type = e.event_type CROSS JOIN last
        WHERE e.op = 'event' AND NOT EXISTS (
            SELECT 1 FROM there WHERE there.consumer = p.consumer AND there.event_id = e.event_id)
          AND NOT EXISTS (SELECT 1 FROM shared s WHERE s.consumer = p.consumer AND s.key = e.keys[p.consumer])
    """  # noqa: S608 - of this module's own making
    for row in history.sql(none, **asked.parameters):
        text, who = "the final read begins, and finds no effect", row["consumer"]
        yield row["story"], Moment(row["t"], who, text, "no effect by", who, "database", "database", "no effect")


def totals(history: History, asked: Asked) -> Numbered:
    """Yield the first changes, seen once the event was there, of each total that it is added to."""
    query = f"""
        WITH added AS (
            SELECT story, t.consumer, e.keys[t.consumer || '.total'] AS key, any_value(e.amounts[t.consumer]) AS adds,
                   min(e.t) AS seen
            FROM history e JOIN {Asked.ROWS} a ON e.event_id = a.id JOIN totalled t ON t.event_type = e.event_type
            WHERE e.op = 'event' GROUP BY ALL
        ), changes AS (
            SELECT consumer, key, t, total, lag(total) OVER (PARTITION BY consumer, key ORDER BY i) AS before FROM totals
        )
        SELECT story, consumer, key, adds, t, total, before FROM changes JOIN added USING (consumer, key)
        WHERE total IS DISTINCT FROM before AND t >= seen
        QUALIFY row_number() OVER (PARTITION BY story, consumer, key ORDER BY t) <= {_CHANGES} ORDER BY t
    """  # noqa: S608 - of this module's own making
    for row in history.sql(query, **asked.parameters):
        text = f"total of {row['key']} seen: {row['total']}, before: {row['before'] or 'none'}; the event adds {row['adds']}"
        who = row["consumer"]
        yield row["story"], Moment(row["t"], who, text, "", who, "database", "database", "total")


def letters(history: History, asked: Asked) -> Numbered:
    """Yield dead letters that name the event, or the place of one of its records."""
    query = f"""
        WITH asked AS {Asked.ROWS}, named AS (
            SELECT story, l.* FROM letters l JOIN asked ON l.event_id = asked.id
            UNION
            SELECT story, l.* FROM history e JOIN asked ON e.event_id = asked.id JOIN letters l
              ON l.source_topic = e.topic AND l.source_partition = e.partition AND l.source_offset = e."offset"
            WHERE e.op = 'event'
        )
        SELECT * FROM named ORDER BY i
    """  # noqa: S608 - of this module's own making
    for row in history.sql(query, **asked.parameters):
        text = (
            f"dead letter: {row['kind']}, of {row['source_topic']}:{row['source_partition']}:{row['source_offset']}"
        )
        who, brief = row["consumer"] or "", "dead letter"
        yield row["story"], Moment(row["t"], who or "?", text, brief, who, "letters", "dead letters", brief)


def replays(history: History, asked: Asked) -> Numbered:
    """Yield each request of the harness to replay a dead letter, and the answer."""
    query = f"""
        SELECT story, t, phase, consumer, error FROM history JOIN {Asked.ROWS} a ON event_id = a.id
        WHERE op = 'replay' ORDER BY i
    """  # noqa: S608 - of this module's own making
    words = {"invoke": "asked for", "ok": "granted", "fail": "refused", "unknown": "without an answer"}
    for row in history.sql(query, **asked.parameters):
        text = f"replay of the dead letter {words[row['phase']]}" + (f", {row['error']}" if row["error"] else "")
        who, brief = row["consumer"] or "", "replay asked" if row["phase"] == "invoke" else ""
        word = brief or words[row["phase"]]
        yield row["story"], Moment(row["t"], who or "?", text, brief, who, "letters", "dead letters", word)


def any_of(asked: Asked) -> str:
    """Return an expression that finds every text with one of the ids, and scans each once, however many ids there are."""
    return "|".join(sorted({_literal(id_[:_PART]) for _, id_ in asked.pairs}))


def _literal(text: str) -> str:
    """Return an expression that matches ``text`` alone, whatever characters it has."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):X}}}" for c in text)
