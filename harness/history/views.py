"""Tables and views over a history, in the form that queries need.

Times are ns since the run's start; ``i`` is a record's index.

=============  ======================================================================================================
applies        (consumer, event_type): what each consumer must apply
services       (name): those of the system file; none if the plan does not tell
rules          (rule, of, event_type, accepted, pool): outcome rules; ``accepted`` null: the type fits either kind of upload;
               ``pool``: a number that rules about events share if one outcome may be of either; null: of no other's
settings       one row: settle_ns, dead_letters, blobs, batch_size
again          (op, wanted): the least number of uploads to reprocess, or dead letters to replay, in the plan
planned        (fault, name, target): the plan's faults
covers         (number, consumer, cut, again, redis, lost, least): what the plan wants tried; consumer null: by all
blind_spots    (control, what, said): controls that the system's calibration planted and that were not seen
stale          (file, why): a calibration of another system file, or by another version
reads          (read, what, final, began, ended, phase): passes of observers; phase null: never ended
finals         the last final pass of each kind, if it was ok
absent         (worker, i, t, error, began): processes of the load whose part of the history is missing or not whole
faults         (fault, name, target, heals, injected, bit, healed, given, begun): each phase's t, null where there was none,
               and ``healed`` also where one of several injections was not
missing_records
               (topic, partition, offset, event_id, i, t): acknowledged events of the load that no read of the topics saw
uploads        one row per upload id, and one per event that the load published, under its id: op, batch, state (ok, unknown,
               fail), i, t, ended (the first ok's t), acceptable, placed and worker (of its ok)
acknowledged   one row per ok answer to an upload: upload_id, sha256, acceptable, raw_file_storage_id, placed
injections     (topic, partition, offset, injected): where the broker put what faults published
unplaced       (topic, partition, injected): records that a fault published, and the broker never said where
overwritten    events that a service published, and in whose place a fault put other bytes; without those that cannot be read
events         records that are events; malformed: those that are not; unreadable: those that could not be read;
               tombstones: those without a value, which are neither
joined_by      (consumer, located): consumers whose effects name a business key, and where events hold it
known_keys     (consumer, key, event_id, events): keys that events hold, and how many events share each
effects        effects, with the ``read`` that saw each; ``sharing``: how many events share its ``key``. If that is one,
               ``event_id`` is that event's, otherwise "with key" and the key. Records published by faults are left out
totalled       (consumer, event_type, located, adds, apart): what is added up in place, and where events hold the sum's key
               and the number; ``apart``: in another store than the effects that are counted
totals         sums that consumers update in place, with the ``read`` that saw each; ``key`` says which
letters        dead letters, each place once, with the ``read`` that saw it first; those published by faults are left out
replays        (consumer, event_id, source_topic, source_partition, source_offset, i, t, ended, state): requests to replay a
               dead letter; ``event_id`` null: it is of no event, whatever it names
blobs          reads of blobs, with ``final``
unheard        (consumer, command): answers that were lost on the way to a replica which was not killed at that very message
offsets        offsets, with the ``read`` that saw each
=============  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

MACROS: Final = """
    CREATE MACRO seconds(ns) AS coalesce(printf('%.3f', ns / 1e9), '?');
    CREATE MACRO fits(said, place) AS coalesce(said = place, true);
    CREATE MACRO plain(number) AS rtrim(rtrim(number::VARCHAR, '0'), '.')
"""
"""``plain`` writes a decimal number without trailing zeros; what is not said ``fits`` everything."""

TABLES: Final = {
    "reads": """
        SELECT b.i AS read, b.what, coalesce(b.final, false) AS final, b.t AS began, e.t AS ended, e.phase
        FROM history b
        LEFT JOIN (SELECT * FROM history WHERE op = 'read' AND phase <> 'invoke') e ON e.of = b.i
        WHERE b.op = 'read' AND b.phase = 'invoke'
    """,
    "finals": """
        SELECT what, read, began, ended
        FROM (SELECT *, row_number() OVER (PARTITION BY what ORDER BY read DESC) AS nth FROM reads WHERE final)
        WHERE nth = 1 AND phase = 'ok'
    """,
    "absent": """
        SELECT worker, min(i) AS i, min(t) AS t, max(error) FILTER (phase = 'lost') AS error,
               bool_or(phase IN ('began', 'lost')) AS began
        FROM history WHERE op = 'load' AND worker IS NOT NULL
        GROUP BY worker HAVING NOT bool_or(phase = 'ended')
    """,
    "faults": """
        SELECT fault, any_value(name) AS name, any_value(target) AS target, coalesce(bool_or(heals), false) AS heals,
               min(i) AS i, min(t) FILTER (phase = 'injected') AS injected, min(t) FILTER (phase = 'bit') AS bit,
               -- A fault may act at many messages: healed is only what was healed each time.
               CASE WHEN max(i) FILTER (phase = 'healed') > max(i) FILTER (phase IN ('injected', 'failed'))
                         AND coalesce(max(i) FILTER (phase = 'failed') < min(i) FILTER (phase = 'injected'), true)
                    THEN max(t) FILTER (phase = 'healed') END AS healed,
               max(given) AS given, max(begun) AS begun
        FROM history WHERE op = 'fault' GROUP BY fault
    """,
    "injections": """
        SELECT topic, partition, "offset", min(injected) AS injected FROM history
        WHERE op = 'publish' AND phase = 'ok' AND injected IS NOT NULL AND "offset" IS NOT NULL GROUP BY ALL
    """,
    # If the broker lost a record, its place may hold another one; the id of an unreadable record is not known.
    "missing_records": """
        SELECT p.topic, p.partition, p."offset", p.event_id, p.i, p.t FROM history p
        WHERE p.op = 'publish' AND p.phase = 'ok' AND p.injected IS NULL AND p.event_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM history e WHERE e.op = 'event' AND e.topic = p.topic AND e.event_id = p.event_id
                AND e.partition = coalesce(p.partition, e.partition) AND e."offset" = coalesce(p."offset", e."offset"))
          AND NOT EXISTS (
            SELECT 1 FROM history e WHERE e.op = 'event' AND e.error IS NOT NULL AND e.topic = p.topic
                AND e.partition = p.partition AND e."offset" = p."offset")
    """,
    "overwritten": """
        SELECT i, t, topic, partition, "offset", event_id, event_type, causation_id, joins FROM history
        WHERE op = 'overwritten' AND event_id IS NOT NULL AND malformed IS NULL
    """,
    "unplaced": """
        SELECT DISTINCT b.topic, b.partition, b.injected FROM history b
        WHERE b.op = 'publish' AND b.phase = 'invoke' AND b.injected IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM history e WHERE e.op = 'publish' AND e.phase IN ('ok', 'fail') AND e.of = b.i)
    """,
}
"""Small tables, which are stored: name to query, in order."""

VIEWS: Final = {
    "uploads": """
        SELECT op, upload_id, min(batch) AS batch, min(i) AS i, min(t) AS t, min(t) FILTER (phase = 'ok') AS ended,
               coalesce(any_value(acceptable) FILTER (phase = 'ok'), any_value(acceptable)) AS acceptable,
               coalesce(bool_or(placed) FILTER (phase = 'ok'), false) AS placed,
               any_value(worker) FILTER (phase = 'ok') AS worker,
               CASE WHEN count(*) FILTER (phase = 'ok') > 0 THEN 'ok'
                    WHEN count(*) FILTER (phase = 'fail') = count(*) FILTER (phase = 'invoke') THEN 'fail'
                    ELSE 'unknown' END AS state
        FROM (
            SELECT * FROM history WHERE op = 'upload'
            UNION ALL
            SELECT * REPLACE (event_id AS upload_id) FROM history WHERE op = 'publish' AND injected IS NULL
        ) GROUP BY op, upload_id
    """,
    "acknowledged": """
        SELECT upload_id, raw_file_storage_id, sha256, acceptable, i, t, placed FROM history
        WHERE op = 'upload' AND phase = 'ok'
    """,
    "events": """
        SELECT e.i, e.t, e.read, e.topic, e.partition, e."offset", e.event_id, e.event_type, e.digest, e.digest_rounded,
               e.causation_id, e.joins, e.keys, e.amounts,
               coalesce(p.injected, u.injected) AS injected, e.upload_id, e.raw_file_storage_id
        FROM history e
        LEFT JOIN injections p ON p.topic = e.topic AND p.partition = e.partition AND p."offset" = e."offset"
        LEFT JOIN unplaced u ON u.topic = e.topic AND u.partition = e.partition AND u.injected = e.marked
        WHERE e.op = 'event' AND e.malformed IS NULL AND e.error IS NULL
    """,
    "malformed": """
        SELECT m.i, m.t, m.read, m.topic, m.partition, m."offset", m.event_id, m.event_type, m.claims, m.digest, m.malformed,
               coalesce(p.injected, u.injected) AS injected
        FROM history m
        LEFT JOIN injections p ON p.topic = m.topic AND p.partition = m.partition AND p."offset" = m."offset"
        LEFT JOIN unplaced u ON u.topic = m.topic AND u.partition = m.partition AND u.injected = m.marked
        WHERE m.op = 'event' AND m.malformed IS NOT NULL
    """,
    "tombstones": "SELECT i, t, read, topic, partition, \"offset\" FROM history WHERE op = 'tombstone'",
    "unreadable": """
        SELECT i, t, topic, partition, "offset", error FROM history
        WHERE error IS NOT NULL AND (op = 'event' OR (op IN ('effect', 'dead_letter') AND NOT EXISTS (
            SELECT 1 FROM injections p
            WHERE p.topic = history.topic AND p.partition = history.partition AND p."offset" = history."offset")))
        QUALIFY row_number() OVER (PARTITION BY topic, partition, "offset" ORDER BY i) = 1
    """,
    # Events that a consumer does not read have no effects, so they share a key with none.
    "known_keys": """
        WITH read AS (SELECT DISTINCT consumer, topic FROM history SEMI JOIN joined_by USING (consumer) WHERE op = 'offset')
        SELECT a.consumer, e.keys[a.consumer] AS key, min(e.event_id) AS event_id, count(DISTINCT e.event_id) AS events
        FROM joined_by j JOIN applies a USING (consumer) JOIN events e USING (event_type)
        LEFT JOIN read r ON r.consumer = a.consumer AND r.topic = e.topic
        WHERE e.keys[a.consumer] IS NOT NULL AND (r.topic IS NOT NULL OR a.consumer NOT IN (SELECT consumer FROM read))
        GROUP BY ALL
    """,
    "effects": """
        SELECT x.i, x.t, x.read, x.consumer, x.effect, x.template, x.digest, x.key, k.events AS sharing,
               CASE WHEN x.key IS NULL THEN x.event_id WHEN k.events = 1 THEN k.event_id ELSE 'with key ' || x.key END
               AS event_id
        FROM history x
        LEFT JOIN known_keys k ON k.consumer = x.consumer AND k.key = x.key
        LEFT JOIN injections p ON p.topic = x.topic AND p.partition = x.partition AND p."offset" = x."offset"
        LEFT JOIN unplaced u ON u.topic = x.topic AND u.partition = x.partition AND u.injected = x.marked
        WHERE x.op = 'effect' AND x.error IS NULL AND p.injected IS NULL AND u.injected IS NULL
    """,
    "totals": "SELECT i, t, read, consumer, key, total FROM history WHERE op = 'total'",
    "letters": """
        SELECT topic, partition, "offset", consumer, event_id, kind, source_topic, source_partition, source_offset, i, t, read
        FROM history h ANTI JOIN injections USING (topic, partition, "offset")
        WHERE op = 'dead_letter' AND error IS NULL AND NOT EXISTS (
            SELECT 1 FROM unplaced u WHERE u.topic = h.topic AND u.partition = h.partition AND u.injected = h.marked)
        QUALIFY row_number() OVER (PARTITION BY topic, partition, "offset" ORDER BY i) = 1
    """,
    "replays": """
        SELECT b.consumer, CASE WHEN v.op IS NULL THEN b.event_id WHEN v.malformed IS NULL THEN v.event_id END AS event_id,
               b.source_topic, b.source_partition, b.source_offset, b.i, b.t, e.t AS ended,
               coalesce(e.phase, 'unknown') AS state
        FROM history b
        LEFT JOIN (SELECT * FROM history WHERE op = 'replay' AND phase <> 'invoke') e ON e.of = b.i
        LEFT JOIN (
            SELECT DISTINCT op, topic, partition, "offset", event_id, malformed FROM history
            WHERE op = 'tombstone' OR (op = 'event' AND error IS NULL)
        ) v ON v.topic = b.source_topic AND v.partition = b.source_partition AND v."offset" = b.source_offset
        WHERE b.op = 'replay' AND b.phase = 'invoke'
    """,
    "blobs": """
        SELECT i, t, t_begin, read, phase, raw_file_storage_id, sha256, why,
               read IS NOT DISTINCT FROM (SELECT max(read) FROM reads WHERE what = 'blobs' AND final) AS final
        FROM history WHERE op = 'blob'
    """,
    # Whoever dies with the answer asks for nothing again.
    "unheard": """
        SELECT w.i, w.t, split_part(w.link, '#', 1) AS consumer, w.command FROM history w
        WHERE w.op = 'wire' AND w.phase = 'lost_reply' AND NOT EXISTS (
            SELECT 1 FROM history f WHERE f.op = 'fault' AND f.phase = 'injected' AND f.name = 'service.kill'
                AND f.target = split_part(w.link, '->', 1) AND f.t BETWEEN w.t_begin AND w.t
                AND f.evidence->>'$.message' = concat('the reply to ', w.command, ' ' || w.key, ' on ', w.link))
    """,
    "offsets": """
        SELECT i, t, read, consumer, topic, partition, committed, visible_end FROM history WHERE op = 'offset'
    """,
}
"""Views, which are evaluated on each use: name to query."""


CONSTANTS: Final = {
    "applies": "consumer VARCHAR, event_type VARCHAR",
    "services": "name VARCHAR",
    "joined_by": "consumer VARCHAR, located VARCHAR",
    "deferred": "consumer VARCHAR",
    "totalled": "consumer VARCHAR, event_type VARCHAR, located VARCHAR, adds VARCHAR, apart BOOLEAN",
    "rules": "rule VARCHAR, of VARCHAR, event_type VARCHAR, accepted BOOLEAN, pool BIGINT",
    "again": "op VARCHAR, wanted BIGINT",
    "planned": "fault VARCHAR, name VARCHAR, target VARCHAR",
    "covers": "number BIGINT, consumer VARCHAR, cut VARCHAR, again VARCHAR, redis VARCHAR, lost VARCHAR, least BIGINT",
    "blind_spots": "control VARCHAR, what VARCHAR, said VARCHAR",
    "stale": "file VARCHAR, why VARCHAR",
    "settings": "settle_ns BIGINT, dead_letters BOOLEAN, blobs BOOLEAN, batch_size BIGINT, rate DOUBLE",
}
"""Tables that are filled from the plan, and their columns."""


def constants(header: Mapping[str, Any]) -> Mapping[str, list[tuple[object, ...]]]:
    """Return the rows of each table in CONSTANTS, from the plan in a header."""
    plan = header.get("plan") or {}
    checks = plan.get("checks") or {}
    calibration = plan.get("calibration") or {}
    load = (plan.get("scenario") or {}).get("load") or {}
    return {
        "applies": [
            (name, kind) for name, kinds in checks.get("consumers", {}).items() for kind in dict.fromkeys(kinds)
        ],
        "services": [(name,) for name in (plan.get("system") or {}).get("services") or {}],
        "joined_by": list(checks.get("keyed", {}).items()),
        "deferred": [(name,) for name in checks.get("deferred", [])],
        "totalled": [
            (name, kind, total["by"], total["adds"], bool(total.get("apart")))
            for name, total in checks.get("totals", {}).items()
            for kind in dict.fromkeys(total["types"])
        ],
        "rules": [
            (str(number), rule["of"], kind, _accepted(kind, rule), pool)
            for rules in [checks.get("outcomes", [])]
            for number, (rule, pool) in enumerate(zip(rules, _pools(rules), strict=True))
            for kind in dict.fromkeys(rule["then"])
        ],
        "again": [
            (op, sum(_count(row) for row in rows if row.get(op) is not None))
            for rows in [(plan.get("scenario") or {}).get("again") or []]
            for op in ("reprocess", "replay")
            if any(row.get(op) is not None for row in rows)
        ],
        "planned": [(fault.get("id"), fault.get("fault"), fault.get("target")) for fault in plan.get("faults", [])],
        "covers": [
            (number, *(row.get(name) for name in ("consumer", "cut", "again", "redis", "lost")), row.get("least", 1))
            for number, row in enumerate((plan.get("scenario") or {}).get("covers") or [])
        ],
        "blind_spots": [
            (one.get("control"), one.get("of"), one.get("said")) for one in calibration.get("unseen") or []
        ],
        "stale": [(calibration.get("file"), calibration["stale"])] if calibration.get("stale") else [],
        "settings": [
            (
                checks.get("settle_ns", 0),
                bool(checks.get("dead_letters")),
                bool(checks.get("blobs")),
                load.get("batch", 1),
                # Locust's users begin work at a rate of their own.
                load.get("rate") if not plan.get("users") else None,
            )
        ],
    }


def _pools(rules: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Number the rules about events; those with an outcome of one type, whose key is at one place, have one number."""
    pools = list(range(len(rules)))
    about = [number for number, rule in enumerate(rules) if rule["of"] not in {"upload", "batch"}]
    for one, other in combinations(about, 2):
        if rules[one].get("by") == rules[other].get("by") and {*rules[one]["then"]} & {*rules[other]["then"]}:
            pools = [pools[one] if pool == pools[other] else pool for pool in pools]
    return [pool if pools.count(pool) > 1 else None for pool in pools]


def _count(row: Mapping[str, Any]) -> int:
    """Return how many requests a line of ``again`` needs: its number, or one if it asks for all."""
    requested = row["reprocess"] if row.get("reprocess") is not None else row["replay"]
    return requested if isinstance(requested, int) else 1


def _accepted(kind: str, rule: Mapping[str, Any]) -> bool | None:
    """Whether an outcome of this type says that an upload was accepted; None if it may be either."""
    accepted, rejected = kind in (rule.get("accepted") or ()), kind in (rule.get("rejected") or ())
    return None if accepted == rejected else accepted
