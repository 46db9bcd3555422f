"""Hazards that taps saw on the wire: each is a fact about messages, and none says that an effect is wrong.

So they only warn. docs/decisions/0029-what-the-wire-proves.md says what decides about each.
"""

from __future__ import annotations

from typing import Final

from harness.verdict import Anomaly

_EXECUTED: Final = "phase IN ('answered', 'lost_reply', 'refused_reply')"
"""The dependency has answered, whether or not the service got the answer."""

TABLES: Final = {
    # Every command about a key in a store in which some claim is taken with SET NX, and what it did. ``did``: granted,
    # denied, released, nothing, looked, or wrote, which includes every unknown result. ``heard``: whether its answer
    # came back. ``db``: the database, which tells keys of one name apart; '?' after a command that leaves it unknown.
    "wire_claims": f"""
        WITH stores AS (
            SELECT DISTINCT split_part(link, '->', 2) AS store FROM history
            WHERE op = 'wire' AND (command = 'SETNX' OR regexp_matches(options, '\\bNX\\b'))
        ), commands AS (
            SELECT i, t_begin, t, split_part(link, '->', 1) AS replica, store, command, key, phase, kind, changed,
                   coalesce(options, '') AS options,
                   coalesce(last_value(CASE WHEN command = 'SELECT' AND {_EXECUTED} AND kind = 'OK' THEN key
                                            WHEN command IN ('SELECT', 'RESET', 'SWAPDB', 'MOVE') THEN '?' END IGNORE NULLS)
                            OVER (PARTITION BY link, connection ORDER BY i), '0') AS db
            FROM history JOIN stores ON store = split_part(link, '->', 2)
            WHERE op = 'wire' AND phase NOT IN ('plain', 'failed')
        )
        SELECT i, t_begin, t, replica, split_part(replica, '#', 1) AS service, store, db, command, key,
               phase = 'answered' AS heard,
               CASE WHEN phase IN ('refused', 'lost_request') OR kind LIKE 'error%' THEN 'nothing'
                    WHEN command IN ('GET', 'EXISTS', 'TTL', 'PTTL', 'STRLEN', 'TYPE', 'EXPIRETIME', 'PEXPIRETIME')
                    THEN 'looked'
                    WHEN NOT {_EXECUTED} THEN 'wrote'
                    WHEN command = 'SET' AND regexp_matches(options, '\\bNX\\b') AND NOT regexp_matches(options, 'GET|IF|XX')
                    THEN CASE kind WHEN 'OK' THEN 'granted' WHEN 'nil' THEN 'denied' ELSE 'wrote' END
                    WHEN command = 'SETNX' THEN CASE changed WHEN 1 THEN 'granted' WHEN 0 THEN 'denied' ELSE 'wrote' END
                    WHEN command IN ('DEL', 'UNLINK') AND changed = 1 THEN 'released'
                    WHEN command IN ('DEL', 'UNLINK') AND changed = 0 THEN 'nothing'
                    ELSE 'wrote' END AS did
        FROM commands WHERE key IS NOT NULL AND command <> 'SELECT'
    """,  # noqa: S608 - of this module's own making
    # Scripts, which may change keys that no tap sees, and commands of a transaction, which happen at its end. A script of
    # one key is in wire_claims too.
    "wire_opaque": """
        SELECT split_part(link, '->', 1) AS replica, split_part(replica, '#', 1) AS service,
               split_part(link, '->', 2) AS store, t_begin, t
        FROM history
        WHERE op = 'wire' AND (kind = 'QUEUED' OR command IN ('EVAL', 'EVALSHA', 'FCALL', 'EXEC', 'RENAME', 'COPY', 'RESTORE',
                               'MSET', 'MSETNX'))
          AND split_part(link, '->', 2) IN (SELECT store FROM wire_claims)
    """,
    # Stores whose traffic a tap could no longer parse: whatever passed there since is not known.
    "wire_unseen": """
        SELECT split_part(link, '->', 2) AS store, min(t) AS t FROM history
        WHERE op = 'wire' AND phase IN ('plain', 'failed') GROUP BY ALL
    """,
    # For each event that a consumer must apply, the first commit past it that the broker took, and who sent it. A
    # commit within a transaction counts only once that ends, so it is left out.
    "wire_passed": f"""
        WITH sent AS (
            SELECT i, t_begin, split_part(link, '->', 1) AS replica, key AS consumer, unnest(places::JSON[]) AS place
            FROM history
            WHERE op = 'wire' AND command = 'OffsetCommit' AND {_EXECUTED} AND kind = 'ok'
              AND split_part(split_part(link, '->', 1), '#', 1) = key
        ), commits AS (
            SELECT i, t_begin, replica, consumer, place->>0 AS topic, (place->>1)::INTEGER AS partition,
                   (place->>2)::BIGINT AS committed
            FROM sent
        ), rising AS (
            SELECT * FROM commits
            QUALIFY committed > coalesce(max(committed) OVER (
                PARTITION BY consumer, topic, partition ORDER BY t_begin, i
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1)
        )
        SELECT e.consumer, e.event_id, e.topic, e.partition, e."offset", c.i, c.t_begin, c.replica
        FROM (SELECT * FROM events JOIN applies USING (event_type) WHERE consumer NOT IN (FROM deferred)) e
        ASOF JOIN rising c
          ON c.consumer = e.consumer AND c.topic = e.topic AND c.partition = e.partition AND e."offset" < c.committed
    """,  # noqa: S608 - of this module's own making
    # The first event of each batch of records that a service sent. A transaction's records are published by its end, so
    # links with transactions are left out.
    "wire_published": f"""
        WITH sent AS (
            SELECT i, t_begin, split_part(link, '->', 1) AS replica, unnest(places::JSON[]) AS place
            FROM history
            WHERE op = 'wire' AND command = 'Produce' AND {_EXECUTED} AND kind = 'ok'
              AND link NOT IN (SELECT link FROM history
                               WHERE op = 'wire' AND command IN ('EndTxn', 'AddPartitionsToTxn') AND link IS NOT NULL)
        ), batches AS (
            SELECT i, t_begin, replica, split_part(replica, '#', 1) AS service, place->>0 AS topic,
                   (place->>1)::INTEGER AS partition, (place->>2)::BIGINT AS "offset"
            FROM sent
        )
        SELECT b.i, b.t_begin, b.replica, b.service, e.event_id, e.event_type, e.joins
        FROM batches b JOIN events e USING (topic, partition, "offset")
    """,  # noqa: S608 - of this module's own making
    # For each pass over the effects, when the last pass before it began: what it sees first was not there then.
    "wire_absences": """
        WITH passes AS (SELECT read, began, ended FROM reads WHERE what = 'effects' AND phase = 'ok')
        SELECT r.read, max(p.began) AS absent, max_by(p.read, p.began) AS i_read
        FROM reads r JOIN passes p ON p.ended <= r.began WHERE r.what = 'effects' GROUP BY r.read
    """,
    # Each event that a service sent, with the one event it applies from which the sent one follows by a rule.
    "wire_told": """
        SELECT p.i, p.t_begin, p.replica, p.service AS consumer, p.event_id AS follow_up, any_value(e.event_id) AS event_id
        FROM wire_published p
        JOIN rules r ON r.event_type = p.event_type AND r.of NOT IN ('upload', 'batch')
        JOIN events e ON e.event_type = r.of AND e.joins[r.rule] = p.joins[r.rule]
        JOIN applies a ON a.consumer = p.service AND a.event_type = e.event_type
        WHERE p.event_id NOT IN (SELECT event_id FROM repeated)
        GROUP BY ALL HAVING count(DISTINCT e.event_id) = 1
    """,
}
"""Name to query; each query may use the tables above it, and those of standing.py."""

_NOT_PLAIN: Final = """NOT EXISTS (SELECT 1 FROM wire_unseen u WHERE u.store = {0}.store AND u.t < {0}.t)"""

_EVENT: Final = """
    (SELECT arg_max(e.event_id, length(e.event_id)) FROM events e WHERE regexp_matches(
         {}.key, '(^|[^A-Za-z0-9])' || regexp_escape(e.event_id) || '($|[^A-Za-z0-9])'))"""
"""The event that a key names, only as a whole: 17 does not name 7."""

RELEASED: Final = f"""
WITH held AS (
    SELECT d.*, b.i AS i_claim, b.replica AS holder, b.t_begin AS from_t, b.t AS claimed
    FROM wire_claims d JOIN wire_claims b
      ON b.service = d.service AND b.store = d.store AND b.db = d.db AND b.key = d.key
    WHERE d.did = 'released' AND b.did = 'granted' AND b.replica <> d.replica AND b.t <= d.t_begin
    QUALIFY row_number() OVER (PARTITION BY d.i ORDER BY b.t DESC, b.i DESC) = 1
)
SELECT service AS consumer, {_EVENT.format("h")} AS event_id, replica, holder, key, command, i_claim, i AS i_wire,
       claimed AS t_claim, t AS t_wire, seconds(claimed) AS claimed_s, seconds(t) AS at_s
FROM held h
WHERE db <> '?' AND {_NOT_PLAIN.format("h")}
  -- It had asked for the claim itself, so the key is a claim to it.
  AND EXISTS (SELECT 1 FROM wire_claims a WHERE a.replica = h.replica AND a.store = h.store AND a.db = h.db
              AND a.key = h.key AND a.did IN ('granted', 'denied') AND a.t_begin < h.t_begin)
  -- Nothing in between may have made the claim another's, or given it back.
  AND NOT EXISTS (SELECT 1 FROM wire_claims o WHERE o.store = h.store AND (o.key = h.key AND o.db IN (h.db, '?'))
                  AND o.i NOT IN (h.i, h.i_claim) AND o.t > h.from_t AND o.t_begin < h.t
                  AND o.did NOT IN ('denied', 'nothing', 'looked'))
  -- What a script or a transaction did to a key is not known.
  AND NOT EXISTS (SELECT 1 FROM wire_opaque s WHERE s.replica = h.replica AND s.store = h.store
                  AND s.t > h.from_t AND s.t_begin < h.t)
ORDER BY i
"""  # noqa: S608 - of this module's own making

ASKED_AGAIN: Final = f"""
WITH again AS (
    SELECT g.*, d.i AS i_again, d.t AS denied, d.t_begin AS asked
    FROM wire_claims g JOIN wire_claims d
      ON d.replica = g.replica AND d.store = g.store AND d.db = g.db AND d.key = g.key
    WHERE g.did = 'granted' AND NOT g.heard AND d.did = 'denied' AND d.heard AND d.t_begin >= g.t
    QUALIFY row_number() OVER (PARTITION BY g.i ORDER BY d.i) = 1
)
SELECT service AS consumer, {_EVENT.format("g")} AS event_id, replica, key, command, i AS i_wire, i_again, t AS t_wire,
       denied AS t_again, seconds(t) AS lost_s, seconds(denied) AS denied_s
FROM again g
WHERE db <> '?' AND {_NOT_PLAIN.replace("{0}.t", "g.denied").format("g")}
  -- Nobody looked whose claim it is, gave it back, or got it later.
  AND NOT EXISTS (SELECT 1 FROM wire_claims o WHERE o.store = g.store AND o.key = g.key AND o.db IN (g.db, '?')
                  AND o.i <> g.i AND o.t > g.t_begin AND o.did NOT IN ('denied', 'nothing'))
  AND NOT EXISTS (SELECT 1 FROM wire_opaque s WHERE s.service = g.service AND s.store = g.store AND s.t > g.t_begin)
ORDER BY i
"""  # noqa: S608 - of this module's own making

_LATE: Final = """
WITH firsts AS (
    SELECT w.i, w.consumer, w.event_id, min(s.first_read) AS read
    FROM {0} w JOIN sights s ON s.consumer = w.consumer AND s.event_id = w.event_id
    WHERE w.event_id NOT IN (SELECT event_id FROM repeated)
      AND w.event_id NOT IN (SELECT event_id FROM event_letters WHERE event_id IS NOT NULL)
    GROUP BY ALL
), early AS (
    SELECT w.*, a.i_read, a.absent
    FROM {0} w JOIN firsts f USING (i, consumer, event_id) JOIN wire_absences a USING (read) WHERE a.absent > w.t_begin
)
SELECT {1}, w.replica, w.i AS i_wire, w.i_read, min(e.i) AS i_effect, w.t_begin AS t_wire, min(e.t) AS t_effect,
       seconds(w.t_begin) AS sent_s, seconds(w.absent) AS absent_s, seconds(min(e.t)) AS effect_s
FROM early w JOIN effects e USING (consumer, event_id) GROUP BY ALL ORDER BY i_wire, event_id
"""
"""Messages sent before the effect came: a pass over the effects that began afterwards did not find it."""

HAZARDS: Final = (
    Anomaly(
        "claim_released_by_another",
        None,
        RELEASED,
        "{replica} released {key} with {command} at {at_s} s, although {holder} had claimed it at {claimed_s} s; release a "
        "claim only while it still holds your own token",
    ),
    Anomaly(
        "claim_asked_again",
        None,
        ASKED_AGAIN,
        "{replica} was granted {key} at {lost_s} s but the answer was lost; it asked again, and was denied its own claim at "
        "{denied_s} s; send SET NX only once, or check whose claim it is",
    ),
    Anomaly(
        "offset_sent_before_effect",
        None,
        _LATE.format("wire_passed", 'w.consumer, w.event_id, w.topic, w.partition, w."offset"'),
        "event {event_id}: {replica} sent the commit of its offset ({topic}:{partition}:{offset}) at {sent_s} s, but "
        "{consumer}'s effect was still missing at {absent_s} s (first seen at {effect_s} s)",
    ),
    Anomaly(
        "published_before_effect",
        None,
        _LATE.format("wire_told", "w.consumer, w.event_id, w.follow_up"),
        "event {event_id}: {replica} sent its follow-up {follow_up} at {sent_s} s, but {consumer}'s effect was still missing "
        "at {absent_s} s (first seen at {effect_s} s)",
    ),
)
"""The anomalies, as warnings of *exactly one effect*."""
