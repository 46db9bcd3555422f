"""Where each consumer stands with each record it must deal with: the tables behind *exactly one effect*.

Nearly every event of a long history is in order. So a few light passes over everything find the suspects first, and the
expensive queries look at those alone.
"""

from __future__ import annotations

from typing import Final

TABLES: Final = {
    "found": """
        SELECT consumer, event_id, effect, template, digest, key, sharing, i, t FROM effects
        WHERE read = (SELECT effects_read FROM moments) AND (sharing IS NULL OR sharing = 1)
    """,
    # Consumers with effects by a business key, none of which is the key of an event.
    "strangers": """
        SELECT consumer, count(*) AS n, min(key) AS key, min(i) AS i FROM effects
        WHERE key IS NOT NULL AND read = (SELECT effects_read FROM moments)
        GROUP BY consumer HAVING count(sharing) = 0
    """,
    # Consumers with effects that could not be read, which may be those that seem to be missing.
    "illegible": """
        SELECT DISTINCT consumer FROM history ANTI JOIN injections USING (topic, partition, "offset")
        WHERE op = 'effect' AND error IS NOT NULL
    """,
    # Partitions on which the broker lost what it had acknowledged: a group that passed the lost record may be past the place
    # of another one, which took its offset. ``partition`` null: nobody knows which.
    "refilled": """
        SELECT DISTINCT topic, partition FROM missing_records WHERE t < (SELECT began FROM finals WHERE what = 'topics')
    """,
    # Ids of events that the load published, or may have published: the broker did not refuse it each time.
    "put": "SELECT upload_id AS event_id FROM uploads WHERE op = 'publish' AND state <> 'fail' AND upload_id IS NOT NULL",
    # Each consumer with the types that concern it: those of which it must have effects, and those that it adds up.
    "concerned": "SELECT consumer, event_type FROM applies UNION SELECT consumer, event_type FROM totalled",
    # A ``silent`` consumer has committed no offset anywhere, so it is not seen to pass a record. A consumer reads
    # the topics that its group was assigned or committed on; if none is known, every topic with events that concern it.
    "silent": """
        SELECT DISTINCT consumer FROM concerned
        WHERE consumer NOT IN (SELECT consumer FROM offsets WHERE committed IS NOT NULL)
    """,
    "reading": """
        SELECT DISTINCT consumer, topic FROM offsets
        UNION
        SELECT c.consumer, e.topic FROM events e JOIN concerned c USING (event_type)
        WHERE c.consumer NOT IN (SELECT consumer FROM offsets)
    """,
    # Topics on which a consumer commits no offset, although it does on others: it may keep these offsets elsewhere.
    "elsewhere": """
        SELECT consumer, topic FROM offsets WHERE consumer NOT IN (FROM silent)
        GROUP BY consumer, topic HAVING count(committed) = 0
    """,
    # Event ids that several records share, and those that several facts share: records that differ in their data, their type
    # or the upload that they are about.
    "repeated": "SELECT event_id FROM events GROUP BY event_id HAVING count(*) > 1",
    "conflicting": """
        SELECT event_id FROM events SEMI JOIN repeated USING (event_id)
        GROUP BY event_id
        HAVING min(digest) <> max(digest) OR min(event_type) <> max(event_type) OR min(upload_id) <> max(upload_id)
    """,
    # One row per effect: the pass that saw it first, and its number of rows in the final pass.
    "sights": """
        SELECT consumer, event_id, effect, min(e.read) AS first_read, count(*) FILTER (e.read = effects_read) AS final_rows
        FROM effects e, moments WHERE e.read <= coalesce(effects_read, e.read)
        GROUP BY consumer, event_id, effect
    """,
    # For each pass over the effects, the offset that each group had reached before an earlier, successful pass began.
    # An effect first seen in this pass was absent then, although an event below that offset had been passed.
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
    # Dead letters with the record that each names as its source: the place decides, whatever id the letter names. ``whole``: it
    # names topic, partition and offset; otherwise nobody can be sure which record it is about. ``astray``: nothing was read at
    # the place that it names, which may hold a copy. ``anyones``: nobody knows whose it is.
    "sources": """
        SELECT l.*, e.event_id AS source_id, e.digest AS source_digest, m.i IS NOT NULL AS of_malformed, m.claims,
               z.topic IS NOT NULL AS of_tombstone,
               l.source_topic IS NOT NULL AND l.source_partition IS NOT NULL AND l.source_offset IS NOT NULL AS whole,
               whole AND source_id IS NULL AND NOT of_malformed AND NOT of_tombstone AS astray,
               l.consumer IS NULL OR (EXISTS (FROM services) AND l.consumer NOT IN (FROM services)) AS anyones
        FROM letters l
        LEFT JOIN events e
          ON e.topic = l.source_topic AND e.partition = l.source_partition AND e."offset" = l.source_offset
        LEFT JOIN malformed m
          ON m.topic = l.source_topic AND m.partition = l.source_partition AND m."offset" = l.source_offset
        LEFT JOIN (SELECT DISTINCT topic, partition, "offset" FROM tombstones) z
          ON z.topic = l.source_topic AND z.partition = l.source_partition AND z."offset" = l.source_offset
    """,
    # Dead letters about events, without those about malformed records and tombstones, whatever id they name. ``taken``: the
    # letter was replayed since, so it no longer counts; ``asked``: when that was first asked for, if it may have been granted.
    # ``early``: it was seen after a replay was asked for, and no look at the letters that began after the answer shows that it
    # was not there yet. ``unsure``: it names no place of an event, so it may be about a malformed record, if that is
    # its reason, or if one claims the event's id.
    "event_letters": """
        SELECT consumer, coalesce(source_id, event_id) AS event_id, kind, source_digest AS digest, anyones, i, t,
               EXISTS (SELECT 1 FROM replays r WHERE r.consumer = s.consumer AND r.t > s.t AND r.state = 'ok'
                       AND r.event_id = coalesce(s.source_id, s.event_id)) AS taken,
               (SELECT min(r.t) FROM replays r WHERE r.consumer = s.consumer AND r.t > s.t AND r.state <> 'fail'
                       AND r.event_id = coalesce(s.source_id, s.event_id)) AS asked,
               EXISTS (SELECT 1 FROM replays r WHERE r.consumer = s.consumer AND r.t <= s.t AND r.state <> 'fail'
                       AND r.event_id = coalesce(s.source_id, s.event_id)
                       AND NOT EXISTS (SELECT 1 FROM reads p JOIN reads q ON p.ended < q.began
                                       WHERE p.what = 'dead_letters' AND p.phase = 'ok' AND p.began > r.ended
                                         AND q.read = s.read)) AS early,
               source_id IS NULL AND (coalesce(kind = 'malformed', false) OR EXISTS (
                   SELECT 1 FROM malformed m
                   WHERE m.claims = s.event_id
                     AND (s.astray OR (fits(s.source_topic, m.topic) AND fits(s.source_partition, m.partition)
                                       AND fits(s.source_offset, m."offset"))))) AS unsure
        FROM sources s
        WHERE NOT of_malformed AND NOT of_tombstone
          AND (whole OR kind IS DISTINCT FROM 'malformed' OR event_id IN (SELECT event_id FROM events))
    """,
    # Dead letters that name neither the place nor the id of anything on the topics.
    "strays": """
        SELECT * FROM sources s
        WHERE source_id IS NULL AND NOT of_malformed AND NOT of_tombstone
          AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = s.event_id)
          AND NOT EXISTS (SELECT 1 FROM malformed m WHERE m.event_id = s.event_id)
          AND NOT EXISTS (SELECT 1 FROM malformed m WHERE m.claims = s.event_id)
    """,
    # The same letters, with what else is known about the event. ``asked``: maybe it was replayed before its effect was seen.
    "lettered": """
        WITH applied AS (
            SELECT consumer, event_id, min(e.i) AS i, min(e.t) AS t, bool_or(e.read = effects_read) AS at_end
            FROM effects e SEMI JOIN event_letters USING (consumer, event_id), moments GROUP BY consumer, event_id
        ), published AS (SELECT DISTINCT event_id FROM events SEMI JOIN event_letters USING (event_id))
        SELECT l.consumer, l.event_id, l.kind, l.i, l.t, l.taken, l.early, l.unsure, a.i AS i_effect, a.t AS t_effect,
               coalesce(a.at_end, false) AS applied, l.asked IS NOT NULL AND NOT (applied AND a.t < l.asked) AS asked,
               p.event_id IS NOT NULL AS published,
               l.event_id IN (SELECT event_id FROM conflicting) AS conflict
        FROM event_letters l LEFT JOIN applied a USING (consumer, event_id) LEFT JOIN published p USING (event_id)
        WHERE l.event_id IS NOT NULL
    """,
    # Every record that a consumer reads and must deal with: an event of a type it applies, or a malformed record,
    # unless it claims a type that does not concern the consumer. ``standing``: passed, waiting, late (visible only after the
    # offsets were read), silent (the consumer commits no offset) or unread (there is no final read of offsets).
    # ``done``: the consumer passed the record; if it is silent, or its effects may come after its offsets, it had time for it.
    "standings": """
        WITH concerns AS (
            SELECT a.consumer, e.event_id, e.digest, e.topic, e.partition, e."offset", e.i, e.t, e.injected,
                   false AS malformed
            FROM events e JOIN applies a USING (event_type) JOIN reading r ON r.consumer = a.consumer AND r.topic = e.topic
            UNION ALL
            SELECT r.consumer, m.event_id, m.digest, m.topic, m.partition, m."offset", m.i, m.t, m.injected, true
            FROM malformed m JOIN reading r USING (topic)
            WHERE m.event_type IS NULL
               OR EXISTS (SELECT 1 FROM concerned c WHERE c.consumer = r.consumer AND c.event_type = m.event_type)
        )
        SELECT c.*, o.committed, o.i AS i_offset, o.t AS t_offset,
               CASE WHEN m.offsets_read IS NULL THEN 'unread'
                    WHEN q.consumer IS NOT NULL THEN 'silent'
                    WHEN o.committed > c."offset" THEN 'passed'
                    WHEN o.i IS NULL AND c.t >= m.offsets_began THEN 'late'
                    WHEN c."offset" >= o.visible_end THEN 'late'
                    ELSE 'waiting' END AS standing,
               (standing = 'passed' AND c.consumer NOT IN (FROM deferred))
               OR (standing IN ('passed', 'silent') AND m.still AND m.well) AS done
        FROM concerns c CROSS JOIN moments m
        LEFT JOIN silent q ON q.consumer = c.consumer
        LEFT JOIN (SELECT * FROM offsets WHERE read = (SELECT offsets_read FROM moments)) o
          ON o.consumer = c.consumer AND o.topic = c.topic AND o.partition = c.partition
    """,
    # Each (consumer, event id) worth a closer look: no effect at the end, an effect that may have come after the offset
    # was passed, a dead letter, or several facts.
    "suspects": """
        SELECT a.consumer, e.event_id
        FROM events e JOIN applies a USING (event_type)
        LEFT JOIN sights s ON s.consumer = a.consumer AND s.event_id = e.event_id
        LEFT JOIN ceilings c ON c.read = s.first_read AND c.consumer = a.consumer AND c.topic = e.topic
                            AND c.partition = e.partition
        WHERE coalesce(s.final_rows, 0) = 0 OR c.committed > e."offset"
        UNION
        SELECT consumer, event_id FROM event_letters
        UNION
        SELECT a.consumer, e.event_id FROM events e SEMI JOIN conflicting USING (event_id) JOIN applies a USING (event_type)
    """,
    # All records of the suspects, and every record that is malformed, or neither passed nor silent. ``doubted``: its offset
    # says nothing.
    "due": """
        SELECT s.*, EXISTS (SELECT 1 FROM refilled f WHERE f.topic = s.topic
                            AND coalesce(f.partition, s.partition) = s.partition) AS doubted
        FROM standings s LEFT JOIN suspects x ON x.consumer = s.consumer AND x.event_id = s.event_id
        WHERE x.event_id IS NOT NULL OR s.malformed OR s.standing NOT IN ('passed', 'silent')
    """,
    # Effects of the final read whose id, or id and digest, no event on the topics has. Of an event with integers that a double
    # cannot hold, an effect may carry either digest: RFC 8785 rounds them, and many libraries do not.
    "unmatched": """
        WITH odd AS (
            SELECT * FROM found f
            WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = f.event_id AND e.digest = f.digest)
              AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = f.event_id AND e.digest_rounded = f.digest)
        ), known AS (SELECT DISTINCT event_id FROM events SEMI JOIN odd USING (event_id))
        SELECT odd.*, k.event_id IS NOT NULL AS published
        FROM odd LEFT JOIN known k USING (event_id) WHERE k.event_id IS NULL OR odd.digest IS NOT NULL
    """,
    # Unmatched effects whose id, or business key, differs from an event's on the topics only in case.
    "respelled": """
        SELECT u.consumer, u.event_id, u.effect, min(u.i) AS i, min(u.t) AS t, min(e.event_id) AS published_id,
               min(e.i) AS i_event
        FROM unmatched u JOIN events e ON lower(e.event_id) = lower(u.event_id)
        WHERE NOT u.published GROUP BY ALL
        UNION ALL
        SELECT u.consumer, u.event_id, u.effect, min(u.i), min(u.t), min(k.event_id), NULL
        FROM unmatched u JOIN known_keys k ON k.consumer = u.consumer AND lower(k.key) = lower(u.key)
        WHERE NOT u.published GROUP BY ALL
    """,
    # Events whose effect cannot be found by its business key, although it may be there: the event has none, shares it
    # with another, or the effects' keys are not those of events at all.
    "unjoined": """
        WITH at_end AS (
            SELECT DISTINCT consumer, lower(key) AS key FROM effects
            WHERE key IS NOT NULL AND read = (SELECT effects_read FROM moments)
        )
        SELECT DISTINCT d.consumer, d.event_id, e.keys[d.consumer] IS NULL AS keyless
        FROM due d JOIN joined_by j USING (consumer)
        JOIN events e ON e.topic = d.topic AND e.partition = d.partition AND e."offset" = d."offset"
        LEFT JOIN known_keys k ON k.consumer = d.consumer AND k.key = e.keys[d.consumer]
        LEFT JOIN at_end a ON a.consumer = d.consumer AND a.key = lower(k.key)
        WHERE NOT d.malformed AND (e.keys[d.consumer] IS NULL OR (k.events > 1 AND a.key IS NOT NULL)
                                   OR d.consumer IN (SELECT consumer FROM strangers))
    """,
    # Malformed records of which a consumer left no dead letter. ``maybe``: why one may be about it all the same. A letter at no
    # known place may be, if it names no other malformed record, and no event but one whose id this record claims. A letter
    # that names nothing at all is about a consumer's only malformed record without a letter; of several it may be about any.
    # What a fault published and what the system published with the same bytes, as onto a retry topic, share a letter, unless it
    # was replayed; if faults published several, it may be about any of them.
    "unlettered": """
        WITH named AS (
            SELECT d.consumer, d.i, d.digest, d.injected,
                   bool_or(NOT EXISTS (SELECT 1 FROM replays r
                                       WHERE r.consumer = l.consumer AND r.t > l.t AND r.state <> 'fail'
                                         AND r.source_topic = l.source_topic AND r.source_partition = l.source_partition
                                         AND r.source_offset = l.source_offset)) AS kept
            FROM due d JOIN sources l ON l.consumer = d.consumer AND CASE
                WHEN l.whole
                THEN l.source_topic = d.topic AND l.source_partition = d.partition AND l.source_offset = d."offset"
                ELSE l.event_id = d.event_id END
            WHERE d.malformed GROUP BY ALL
        ), originals AS (
            SELECT consumer, digest, count(injected) AS originals FROM due WHERE malformed GROUP BY ALL
        ), copied AS (
            SELECT DISTINCT d.consumer, d.i, o.originals = 1 AS sure
            FROM due d JOIN named n USING (consumer, digest) JOIN originals o USING (consumer, digest)
            WHERE d.malformed AND n.kept AND (d.injected IS NULL OR n.injected IS NULL)
        ), unnamed AS (
            SELECT d.* FROM due d ANTI JOIN named n ON n.consumer = d.consumer AND n.i = d.i
            ANTI JOIN copied c ON c.consumer = d.consumer AND c.i = d.i AND c.sure
            WHERE d.malformed
        ), nameless AS (
            SELECT consumer, count(*) AS n FROM sources
            WHERE kind = 'malformed' AND event_id IS NULL
              AND coalesce(source_topic, source_partition::VARCHAR, source_offset::VARCHAR) IS NULL
            GROUP BY consumer
        ), vague AS (
            SELECT s.*, EXISTS (SELECT 1 FROM malformed m WHERE m.event_id = s.event_id)
                        OR (s.kind IS DISTINCT FROM 'malformed'
                            AND EXISTS (SELECT 1 FROM events e WHERE e.event_id = s.event_id)) AS known
            FROM sources s WHERE NOT whole OR astray OR (anyones AND of_malformed)
        ), ways AS (
            SELECT d.consumer, d.i, CASE WHEN v.anyones THEN 3 WHEN v.astray THEN 2 ELSE 1 END AS way
            FROM unnamed d JOIN malformed m ON m.i = d.i JOIN vague v ON v.anyones OR v.consumer = d.consumer
            WHERE (v.astray OR (fits(v.source_topic, d.topic) AND fits(v.source_partition, d.partition)
                                AND fits(v.source_offset, d."offset")))
              AND (v.of_malformed OR NOT v.known OR v.event_id = m.claims OR v.event_id = d.event_id)
            UNION ALL
            SELECT consumer, i, 4 FROM copied
        ), first AS (SELECT consumer, i, min(way) AS way FROM ways GROUP BY ALL)
        SELECT d.*, ['a dead letter that names no whole place (topic, partition and offset) may be about it',
                     'a dead letter that names a place where nothing was read may be about a copy of it; list that topic in '
                     || '`events: topics`',
                     'a dead letter that names no service as its consumer may be about it',
                     'a record with its bytes was set aside, and it may be a copy of that one'][w.way] AS maybe
        FROM unnamed d LEFT JOIN first w ON w.consumer = d.consumer AND w.i = d.i
        LEFT JOIN nameless s ON s.consumer = d.consumer
        WHERE NOT (s.n IS NOT NULL AND (SELECT count(*) FROM unnamed u WHERE u.consumer = d.consumer) = 1)
    """,
    # Records that a consumer has not passed. ``sign``: what shows that it may be done with one all the same, for it may commit
    # once for many records, or elsewhere. Of two facts with one id, an effect says which it is of if it has a digest.
    "waiting": """
        WITH told AS (
            SELECT d.consumer, d.i, 1 AS way FROM due d JOIN found f USING (consumer, event_id)
            LEFT JOIN (SELECT DISTINCT event_id, digest FROM events SEMI JOIN conflicting USING (event_id)) c
              ON c.event_id = f.event_id AND c.digest = f.digest
            WHERE NOT d.malformed AND (c.digest IS NULL OR c.digest = d.digest)
            UNION ALL
            SELECT d.consumer, d.i, 2 FROM due d JOIN event_letters l USING (consumer, event_id)
            WHERE NOT d.malformed AND NOT l.taken AND (l.digest IS NULL OR l.digest = d.digest)
            UNION ALL
            SELECT d.consumer, d.i, CASE WHEN u.i IS NULL THEN 2 ELSE 3 END
            FROM due d LEFT JOIN unlettered u ON u.consumer = d.consumer AND u.i = d.i
            WHERE d.malformed AND (u.i IS NULL OR u.maybe IS NOT NULL)
            UNION ALL
            SELECT d.consumer, d.i, 3 FROM due d JOIN respelled r ON r.consumer = d.consumer AND r.published_id = d.event_id
            UNION ALL
            SELECT d.consumer, d.i, 3 FROM due d JOIN unjoined j ON j.consumer = d.consumer AND j.event_id = d.event_id
        ), best AS (SELECT consumer, i, min(way) AS way FROM told GROUP BY ALL)
        SELECT d.*, ['its effect is there', 'it has a dead letter', 'its effect or dead letter may be there'][b.way] AS sign
        FROM due d LEFT JOIN best b ON b.consumer = d.consumer AND b.i = d.i WHERE d.standing = 'waiting'
    """,
    # Each partition on which records wait for a consumer: when it was last seen to move, and when the first came that
    # is not known to be done (``owed``: there is one). ``is_stuck``: all that was long ago.
    "stuck": """
        WITH waits AS (
            SELECT consumer, topic, partition, min(t) FILTER (sign IS NULL) AS came FROM waiting GROUP BY ALL
        ), idle AS (
            SELECT w.*, coalesce(v.t, 0) AS moved, m.mended, m.patience,
                   CASE WHEN m.offsets_began < m.effects_began THEN m.offsets_began
                        WHEN m.offsets_began >= m.effects_began THEN m.effects_began END
                   - greatest(coalesce(v.t, 0), m.mended, w.came) AS idle
            FROM waits w LEFT JOIN moves v USING (consumer) CROSS JOIN moments m
        )
        SELECT consumer, topic, partition, moved, came IS NOT NULL AS owed, coalesce(idle >= patience, false) AS is_stuck,
               CASE WHEN idle IS NULL THEN 'the effects were not read at the end'
                    WHEN came >= greatest(moved, mended)
                    THEN format('nothing waited on its partition before {} s', seconds(came))
                    WHEN moved >= mended THEN format('{} still moved at {} s', consumer, seconds(moved))
                    ELSE format('the load, or what was broken, went on until {} s', seconds(mended)) END
               || CASE WHEN idle IS NULL THEN '' ELSE ': it may be slow' END AS since
        FROM idle
    """,
    # Each (consumer, event id) without an effect in the final read. A fact (event id and digest) may have a dead letter
    # instead; a letter that names no source stands for all facts of its id. ``veil``: why it may be there all the same.
    "missing": """
        WITH unapplied AS (
            SELECT consumer, event_id, count(*) AS positions, count(*) FILTER (standing = 'passed') AS passed,
                   count(*) FILTER (standing = 'silent') AS silent, count(*) FILTER (done) AS done,
                   count(DISTINCT digest) AS facts, bool_or(doubted) AS doubted, min(i) AS i, min(t) AS t,
                   arg_min({topic: topic, partition: partition, "offset": "offset", i: i_offset}, i) AS place
            FROM due d
            WHERE NOT malformed
              AND NOT EXISTS (SELECT 1 FROM found f WHERE f.consumer = d.consumer AND f.event_id = d.event_id)
              AND NOT EXISTS (SELECT 1 FROM respelled r WHERE r.consumer = d.consumer AND r.published_id = d.event_id)
              AND NOT EXISTS (SELECT 1 FROM unjoined j WHERE j.consumer = d.consumer AND j.event_id = d.event_id)
            GROUP BY consumer, event_id
        ), answered AS (
            SELECT consumer, event_id, count(*) AS letters, count(DISTINCT digest) AS facts, count(digest) AS sourced
            -- What is lost is lost, whether the letter of a malformed record names it or its own was made without a reason.
            FROM event_letters WHERE NOT taken AND NOT (unsure AND kind = 'malformed') GROUP BY consumer, event_id
        )
        SELECT u.*,
               coalesce(a.letters > 0 AND (u.facts = 1 OR a.sourced < a.letters OR a.facts >= u.facts), false) AS excused,
               CASE WHEN u.consumer IN (FROM illegible) THEN 'not all effects could be read'
                    WHEN m.dead_letters AND NOT m.letters_legible THEN 'not all dead letters could be read'
                    WHEN u.doubted THEN 'the broker lost records of its partition'
                    WHEN u.event_id IN (SELECT event_id FROM overwritten) THEN 'a fault made a copy of it unreadable'
                    WHEN u.event_id IN (SELECT event_id FROM event_letters WHERE anyones)
                    THEN 'a dead letter of it names no service as its consumer'
                    WHEN u.facts > 1 AND EXISTS (SELECT 1 FROM strays s WHERE s.anyones OR s.consumer = u.consumer)
                    THEN 'a dead letter names neither a record nor an event' END AS veil
        FROM unapplied u LEFT JOIN answered a USING (consumer, event_id) CROSS JOIN moments m
    """,
    # Event ids that several facts share, for each consumer that must apply two or more of them. Only the harness
    # published a ``foreign`` fact.
    "conflicts": """
        WITH facts AS (
            SELECT consumer, event_id, digest, bool_and(injected IS NOT NULL) AS foreign_fact, min(i) AS i, min(t) AS t,
                   count(*) AS positions, count(*) FILTER (done) AS done, bool_or(doubted) AS doubted,
                   count(*) FILTER (standing IN ('passed', 'silent')) AS gone
            FROM due SEMI JOIN conflicting USING (event_id) WHERE NOT malformed GROUP BY consumer, event_id, digest
        )
        SELECT consumer, event_id, count(*) AS facts, count(*) FILTER (foreign_fact) AS foreign_facts,
               sum(positions) AS positions, sum(done) AS done, sum(gone) AS gone, bool_or(doubted) AS doubted,
               min(i) AS i, max(i) AS i_other,
               min(t) AS t,
               EXISTS (SELECT 1 FROM event_letters l
                       WHERE l.consumer = facts.consumer AND l.event_id = facts.event_id
                         -- Of a system whose letters give no reason, any may be about the conflict.
                         AND l.kind IN ('conflict', 'unsaid'))
               AS reported,
               EXISTS (SELECT 1 FROM strays s
                       WHERE (s.anyones OR s.consumer = facts.consumer) AND s.kind IN ('conflict', 'unsaid'))
               OR EXISTS (SELECT 1 FROM event_letters l
                          WHERE l.anyones AND l.event_id = facts.event_id AND l.kind IN ('conflict', 'unsaid'))
               AS maybe_reported
        FROM facts GROUP BY consumer, event_id HAVING count(*) > 1
    """,
}
"""Name to query; each query may use the tables above it."""

VIEWS: Final = frozenset({"found", "standings"})
"""Tables that are cheaper to evaluate again than to store."""
