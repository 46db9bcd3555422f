"""Where each consumer stands with each record it must deal with: the tables behind *exactly one effect*."""

from __future__ import annotations

from typing import Final

TABLES: Final = {
    # One row an event id on the topics.
    "identities": """
        SELECT event_id, any_value(event_type) AS event_type, min(digest) AS digest,
               coalesce(min(digest) <> max(digest), false) AS conflict
        FROM events GROUP BY event_id
    """,
    # One row a (consumer, event id) with an effect: what the final read has, and the pass that saw the first.
    "applied": """
        SELECT consumer, event_id, min(e.read) AS first_read, min(i) AS i, min(t) AS t,
               count(*) FILTER (e.read = effects_read) AS final_rows,
               min(digest) AS digest, max(digest) AS other_digest,
               coalesce(min(effect) <> max(effect), false) OR count(effect) NOT IN (0, count(*)) AS several
        FROM effects e, moments WHERE e.read <= coalesce(effects_read, e.read)
        GROUP BY consumer, event_id
    """,
    # Every record on a topic that a consumer must deal with: an event of a type it applies, or one that is malformed
    # on a topic that it reads. ``standing``: passed, waiting, late (visible only after the offsets were read), or
    # unread (there is no final read of offsets).
    "due": """
        WITH concerns AS (
            SELECT a.consumer, e.event_id, e.digest, e.topic, e.partition, e."offset", e.i, e.t, e.injected,
                   false AS malformed
            FROM events e JOIN applies a USING (event_type)
            UNION ALL
            SELECT o.consumer, m.event_id, NULL, m.topic, m.partition, m."offset", m.i, m.t, m.injected, true
            FROM malformed m JOIN (SELECT DISTINCT consumer, topic FROM offsets) o USING (topic)
        )
        SELECT c.*, o.committed, o.i AS i_offset, o.t AS t_offset, a.first_read, coalesce(a.final_rows, 0) > 0 AS applied,
               CASE WHEN m.offsets_read IS NULL THEN 'unread'
                    WHEN o.committed > c."offset" THEN 'passed'
                    WHEN o.i IS NULL AND c.t >= m.offsets_began THEN 'late'
                    WHEN c."offset" >= o.visible_end THEN 'late'
                    ELSE 'waiting' END AS standing
        FROM concerns c
        CROSS JOIN moments m
        LEFT JOIN offsets o
          ON o.read = m.offsets_read AND o.consumer = c.consumer AND o.topic = c.topic AND o.partition = c.partition
        LEFT JOIN applied a ON NOT c.malformed AND a.consumer = c.consumer AND a.event_id = c.event_id
    """,
    # Dead letters about events, with the digest of the record they were made from; those about malformed records,
    # whatever id such a record claims, are not here.
    "event_letters": """
        SELECT l.consumer, coalesce(l.event_id, e.event_id) AS event_id, l.kind, e.digest, l.i, l.t
        FROM letters l
        LEFT JOIN events e
          ON e.topic = l.source_topic AND e.partition = l.source_partition AND e."offset" = l.source_offset
        LEFT JOIN malformed m
          ON m.topic = l.source_topic AND m.partition = l.source_partition AND m."offset" = l.source_offset
        WHERE m.i IS NULL AND (l.source_topic IS NOT NULL OR l.kind IS DISTINCT FROM 'malformed')
    """,
    # (consumer, event id) without an effect in the final read. Each fact (event id and digest) may have a dead letter
    # in its place; one that does not say where it comes from stands for all.
    "missing": """
        WITH unapplied AS (
            SELECT consumer, event_id, count(*) AS positions, count(*) FILTER (standing = 'passed') AS passed,
                   count(DISTINCT digest) AS facts, min(i) AS i, min(t) AS t,
                   arg_min({topic: topic, partition: partition, "offset": "offset", i: i_offset}, i) AS place
            FROM due WHERE NOT malformed AND NOT applied GROUP BY consumer, event_id
        ), answered AS (
            SELECT consumer, event_id, count(*) AS letters, count(DISTINCT digest) AS facts, count(digest) AS sourced
            FROM event_letters GROUP BY consumer, event_id
        )
        SELECT u.*,
               coalesce(a.letters > 0 AND (u.facts = 1 OR a.sourced < a.letters OR a.facts >= u.facts), false) AS excused
        FROM unapplied u LEFT JOIN answered a USING (consumer, event_id)
    """,
    # Event ids that stand for several facts, for each consumer that must apply two of them or more. ``foreign`` facts
    # are those that only the harness published.
    "conflicts": """
        WITH facts AS (
            SELECT consumer, event_id, digest, bool_and(injected IS NOT NULL) AS foreign_fact, min(i) AS i, min(t) AS t,
                   count(*) AS positions, count(*) FILTER (standing = 'passed') AS passed
            FROM due JOIN (SELECT event_id FROM identities WHERE conflict) USING (event_id)
            WHERE NOT malformed GROUP BY consumer, event_id, digest
        )
        SELECT consumer, event_id, count(*) AS facts, count(*) FILTER (foreign_fact) AS foreign_facts,
               sum(positions) AS positions, sum(passed) AS passed, min(i) AS i, max(i) AS i_other, min(t) AS t,
               EXISTS (SELECT 1 FROM event_letters l
                       WHERE l.consumer = facts.consumer AND l.event_id = facts.event_id AND l.kind = 'conflict')
               AS reported
        FROM facts GROUP BY consumer, event_id HAVING count(*) > 1
    """,
    # Effects of the final read whose id, or id and digest, no event on the topics has.
    "unmatched": """
        SELECT f.consumer, f.event_id, f.effect, f.digest, f.i, f.t, d.event_id IS NOT NULL AS published
        FROM (
            SELECT a.consumer, a.event_id FROM applied a LEFT JOIN identities d USING (event_id)
            WHERE final_rows > 0
              AND (d.event_id IS NULL OR a.digest <> d.digest OR a.other_digest <> d.digest
                   OR (d.conflict AND a.digest IS NOT NULL))
        ) odd
        JOIN moments ON true
        JOIN effects f ON f.read = effects_read AND f.consumer = odd.consumer AND f.event_id = odd.event_id
        LEFT JOIN identities d ON d.event_id = f.event_id
        WHERE d.event_id IS NULL
           OR (f.digest IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = f.event_id AND e.digest = f.digest))
    """,
    # Malformed records that a consumer passed and left no dead letter of.
    "unlettered": """
        SELECT * FROM due d
        WHERE malformed AND standing = 'passed' AND NOT EXISTS (
            SELECT 1 FROM letters l
            WHERE l.consumer = d.consumer AND (l.event_id = d.event_id OR (
                l.source_topic = d.topic AND l.source_partition = d.partition AND l.source_offset = d."offset")))
    """,
    # For each pass of effects, how far each group was known to be before an earlier pass began that ended well: what
    # is first seen in the one was passed and absent in the other.
    "ceilings": """
        WITH absent AS (
            SELECT ended, max(began) OVER (ORDER BY ended) AS began FROM reads WHERE what = 'effects' AND phase = 'ok'
        ), horizons AS (
            SELECT r.read, a.began AS horizon FROM reads r ASOF JOIN absent a ON r.began >= a.ended
            WHERE r.what = 'effects'
        ), peaks AS (
            SELECT consumer, topic, partition, ended, max(committed) OVER (
                       PARTITION BY consumer, topic, partition ORDER BY ended) AS committed
            FROM offsets JOIN reads r USING (read) WHERE r.phase = 'ok'
        ), places AS (SELECT DISTINCT consumer, topic, partition FROM peaks)
        SELECT h.read, h.horizon, p.consumer, p.topic, p.partition, p.committed
        FROM (SELECT * FROM horizons CROSS JOIN places) h
        ASOF JOIN peaks p
          ON p.consumer = h.consumer AND p.topic = h.topic AND p.partition = h.partition AND h.horizon > p.ended
    """,
}
"""Name to query, in the order in which they build on one another."""
