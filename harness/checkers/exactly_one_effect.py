"""For every event and every consumer that must apply it: one effect with its payload, or one dead letter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Final

from harness.checkers.queries import Queries, checks
from harness.checkers.standing import TABLES, VIEWS
from harness.checkers.wire import HAZARDS
from harness.checkers.wire import TABLES as WIRE
from harness.history.reader import History
from harness.verdict import Anomaly, Fields, Finding, Verdict

LOST: Final = """
WITH gone AS (
    SELECT *, (SELECT min(o.t) FROM offsets o
               WHERE o.consumer = missing.consumer AND o.topic = missing.place.topic
                 AND o.partition = missing.place.partition AND o.committed > missing.place."offset") AS t_passed
    FROM missing, moments
    WHERE done = positions AND NOT excused AND effects_settled AND (letters_settled OR NOT dead_letters) AND veil IS NULL
)
SELECT consumer, event_id, place.topic, place.partition, place."offset", i AS i_event, t AS t_event,
       place.i AS i_offset, effects_read AS i_read, seconds(t) AS seen_s, seconds(t_passed) AS passed_s,
       seconds(effects_began) AS read_s,
       CASE WHEN silent > 0 THEN 'commits no offset; nothing had moved for ' || seconds(quiet) || ' s, and'
            ELSE format('passed its offset ({}:{}:{}) by {} s, {}', place.topic, place.partition, place."offset",
                        seconds(t_passed),
                        CASE WHEN consumer IN (FROM deferred)
                             THEN 'nothing had moved for ' || seconds(quiet) || ' s, and' ELSE 'but' END) END AS deed
FROM gone ORDER BY i
"""

DUPLICATE: Final = """
WITH several AS (
    -- Of a business key that no event has, or that an unread event may share, nobody knows how many effects there should be.
    SELECT consumer, event_id FROM found, moments
    WHERE key IS NULL OR (sharing = 1 AND topics_after_effects AND legible)
    GROUP BY consumer, event_id HAVING count(*) > 1
), final AS (
    -- Two rows of one pass are two effects, whatever they call themselves.
    SELECT consumer, event_id, effect, i, t FROM found SEMI JOIN several USING (consumer, event_id)
), earlier AS (
    SELECT consumer, event_id, effect, min(t) AS t FROM effects SEMI JOIN several USING (consumer, event_id) GROUP BY ALL
), sights AS (
    SELECT f.consumer, f.event_id, coalesce(f.effect, 'record ' || f.i) AS effect, f.i, coalesce(e.t, f.t) AS t_seen
    FROM final f LEFT JOIN earlier e USING (consumer, event_id, effect)
)
SELECT consumer, event_id, count(*) AS n, list(effect ORDER BY t_seen, i) AS effects,
       list(i ORDER BY t_seen, i) AS i_effects, min(t_seen) AS t_first, max(t_seen) AS t_last,
       seconds(min(t_seen)) AS first_s, seconds(max(t_seen)) AS last_s
FROM sights GROUP BY consumer, event_id HAVING count(*) > 1 ORDER BY t_last, event_id
"""

PHANTOM: Final = """
SELECT consumer, event_id, effect, i AS i_effect, t AS t_effect, topics_read AS i_read, seconds(t) AS effect_s
FROM unmatched u, moments
WHERE NOT published AND topics_after_effects AND legible AND consumer NOT IN (SELECT consumer FROM strangers)
  AND NOT EXISTS (SELECT 1 FROM respelled r WHERE r.consumer = u.consumer AND r.event_id = u.event_id)
  AND event_id NOT IN (FROM put)
ORDER BY i
"""

CORRUPT: Final = """
SELECT consumer, event_id, effect, u.digest, i AS i_effect, t AS t_effect,
       (SELECT list(DISTINCT e.digest) FROM events e WHERE e.event_id = u.event_id) AS published,
       (SELECT min(e.i) FROM events e WHERE e.event_id = u.event_id) AS i_event
FROM unmatched u, moments WHERE u.published AND topics_after_effects ORDER BY i
"""

VANISHED: Final = """
WITH gone AS (SELECT consumer, event_id, effect FROM sights, moments WHERE final_rows = 0 AND first_read < effects_read)
SELECT g.consumer, g.event_id, g.effect, min(e.i) AS i_effect, min(e.t) AS t_effect, any_value(effects_read) AS i_read,
       seconds(min(e.t)) AS seen_s, seconds(any_value(effects_began)) AS read_s
FROM effects e
JOIN gone g ON g.consumer = e.consumer AND g.event_id = e.event_id AND g.effect IS NOT DISTINCT FROM e.effect, moments
GROUP BY g.consumer, g.event_id, g.effect ORDER BY i_effect
"""

CONFLATED: Final = """
WITH own AS (
    SELECT event_id, greatest(count(DISTINCT digest), count(DISTINCT event_type), count(DISTINCT upload_id)) AS n,
           count(DISTINCT digest) AS data, list(DISTINCT digest ORDER BY digest) AS digests,
           list(DISTINCT event_type ORDER BY event_type) AS types,
           list(DISTINCT upload_id ORDER BY upload_id) FILTER (upload_id IS NOT NULL) AS uploads,
           min(i) AS i_event, max(i) AS i_other, min(t) AS t_event
    FROM events SEMI JOIN conflicting USING (event_id) WHERE injected IS NULL GROUP BY event_id
)
SELECT event_id, n, digests, i_event, i_other, t_event,
       concat_ws(', ', CASE WHEN data > 1 THEN data || ' kinds of data' END,
                 CASE WHEN len(types) > 1 THEN 'types ' || array_to_string(types, ' and ') END,
                 CASE WHEN len(uploads) > 1 THEN 'uploads ' || array_to_string(uploads, ' and ') END) AS differing
FROM own WHERE n > 1 ORDER BY i_event
"""

CONFLICT_UNREPORTED: Final = """
SELECT consumer, event_id, facts AS n, i AS i_event, i_other, t AS t_event
FROM conflicts, moments
WHERE foreign_facts > 0 AND done = positions AND NOT reported AND dead_letters AND letters_settled AND NOT doubted
  AND letters_legible AND NOT maybe_reported ORDER BY i
"""

EFFECT_AND_DEAD_LETTER: Final = """
SELECT consumer, event_id, kind, min(i) AS i_letter, min(t) AS t_letter, min(i_effect) AS i_effect,
       min(t_effect) AS t_effect, seconds(min(t)) AS letter_s, seconds(min(t_effect)) AS effect_s
FROM lettered, moments
WHERE applied AND NOT asked AND NOT early AND NOT unsure AND topics_after_letters AND (kind = 'poison' OR NOT conflict)
GROUP BY consumer, event_id, kind ORDER BY i_letter
"""

DEAD_LETTERED_WRONGLY: Final = """
SELECT consumer, event_id, kind, min(i) AS i_letter, min(t) AS t_letter, seconds(min(t)) AS letter_s
FROM lettered, moments
WHERE published AND NOT conflict AND NOT applied AND NOT asked AND NOT unsure AND topics_after_letters
  -- Of a letter from before a replay, what is wrong is that nothing came of the replay, which takes its time.
  AND (effects_settled OR NOT early)
GROUP BY consumer, event_id, kind ORDER BY i_letter
"""

NEITHER: Final = """
SELECT consumer, event_id, topic, partition, "offset", i AS i_event, t AS t_event, i_offset
FROM unlettered, moments
WHERE done AND dead_letters AND letters_settled AND NOT doubted AND letters_legible AND maybe IS NULL
ORDER BY i
"""

PREMATURE: Final = """
WITH applied AS (
    SELECT consumer, event_id, min(first_read) AS first_read FROM sights SEMI JOIN due USING (consumer, event_id)
    GROUP BY consumer, event_id
), late AS (
    SELECT DISTINCT d.consumer, d.event_id, a.first_read, c.horizon
    FROM due d JOIN applied a USING (consumer, event_id)
    JOIN ceilings c ON c.read = a.first_read AND c.consumer = d.consumer AND c.topic = d.topic
                   AND c.partition = d.partition AND c.committed > d."offset"
    WHERE NOT d.malformed AND NOT d.doubted
      AND NOT EXISTS (SELECT 1 FROM event_letters l WHERE l.consumer = d.consumer AND l.event_id = d.event_id)
      AND d.event_id NOT IN (SELECT event_id FROM conflicting)
      AND d.consumer NOT IN (FROM deferred)
      -- A transaction that is still open on a topic of effects hides those behind it, which are committed already.
      AND d.consumer NOT IN (SELECT consumer FROM history WHERE op = 'effect' AND topic IS NOT NULL)
), looks AS (
    -- Ends are read before what is committed, so between the two the consumer may have put the event on its retry topic. Only a
    -- fault's copy may be taken for not there yet.
    SELECT l.consumer, l.event_id, l.first_read, r.read AS i_offset, r.ended, count(o.i) AS known, count(*) AS positions,
           count(*) FILTER (d.injected IS NULL OR d."offset" < o.visible_end OR d."offset" < o.committed) AS visible,
           count(*) FILTER (d."offset" < o.committed) AS passed
    FROM late l
    JOIN reads r ON r.what = 'offsets' AND r.phase = 'ok' AND r.ended < l.horizon
    JOIN due d ON d.consumer = l.consumer AND d.event_id = l.event_id AND NOT d.malformed AND NOT d.doubted
    LEFT JOIN offsets o
      ON o.read = r.read AND o.consumer = d.consumer AND o.topic = d.topic AND o.partition = d.partition
    GROUP BY ALL
), premature AS (
    SELECT consumer, event_id, any_value(first_read) AS i_read, min(i_offset) AS i_offset, min(ended) AS t_offset
    FROM looks WHERE known = positions AND passed > 0 AND passed = visible GROUP BY consumer, event_id
)
SELECT consumer, event_id, i_offset, t_offset, i_read, min(e.i) AS i_effect, min(e.t) AS t_effect,
       seconds(t_offset) AS passed_s, seconds(min(e.t)) AS effect_s
FROM premature p JOIN effects e USING (consumer, event_id)
GROUP BY consumer, event_id, i_offset, t_offset, i_read ORDER BY t_offset
"""

STALLED: Final = """
WITH owed AS (
    SELECT *, row_number() OVER (PARTITION BY consumer, topic, partition ORDER BY "offset") AS nth,
           count(*) OVER (PARTITION BY consumer, topic, partition) - 1 AS behind
    FROM waiting WHERE sign IS NULL
)
SELECT consumer, event_id, topic, partition, "offset", behind, i AS i_event, t AS t_event, i_offset, t_offset, committed,
       coalesce('committed: ' || committed, 'nothing committed') AS standing_at, seconds(t) AS seen_s,
       seconds(moved) AS moved_s, CASE WHEN behind > 0 THEN ', and ' || behind || ' more behind it' ELSE '' END AS others
FROM owed JOIN stuck USING (consumer, topic, partition), moments
WHERE nth = 1 AND well AND is_stuck AND NOT drained ORDER BY i
"""

ARRIVED_LATE: Final = """
SELECT consumer, event_id, topic, partition, "offset", i AS i_event, t AS t_event, i_offset, seconds(t) AS seen_s
FROM due WHERE standing = 'late' ORDER BY i
"""

UNEXERCISED: Final = """
SELECT a.consumer, string_agg(DISTINCT a.event_type, ', ' ORDER BY a.event_type) AS types,
       coalesce((SELECT 'all ' || count(*) || ' records on the topics are malformed, the first: ' || arg_min(malformed, i)
                 FROM malformed HAVING count(*) > 0 AND NOT EXISTS (SELECT 1 FROM events)),
                (SELECT 'they were published on ' || string_agg(DISTINCT e.topic, ', ' ORDER BY e.topic)
                        || ', which it does not read'
                 FROM events e JOIN applies b USING (event_type) WHERE b.consumer = a.consumer HAVING count(*) > 0),
                'none was published') AS why
FROM applies a
WHERE NOT EXISTS (SELECT 1 FROM events e JOIN applies b USING (event_type)
                  JOIN reading r ON r.consumer = b.consumer AND r.topic = e.topic WHERE b.consumer = a.consumer)
GROUP BY a.consumer
UNION ALL
-- Types of which some were published, and none where it reads, though it reads others.
SELECT a.consumer, a.event_type, 'it was published on ' || string_agg(DISTINCT e.topic, ', ' ORDER BY e.topic)
       || ', which it does not read'
FROM applies a JOIN events e USING (event_type)
LEFT JOIN reading r ON r.consumer = a.consumer AND r.topic = e.topic
WHERE EXISTS (SELECT 1 FROM events o JOIN applies b USING (event_type)
              JOIN reading q ON q.consumer = b.consumer AND q.topic = o.topic WHERE b.consumer = a.consumer)
GROUP BY a.consumer, a.event_type HAVING count(r.topic) = 0
ORDER BY consumer, types
"""

MULTIPLICITY_UNSEEN: Final = """
WITH shared AS (
    SELECT consumer, template, count(DISTINCT event_id) AS events FROM found WHERE template IS NOT NULL GROUP BY ALL
), told AS (
    SELECT f.consumer, f.i, f.template, (SELECT min(event_type) FROM events e WHERE e.event_id = f.event_id) AS event_type,
           CASE WHEN coalesce(f.effect, f.event_id) = f.event_id OR f.effect = f.key THEN true
                WHEN f.template IS NOT NULL THEN s.events > 1 OR regexp_full_match(f.template, '\\{[^{}]*\\}') END AS computed
    FROM found f LEFT JOIN shared s USING (consumer, template)
), kinds AS (
    SELECT consumer, event_type, count(*) AS n, min(i) AS i_effect, arg_min(template, i) AS template,
           count(computed) AS known, coalesce(bool_and(computed), false) AS computed
    FROM told GROUP BY consumer, event_type
)
-- One or two names may equal a value of their events by chance; they count only if all of the consumer's do.
SELECT consumer, sum(n) AS n, min(i_effect) AS i_effect, coalesce(arg_min(template, i_effect), 'the event''s id') AS named
FROM (SELECT *, bool_and(computed OR known = 0) OVER (PARTITION BY consumer) AS whole FROM kinds)
WHERE computed AND (known >= 3 OR whole) GROUP BY consumer ORDER BY consumer
"""

KEY_SHARED: Final = """
SELECT k.consumer, k.key, k.events AS n, any_value(j.located) AS located, count(DISTINCT x.i) AS effects, min(x.i) AS i_effect,
       list_slice(list(DISTINCT e.event_id ORDER BY e.event_id), 1, 5) AS event_ids, min(e.event_id) AS event_id
FROM known_keys k JOIN joined_by j USING (consumer) JOIN applies a USING (consumer)
JOIN events e ON e.event_type = a.event_type AND e.keys[k.consumer] = k.key
LEFT JOIN (SELECT * FROM effects WHERE read = (SELECT effects_read FROM moments)) x ON x.consumer = k.consumer AND x.key = k.key
WHERE k.events > 1 GROUP BY k.consumer, k.key, k.events ORDER BY k.consumer, k.key
"""

KEY_MISSING: Final = """
SELECT d.consumer, d.event_id, any_value(j.located) AS located, min(d.i) AS i_event, min(d.t) AS t_event
FROM due d JOIN unjoined u ON u.consumer = d.consumer AND u.event_id = d.event_id AND u.keyless
JOIN joined_by j ON j.consumer = d.consumer GROUP BY d.consumer, d.event_id ORDER BY i_event
"""

KEYS_DIFFER: Final = """
SELECT s.consumer, s.n, s.key, s.i AS i_effect, j.located,
       (SELECT min(k.key) FROM known_keys k WHERE k.consumer = s.consumer) AS other
FROM strangers s JOIN joined_by j USING (consumer) ORDER BY s.consumer
"""

UNDECIDED: Final = """
SELECT consumer, event_id, i AS i_event, 'its offset is passed and it has no effect, but '
       || coalesce(veil, 'effects and dead letters were not read long enough after the offsets') AS why
FROM missing, moments
WHERE done = positions AND NOT excused AND effects_read IS NOT NULL
  AND (veil IS NOT NULL OR NOT (effects_settled AND (letters_settled OR NOT dead_letters)))
UNION ALL
SELECT consumer, event_id, i, 'it has no effect, and its consumer '
       || CASE WHEN silent > 0 THEN 'commits no offset; ' ELSE 'may apply it after its offset; ' END || doubt
FROM missing, moments WHERE done < positions AND passed + silent = positions AND NOT excused AND effects_read IS NOT NULL
UNION ALL
SELECT consumer, event_id, i, 'its effect matches no event, but the topics were not read after the effects'
FROM unmatched, moments WHERE NOT topics_after_effects
UNION ALL
SELECT consumer, event_id, i, 'its effect matches no event, but '
       || CASE WHEN event_id IN (FROM put) THEN 'the load published one, and the broker has it no more' ELSE doubt END
FROM unmatched u, moments
WHERE NOT published AND topics_after_effects AND (NOT legible OR event_id IN (FROM put))
  AND NOT EXISTS (SELECT 1 FROM respelled r WHERE r.consumer = u.consumer AND r.event_id = u.event_id)
UNION ALL
SELECT consumer, event_id, min(i), 'it has several effects by its key, but ' || CASE
           WHEN topics_after_effects THEN doubt ELSE 'the topics were not read after the effects: others may share the key' END
FROM found, moments WHERE sharing = 1 AND NOT (topics_after_effects AND legible)
GROUP BY consumer, event_id, topics_after_effects, doubt HAVING count(*) > 1
UNION ALL
SELECT consumer, event_id, i, 'its id was used twice, but ' || CASE
           WHEN NOT (dead_letters AND letters_settled)
           THEN 'the dead letters were not read, or not long enough after the offsets'
           WHEN doubted THEN 'the broker lost records of its partition'
           WHEN NOT letters_legible THEN 'not all dead letters could be read'
           ELSE 'a dead letter that names no known record or event, or no service, may be the report' END
FROM conflicts, moments
WHERE foreign_facts > 0 AND done = positions AND NOT reported
  AND (NOT (dead_letters AND letters_settled) OR doubted OR NOT letters_legible OR maybe_reported)
UNION ALL
SELECT consumer, event_id, i, 'its id was used twice, and its consumer may report it after its offset; ' || doubt
FROM conflicts, moments WHERE foreign_facts > 0 AND done < positions AND gone = positions AND NOT reported
UNION ALL
SELECT consumer, event_id, i, 'it has a dead letter, but the topics were not read after the dead letters'
FROM lettered, moments
WHERE NOT asked AND NOT unsure AND NOT topics_after_letters AND CASE
    -- Another fact under its id, or another record at the letter's place, may be on them.
    WHEN applied THEN NOT early AND (kind = 'poison' OR NOT conflict)
    ELSE published AND NOT conflict END
UNION ALL
SELECT consumer, event_id, i, CASE WHEN applied THEN 'it has an effect' ELSE 'it has no effect' END
       || ', and a dead letter that may be from before its replay'
FROM lettered, moments
WHERE early AND NOT unsure AND NOT asked AND CASE
    WHEN applied THEN kind = 'poison' OR NOT conflict
    ELSE published AND NOT conflict AND topics_after_letters AND NOT effects_settled END
UNION ALL
SELECT consumer, event_id, i, 'a dead letter names it, and no place (topic, partition and offset) where anything was read, so '
       || 'it may be about a malformed record'
FROM lettered
WHERE unsure AND NOT asked AND CASE WHEN applied THEN kind = 'poison' OR NOT conflict ELSE published AND NOT conflict END
UNION ALL
SELECT consumer, event_id, i, 'it has a dead letter and no effect, and whether its replay was granted is unknown'
FROM lettered WHERE published AND NOT conflict AND NOT applied AND asked AND NOT taken
UNION ALL
SELECT consumer, event_id, i, 'it is malformed and passed, but '
       || CASE WHEN NOT dead_letters THEN 'the system file names no dead letters'
               WHEN NOT letters_settled THEN 'the dead letters were not read, or not long enough after the offsets'
               WHEN doubted THEN 'the broker lost records of its partition'
               WHEN NOT letters_legible THEN 'not all dead letters could be read'
               ELSE maybe END
FROM unlettered, moments
WHERE done AND (NOT (dead_letters AND letters_settled) OR doubted OR NOT letters_legible OR maybe IS NOT NULL)
UNION ALL
SELECT consumer, event_id, i, 'it is malformed, and its consumer may set it aside after its offset; ' || doubt
FROM unlettered, moments WHERE NOT done AND standing IN ('passed', 'silent')
UNION ALL
SELECT consumer, event_id, i,
       CASE WHEN drained THEN 'its offset was not passed, although the run considered the system at rest'
            WHEN NOT well THEN 'it is not passed, but not everything was healed and healthy at the end'
            WHEN sign IS NULL THEN 'it is not passed, but ' || since
            ELSE sign || ', but ' || consumer || CASE
                WHEN (consumer, topic) IN (FROM elsewhere) THEN ' has never committed an offset on ' || topic
                ELSE format(' committed no offset past it on {}:{}, so it may not be done with it', topic, partition) END END
FROM waiting JOIN stuck USING (consumer, topic, partition), moments
WHERE drained OR NOT well OR NOT is_stuck OR NOT owed
UNION ALL
SELECT consumer, NULL, NULL, 'its offsets were not read at the end'
FROM (SELECT DISTINCT consumer FROM due), moments WHERE offsets_read IS NULL
UNION ALL
SELECT consumer, NULL, NULL, 'its effects were not read at the end'
FROM (SELECT DISTINCT consumer FROM due), moments WHERE effects_read IS NULL
ORDER BY ALL
"""

ID_DIFFERS: Final = """
SELECT consumer, published_id AS event_id, event_id AS named, effect, i AS i_effect, t AS t_effect, i_event
FROM respelled, moments WHERE topics_after_effects ORDER BY i
"""

LETTER_CONTRADICTS: Final = """
SELECT consumer, event_id AS named, coalesce(source_id, 'a malformed record') AS event_id, kind, source_topic AS topic,
       source_partition AS partition, source_offset AS "offset", i AS i_letter, t AS t_letter
FROM sources s
WHERE event_id IS NOT NULL AND CASE
    WHEN source_id IS NOT NULL THEN event_id <> source_id
    -- The id that a malformed record claims may be named; another event's may not.
    WHEN of_malformed THEN event_id IS DISTINCT FROM claims
                       AND EXISTS (SELECT 1 FROM events e WHERE e.event_id = s.event_id) END
ORDER BY i
"""

LETTER_UNMATCHED: Final = """
SELECT consumer, topic, partition, "offset", i AS i_letter, t AS t_letter, coalesce(consumer, 'an unnamed consumer') AS who,
       coalesce(nullif(concat_ws(' and ', 'event ' || event_id, 'the place '
                || nullif(concat_ws(':', source_topic, source_partition, source_offset), '')), ''), 'nothing') AS named,
       CASE WHEN NOT topics_after_letters THEN 'the topics were not read after the dead letters'
            WHEN astray THEN 'correct `dead_letters: source`, or list ' || source_topic || ' in `events: topics`'
            ELSE 'correct `id` and `source` of `dead_letters`' END AS advice
FROM strays s, moments
WHERE (anyones OR consumer IN (SELECT consumer FROM concerned))
  AND NOT EXISTS (SELECT 1 FROM unreadable u WHERE u.topic = s.source_topic AND u.partition = s.source_partition
                                               AND u."offset" = s.source_offset)
  -- One without a name is about a malformed record, or a conflict, if there is one.
  AND NOT (event_id IS NULL AND NOT astray AND (
      (kind IN ('malformed', 'unsaid') AND EXISTS (
          SELECT 1 FROM due d
          WHERE d.malformed AND (s.anyones OR d.consumer = s.consumer) AND fits(s.source_topic, d.topic)
            AND fits(s.source_partition, d.partition) AND fits(s.source_offset, d."offset")))
      OR (kind IN ('conflict', 'unsaid') AND EXISTS (
          SELECT 1 FROM conflicts c WHERE s.anyones OR c.consumer = s.consumer))))
ORDER BY i
"""

OFFSETS_UNSEEN: Final = """
SELECT consumer, count(*) AS n, min(e.i) AS i_event
FROM silent JOIN applies USING (consumer) JOIN events e USING (event_type)
JOIN reading r USING (consumer, topic), moments WHERE offsets_read IS NOT NULL
GROUP BY consumer ORDER BY consumer
"""

TYPE_NOT_APPLIED: Final = """
WITH others AS (
    SELECT f.consumer, f.event_id, f.i, min(e.event_type) AS event_type
    FROM found f JOIN events e USING (event_id) LEFT JOIN applies a ON a.consumer = f.consumer AND a.event_type = e.event_type
    GROUP BY f.consumer, f.event_id, f.i HAVING count(a.consumer) = 0
)
SELECT consumer, event_type, count(*) AS n, arg_min(event_id, i) AS event_id, min(i) AS i_effect
FROM others GROUP BY consumer, event_type ORDER BY consumer, event_type
"""

LETTER_DOUBLED: Final = """
SELECT consumer, any_value(event_id) AS event_id, source_topic AS topic, source_partition AS partition,
       source_offset AS "offset", count(*) AS n, list(i ORDER BY i) AS i_letters
FROM sources WHERE whole
GROUP BY consumer, source_topic, source_partition, source_offset HAVING count(*) > 1 ORDER BY ALL
"""


class ExactlyOneEffect(Queries):
    """Judges every (consumer, event) pair, and every malformed record that a consumer met."""

    name: ClassVar[str] = "exactly one effect"
    tables: ClassVar[Mapping[str, str]] = {**TABLES, **WIRE}
    views: ClassVar[frozenset[str]] = VIEWS
    judged: ClassVar[str] = """
        WITH read AS (
            SELECT consumer, event_id FROM events JOIN applies USING (event_type) SEMI JOIN reading USING (consumer, topic)
        )
        SELECT (SELECT count(*) FROM read) - (SELECT coalesce(sum(records - 1), 0) FROM (
            SELECT count(*) AS records FROM read SEMI JOIN repeated USING (event_id) GROUP BY consumer, event_id)) AS n
    """
    anomalies: ClassVar[tuple[Anomaly, ...]] = (
        Anomaly(
            "lost",
            Verdict.INVALID,
            LOST,
            "event {event_id}: {consumer} {deed} its effect was not there at {read_s} s",
        ),
        Anomaly(
            "duplicate",
            Verdict.INVALID,
            DUPLICATE,
            "event {event_id}: {consumer} applied it {n} times, first seen at {first_s} s and {last_s} s",
        ),
        Anomaly(
            "phantom",
            Verdict.INVALID,
            PHANTOM,
            "event {event_id}: {consumer} has effect {effect} of it, but nobody published it",
        ),
        Anomaly(
            "corrupt",
            Verdict.INVALID,
            CORRUPT,
            "event {event_id}: {consumer}'s effect {effect} carries {digest}, which is not what was published",
        ),
        Anomaly(
            "effect_vanished",
            Verdict.INVALID,
            VANISHED,
            "event {event_id}: {consumer}'s effect {effect} was there at {seen_s} s and gone at {read_s} s",
        ),
        Anomaly(
            "conflated",
            Verdict.INVALID,
            CONFLATED,
            "event {event_id}: the system published {n} different facts under this id ({differing})",
        ),
        Anomaly(
            "conflict_unreported",
            Verdict.INVALID,
            CONFLICT_UNREPORTED,
            "event {event_id}: {consumer} passed {n} different facts under this id but reported no conflict",
        ),
        Anomaly(
            "effect_and_dead_letter",
            Verdict.INVALID,
            EFFECT_AND_DEAD_LETTER,
            "event {event_id}: {consumer} applied it (seen at {effect_s} s) and also dead-lettered it ({kind})",
        ),
        Anomaly(
            "neither",
            Verdict.INVALID,
            NEITHER,
            "malformed record {topic}:{partition}:{offset}: {consumer} passed it but left no dead letter",
        ),
        Anomaly(
            "dead_lettered_wrongly",
            Verdict.INVALID,
            DEAD_LETTERED_WRONGLY,
            "event {event_id}: {consumer} dead-lettered it ({kind}, seen at {letter_s} s), although it is valid",
        ),
        Anomaly(
            "premature_commit",
            Verdict.INVALID,
            PREMATURE,
            "event {event_id}: {consumer} passed its offset by {passed_s} s, before its effect came (seen at "
            "{effect_s} s); if it stores events to apply them later, write `commits: on_receipt` under its service",
        ),
        Anomaly(
            "stalled",
            Verdict.INVALID,
            STALLED,
            "event {event_id}, seen at {seen_s} s: {consumer} never passed {topic}:{partition}:{offset} "
            "({standing_at}); it last moved at {moved_s} s{others}",
        ),
        Anomaly(
            "arrived_late",
            Verdict.UNKNOWN,
            ARRIVED_LATE,
            "event {event_id}: {topic}:{partition}:{offset} came after the final read of {consumer}'s offsets",
        ),
        Anomaly(
            "unexercised",
            Verdict.UNKNOWN,
            UNEXERCISED,
            "{consumer}: no event of the types it applies ({types}) was judged: {why}",
        ),
        Anomaly(
            "multiplicity_unseen",
            Verdict.UNKNOWN,
            MULTIPLICITY_UNSEEN,
            "{consumer}: its {n} effects are named by what their events carry ({named}), so two effects of one event "
            "may look like one; let the query's `effect` be unique to each row",
        ),
        Anomaly(
            "key_shared",
            Verdict.UNKNOWN,
            KEY_SHARED,
            "key {key}: {n} events that {consumer} must apply have it at {located} ({event_ids}), so nobody can tell which of "
            "them its {effects} effects belong to; write a `by` that differs for each event",
        ),
        Anomaly(
            "key_missing",
            Verdict.UNKNOWN,
            KEY_MISSING,
            "event {event_id}: it has no key at {located}, so {consumer}'s effect of it cannot be found",
        ),
        Anomaly(
            "keys_differ",
            Verdict.UNKNOWN,
            KEYS_DIFFER,
            "{consumer}: none of its {n} effects names an event's key: an effect names {key}, for example, and an event has "
            "{other} at {located}; correct `by`, or where the effects' `id` comes from",
        ),
        Anomaly("undecided", Verdict.UNKNOWN, UNDECIDED, "event {event_id}: {consumer}: {why}"),
        Anomaly(
            "id_differs",
            Verdict.UNKNOWN,
            ID_DIFFERS,
            "event {event_id}: {consumer}'s effect {effect} names it {named}, which differs only in case, so nobody "
            "knows whether it belongs to this event; let the query return the id as published",
        ),
        Anomaly(
            "dead_letter_contradicts",
            Verdict.UNKNOWN,
            LETTER_CONTRADICTS,
            "{consumer}'s dead letter ({kind}) names event {named} and the place {topic}:{partition}:{offset}, where "
            "{event_id} lies; fix the letter, or `dead_letters` in the system file",
        ),
        Anomaly(
            "dead_letter_unmatched",
            Verdict.UNKNOWN,
            LETTER_UNMATCHED,
            "dead letter {topic}:{partition}:{offset} of {who} is about no record that was read (it names {named}), so it may "
            "be about an event that was applied; {advice}",
        ),
        Anomaly(
            "offsets_unseen",
            None,
            OFFSETS_UNSEEN,
            "{consumer} committed no offset: it keeps them elsewhere, or never read. When it passed its {n} events is "
            "unknown; its effects are judged all the same",
        ),
        Anomaly(
            "type_not_applied",
            None,
            TYPE_NOT_APPLIED,
            "{consumer} has {n} effects of {event_type}, such as of event {event_id}, which it does not apply by the system "
            "file, so that one is missing would not show",
        ),
        Anomaly(
            "dead_letter_doubled",
            None,
            LETTER_DOUBLED,
            "{consumer} made {n} dead letters of {topic}:{partition}:{offset}",
        ),
        *HAZARDS,
    )

    def check(self, history: History) -> Finding:
        """Judge the history. Of a system that has totals alone only what is wrong counts: no effect of it was judged."""
        finding = super().check(history)
        if checks(history.header).get("consumers") or finding.verdict is not Verdict.VALID:
            return finding
        return replace(finding, verdict=None)

    def applies(self, header: Fields) -> bool:
        """Whether the system file describes some service's effects, or totals: whoever adds up may set events aside, too."""
        return bool(checks(header).get("consumers") or checks(header).get("totals"))
