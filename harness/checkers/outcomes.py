"""Every upload, batch or event that calls for an outcome has exactly one, and the right one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from harness.checkers.queries import Queries, checks
from harness.verdict import Anomaly, Fields, Verdict

TABLES: Final = {
    # How many times each upload may have been reprocessed, and how many times it certainly was.
    "reprocessed": """
        SELECT upload_id, count(*) FILTER (phase = 'invoke') - count(*) FILTER (phase = 'fail') AS times,
               count(*) FILTER (phase = 'ok') AS done
        FROM history WHERE op = 'reprocess' GROUP BY upload_id
    """,
    # Workers on other machines whose master saw them leave before the drain began.
    "seen_off": """
        SELECT worker FROM history WHERE op = 'load' AND worker IS NOT NULL
        GROUP BY worker HAVING bool_or(phase = 'joined') AND NOT bool_or(phase = 'lost')
    """,
    # One row per outcome rule. ``kind``: only uploads that should pass validation must have an outcome by it (true), or only
    # the others (false); null: all must.
    "asking": """
        SELECT rule, of, CASE WHEN count(accepted) = count(*) AND min(accepted) = max(accepted) THEN min(accepted) END AS kind
        FROM rules GROUP BY rule, of
    """,
    # One row per (event, rule that it calls for an outcome by, or is an outcome by): ``asks`` says which; ``key`` is its join
    # value. A join on (rule, key) is a hash join; one on ``joins[rule]`` of both sides compares each with each. What a fault
    # has overwritten was published, and nobody could act on it.
    "keyed": """
        SELECT r.rule, r.of, r.asks, r.accepted, e.joins[r.rule] AS key, e.event_type, e.event_id, e.causation_id, e.injected,
               e.i, e.t, r.pool
        FROM events e JOIN (
            SELECT rule, of, event_type, accepted, pool, false AS asks FROM rules
            UNION SELECT rule, of, of, NULL, pool, true FROM rules
        ) r USING (event_type)
        UNION ALL
        SELECT r.rule, r.of, false, r.accepted, o.joins[r.rule], o.event_type, o.event_id, o.causation_id, NULL, o.i, o.t,
               r.pool
        FROM overwritten o JOIN rules r USING (event_type) WHERE o.joins[r.rule] IS NOT NULL
    """,
    # One row per (outcome rule, join value). Records that the harness published are not outcomes.
    "per_key": """
        SELECT rule, of, key, count(*) AS records, min(accepted) AS least, max(accepted) AS most
        FROM keyed WHERE NOT asks AND injected IS NULL AND key IS NOT NULL GROUP BY rule, of, key
    """,
    # One row per upload, and one per batch of uploads or of events that the load published.
    # ``late``: acknowledged so late that the outcome may follow the final read;
    # another machine's clock cannot rule that out. ``taken``: answered with ok, or never answered, but its outcome was
    # seen, which is as good, also for the other rules. A batch is ok if it was sent in full, all its uploads were taken, and
    # one should pass validation; any other batch may have an outcome, but need not.
    "asked": """
        WITH sent AS (
            SELECT u.*, coalesce(r.times, 0) AS times, coalesce(r.done, 0) AS done,
                   state = 'ok' OR (state = 'unknown' AND EXISTS (
                       SELECT 1 FROM per_key k WHERE k.of = 'upload' AND k.key = u.upload_id)) AS taken,
                   coalesce(CASE WHEN placed THEN worker IS NOT NULL AND worker NOT IN (FROM seen_off)
                                 ELSE ended >= topics_began END, false) AS late
            FROM uploads u LEFT JOIN reprocessed r USING (upload_id) CROSS JOIN moments
        )
        SELECT 'upload' AS of, upload_id AS key, upload_id, CASE WHEN taken THEN 'ok' ELSE state END AS state, acceptable,
               i, t, ended, times, done, late
        FROM sent WHERE op = 'upload'
        UNION ALL
        SELECT 'batch', batch, arg_min(upload_id, i),
               CASE WHEN bool_and(taken) AND bool_or(coalesce(acceptable, false))
                     AND count(*) >= (SELECT batch_size FROM settings) THEN 'ok' ELSE 'unknown' END,
               NULL, min(i), min(t), max(ended), sum(times), 0, bool_or(late)
        FROM sent WHERE batch IS NOT NULL GROUP BY batch
    """,
    # One row per upload or batch and rule by which it must have an outcome, if it was taken. Of an upload that may or may not
    # be of the rule's kind nobody can tell.
    "wanting": """
        SELECT a.*, r.rule, r.kind, r.kind IS NOT NULL AND a.acceptable IS NULL AS unsure
        FROM asked a JOIN asking r USING (of) WHERE r.kind IS NULL OR coalesce(a.acceptable, r.kind) = r.kind
    """,
    # Keys worth a closer look: every other key has one record, of the right kind, for an upload that was sent.
    "odd_keys": """
        SELECT k.rule, k.key FROM per_key k LEFT JOIN asked u USING (of, key)
        WHERE k.records > 1 OR (k.of IN ('upload', 'batch') AND (
            coalesce(u.state, 'fail') = 'fail' OR k.least <> u.acceptable OR k.most <> u.acceptable))
    """,
    # One row per (outcome rule, join value, event type, event id) of the odd keys.
    "answers": """
        SELECT rule, of, accepted, key, event_type, event_id, min(causation_id) AS cause, min(i) AS i, min(t) AS t
        FROM keyed SEMI JOIN odd_keys USING (rule, key) WHERE NOT asks AND injected IS NULL
        GROUP BY rule, of, accepted, key, event_type, event_id
    """,
    "several": "SELECT rule, of, key, count(DISTINCT event_id) AS n FROM answers GROUP BY rule, of, key",
    # Each request to process an upload again, for each outcome rule that gave several outcomes. An outcome that was seen
    # ``before`` it is not its own, so there may be ``allowed`` of these; each that was ``granted`` since must have its own
    # among those that came ``after``.
    "repeats": """
        WITH requests AS (
            SELECT b.upload_id, b.i, b.t, coalesce(e.phase, 'unknown') AS state
            FROM history b LEFT JOIN (SELECT * FROM history WHERE op = 'reprocess' AND phase <> 'invoke') e ON e.of = b.i
            WHERE b.op = 'reprocess' AND b.phase = 'invoke'
        ), known AS (
            SELECT 'upload' AS of, upload_id AS key, i, t, state FROM requests
            UNION ALL
            SELECT 'batch', u.batch, r.i, r.t, r.state FROM requests r JOIN uploads u USING (upload_id)
            WHERE u.batch IS NOT NULL
        ), firsts AS (SELECT rule, of, key, event_id, min(t) AS t FROM answers GROUP BY rule, of, key, event_id)
        SELECT f.rule, f.of, f.key, k.i, k.t, k.state,
               count(*) FILTER (f.t < k.t) AS before, count(*) FILTER (f.t >= k.t) AS after,
               1 + (SELECT count(*) FROM known o WHERE o.of = k.of AND o.key = k.key AND o.t <= k.t AND o.i <> k.i
                                                   AND o.state <> 'fail') AS allowed,
               (SELECT count(*) FROM known o WHERE o.of = k.of AND o.key = k.key AND o.t >= k.t AND o.state = 'ok') AS granted
        FROM known k JOIN firsts f USING (of, key) GROUP BY f.rule, f.of, f.key, k.of, k.key, k.i, k.t, k.state
    """,
    # One row per (outcome rule about an event type, join value): how many facts call for an outcome. ``late``: only the
    # final read of the topics saw one of them, so its outcome may have come after that.
    "causes": """
        SELECT rule, key, any_value(pool) AS pool, count(DISTINCT event_id) AS n, min(event_id) AS event_id,
               arg_min(event_type, event_id) AS event_type, min(i) AS i, min(t) AS t,
               coalesce(max(t) >= any_value(topics_began), false) AS late
        FROM keyed CROSS JOIN moments WHERE asks AND injected IS NULL AND key IS NOT NULL GROUP BY rule, key
    """,
    # Outcomes for something that was never there, but for its spelling: their join value differs only in case from what may
    # have an outcome.
    "respelled": """
        WITH wanted AS (
            SELECT r.rule, a.key FROM asked a JOIN asking r USING (of)
            UNION SELECT rule, key FROM causes
        ), strays AS (SELECT * FROM per_key k ANTI JOIN wanted USING (rule, key))
        SELECT s.rule, s.of, s.key, min(w.key) AS other
        FROM strays s JOIN wanted w ON w.rule = s.rule AND lower(w.key) = lower(s.key) GROUP BY s.rule, s.of, s.key
    """,
    # Outcomes, by their records, of something that is there.
    "explained": """
        SELECT i FROM keyed SEMI JOIN causes USING (rule, key) WHERE NOT asks
        UNION ALL SELECT i FROM keyed SEMI JOIN asked USING (of, key) WHERE NOT asks
    """,
    # Outcomes of what was never sent, or of an event that the system is not seen to have published, and that no other rule
    # explains either. The load's own events are nobody's outcomes. ``planted``: a fault published the event. ``fits``: other
    # outcomes by the rule have the join value of what they follow from, so it reads the right values; the cause of a follow-up
    # may be a timer, an operator, or what was there before the run. ``cause``: the event that it names as its cause, if that
    # calls for a follow-up with another join value, ``due``. ``shared``: another one with its join value names the same cause.
    "uncaused": """
        WITH strays AS (
            SELECT rule, of, key FROM per_key
            ANTI JOIN causes USING (rule, key) ANTI JOIN asked USING (of, key) ANTI JOIN respelled USING (rule, key)
        ), planted AS (SELECT DISTINCT rule, key FROM keyed WHERE asks), fitting AS (
            SELECT rule FROM per_key SEMI JOIN planted USING (rule, key)
            UNION SELECT rule FROM per_key SEMI JOIN asked USING (of, key)
        ), calling AS (
            SELECT rule, event_id AS causation_id, min(key) AS due FROM keyed WHERE asks AND key IS NOT NULL
            GROUP BY rule, event_id
        )
        SELECT rule, of, key, event_id, min(event_type) AS event_type, min(i) AS i, rule IN (FROM fitting) AS fits,
               bool_or(p.key IS NOT NULL) AS planted, min(causation_id) FILTER (due IS NOT NULL) AS cause,
               arg_min(due, causation_id) AS due, min(causation_id) AS named,
               named IS NOT NULL AND count(*) OVER (PARTITION BY rule, key, min(causation_id)) > 1 AS shared
        FROM keyed k LEFT JOIN calling USING (rule, causation_id) SEMI JOIN strays USING (rule, key)
        LEFT JOIN planted p USING (rule, key)
        ANTI JOIN explained USING (i)
        ANTI JOIN (SELECT upload_id AS event_id FROM uploads WHERE op = 'publish') USING (event_id)
        WHERE NOT k.asks AND k.injected IS NULL
        GROUP BY rule, of, key, event_id
    """,
    # Rules with outcomes, none of which is of anything that was sent or seen: they may read the wrong values, so nothing is
    # missing for certain.
    "misread": "SELECT DISTINCT rule FROM uncaused WHERE NOT fits",
    # Of events that share a join value and have as many outcomes together, those that several outcomes name as their cause.
    # Each event may have its own all the same: a service may publish them all while it handles one.
    "favoured": """
        WITH sharers AS (
            SELECT rule, key, event_id, min(event_type) AS event_type, min(i) AS i, min(t) AS t
            FROM keyed SEMI JOIN (FROM causes WHERE n > 1) USING (rule, key)
            WHERE asks AND injected IS NULL GROUP BY rule, key, event_id
        ), given AS (
            SELECT rule, key, event_id, min(cause) AS cause, min(i) AS i FROM answers GROUP BY rule, key, event_id
        )
        SELECT s.rule, s.key, s.event_id, s.event_type, s.i, s.t, c.n AS events, count(*) AS n,
               list(g.event_id ORDER BY g.i) AS event_ids
        FROM sharers s JOIN causes c USING (rule, key) JOIN several v USING (rule, key)
        JOIN given g ON g.rule = s.rule AND g.key = s.key AND g.cause = s.event_id
        WHERE c.n = v.n GROUP BY ALL HAVING count(*) > 1
    """,
    # One row per join value with an outcome that several rules of a pool count: how many outcomes there are by all of them, of
    # how many events, and how many of these events they name as their causes. Where each event has its own, each is named
    # (``apart``). One outcome may also be of an event by every rule; nothing but another join value with its events apart shows
    # which of the two is meant.
    "joint": """
        WITH outcomes AS (
            SELECT pool, key, event_id, min(causation_id) AS cause, count(DISTINCT rule) AS rules
            FROM keyed SEMI JOIN causes USING (rule, key) WHERE NOT asks AND injected IS NULL AND pool IS NOT NULL
            GROUP BY pool, key, event_id
        ), callers AS (
            SELECT DISTINCT pool, key, event_id AS cause FROM keyed WHERE asks AND injected IS NULL AND pool IS NOT NULL
        ), called AS (SELECT pool, key, count(*) AS expected FROM callers GROUP BY pool, key)
        SELECT pool, key, count(*) AS n, any_value(expected) AS expected, list(DISTINCT c.cause) AS named,
               count(c.cause) > count(DISTINCT c.cause) AS favours,
               bool_or(count(*) = any_value(expected) AND count(DISTINCT c.cause) = any_value(expected))
                   OVER (PARTITION BY pool) AS apart
        FROM outcomes o JOIN called USING (pool, key)
        LEFT JOIN callers c ON c.pool = o.pool AND c.key = o.key AND c.cause = o.cause
        GROUP BY o.pool, o.key HAVING max(rules) > 1
    """,
    # Each upload or batch with fewer outcomes than it must have: one, and one more for each time that it was certainly
    # reprocessed. ``since``: there are enough, but too few that came after this request. ``veil``: why an outcome may not be
    # missing all the same. ``renewed``: an upload has, or may have, those that it was reprocessed for by this rule; nobody
    # said which rules are met again, so by the others none is missing, unless they were met again for another upload.
    "unanswered": """
        WITH unpaid AS (
            SELECT rule, key, min(t) AS since, arg_min(after, t) AS n, arg_min(granted, t) AS expected FROM repeats
            WHERE of = 'upload' AND state = 'ok' AND after < granted GROUP BY rule, key
        ), counted AS (
            SELECT u.of, u.key, u.upload_id, u.i, u.t, u.ended, rule, 1 + u.done AS expected,
                   coalesce(s.n, k.records, 0) AS n,
                   EXISTS (SELECT 1 FROM respelled o WHERE o.rule = u.rule AND lower(o.key) = lower(u.key)) AS spelled,
                   CASE WHEN rule IN (FROM misread) THEN 'none of the rule''s outcomes is of what was sent: correct `by`'
                        WHEN u.unsure THEN 'nobody knows whether it should pass validation, and so whether it must have one'
                        WHEN NOT (well AND still AND legible) THEN doubt
                        WHEN EXISTS (FROM history WHERE op = 'overwritten')
                        THEN 'it may have followed from an event that a fault made unreadable'
                        WHEN u.late THEN 'its load may have gone on when the topics were read for the last time' END AS veil
            FROM wanting u LEFT JOIN per_key k USING (rule, key) LEFT JOIN several s USING (rule, key) CROSS JOIN moments
            WHERE u.state = 'ok'
        ), renewed AS (
            SELECT rule, of, key FROM counted ANTI JOIN unpaid USING (rule, key)
            WHERE of = 'upload' AND expected > 1 AND (n >= expected OR spelled OR rule IN (FROM misread))
        ), short AS (
            SELECT * EXCLUDE (n, expected), NULL::BIGINT AS since, n, expected FROM counted WHERE n < expected
            UNION ALL
            SELECT c.* EXCLUDE (n, expected), p.since, p.n, p.expected
            FROM counted c JOIN unpaid p ON p.rule = c.rule AND p.key = c.key AND c.of = 'upload' WHERE c.n >= c.expected
        )
        SELECT * REPLACE (CASE WHEN r.key IS NULL OR (n = 0 AND since IS NULL) THEN veil
                               ELSE 'by another rule it has enough, and nobody knows whether both are met again' END AS veil)
        FROM short LEFT JOIN (SELECT DISTINCT of, key FROM renewed) r USING (of, key)
        WHERE NOT spelled AND (r.key IS NULL OR (n = 0 AND since IS NULL) OR rule IN (SELECT rule FROM renewed))
    """,
    # Events with fewer follow-ups than call for one, by their rule or by all of a pool, and those whose follow-ups may be of
    # another. ``veil``: why none may be missing all the same.
    "unfollowed": """
        WITH alone AS (
            SELECT rule, key, c.event_id, c.event_type, c.n AS expected, coalesce(s.n, k.records, 0) AS n, c.i, c.t, c.late,
                   CASE WHEN rule IN (FROM misread)
                        THEN 'none of the rule''s outcomes is of what was seen: correct `of` or `by`' END AS veil
            FROM causes c LEFT JOIN per_key k USING (rule, key) LEFT JOIN several s USING (rule, key)
            WHERE coalesce(s.n, k.records, 0) < c.n
        ), together AS (
            SELECT k.rule, key, min(k.event_id) AS event_id, arg_min(k.event_type, k.event_id) AS event_type,
                   any_value(expected) AS expected, any_value(n) AS n, min(k.i) AS i, min(k.t) AS t,
                   coalesce(max(k.t) >= any_value(topics_began), false) AS late,
                   CASE WHEN any_value(NOT apart)
                        THEN 'another rule counts the same, and nothing shows whether each event has its own: write `cause:` '
                             'under `events` if they name theirs, or keep one of the rules if one follow-up is for both'
                        WHEN any_value(n = expected) THEN 'some of them name one event as their cause, so another may have none'
                   END AS veil
            FROM keyed k JOIN joint USING (pool, key) CROSS JOIN moments
            WHERE k.asks AND k.injected IS NULL AND n <= expected
              AND CASE WHEN n < expected THEN NOT coalesce(list_contains(named, k.event_id), false)
                       ELSE favours OR NOT apart END
            GROUP BY k.rule, key
        )
        SELECT u.* REPLACE (CASE WHEN veil IS NOT NULL THEN veil
                                 WHEN NOT (well AND still AND legible) THEN doubt
                                 WHEN EXISTS (FROM history WHERE op = 'overwritten')
                                 THEN 'one may have followed from an event that a fault made unreadable'
                                 WHEN late THEN 'it was seen only when the topics were read for the last time' END AS veil)
        FROM (FROM alone UNION ALL FROM together ANTI JOIN alone USING (rule, key)) u CROSS JOIN moments
        WHERE NOT EXISTS (SELECT 1 FROM respelled o WHERE o.rule = u.rule AND lower(o.key) = lower(u.key))
    """,
    # Each join value with more follow-ups than events that call for one. Of what nothing that was seen calls for, nobody knows
    # how many there should be, unless a fault published what it is of.
    "surplus": """
        SELECT s.rule, s.key, coalesce(j.n, s.n) AS n, coalesce(j.expected, c.n) AS expected
        FROM several s JOIN causes c USING (rule, key) LEFT JOIN joint j ON j.pool = c.pool AND j.key = c.key
        WHERE s.n > 1 AND coalesce(j.n, s.n) > coalesce(j.expected, c.n)
        UNION ALL
        SELECT rule, key, count(*), 0 FROM uncaused WHERE fits AND planted
        GROUP BY rule, key HAVING count(*) > 1
    """,
    # Events that a rule is about and that hold nothing at its `by`. ``asks``: such an event calls for an outcome, which
    # cannot be found; the others are outcomes, of what is unknown, as no other rule explains them.
    "keyless": """
        SELECT rule, event_id, event_type = of AS asks, min(event_type) AS event_type, min(i) AS i, min(t) AS t
        FROM keyed k ANTI JOIN explained x ON x.i = k.i AND event_type <> of
        WHERE injected IS NULL AND key IS NULL GROUP BY rule, event_id, event_type = of
    """,
    # Rules that judged nothing: what they are about never came, or nothing of it had to have an outcome and none has one.
    # ``keyless``: how many events held nothing at `by`. ``sent``: how many uploads or batches need not have had an outcome.
    # ``decides``: some came, or the rule's pointer may be wrong, or no other rule judged anything either.
    "idle": """
        SELECT *, keyless > 0 OR sent > 0 OR count(*) OVER () = (SELECT count(DISTINCT rule) FROM rules) AS decides FROM (
            SELECT rule, string_agg(DISTINCT event_type, ', ' ORDER BY event_type) AS types,
                   any_value(of) || CASE any_value(kind) WHEN true THEN ' that should pass validation'
                                                         WHEN false THEN ' that should not pass validation' ELSE '' END AS of,
                   (SELECT count(*) FROM keyless k WHERE k.rule = r.rule AND k.asks) AS keyless,
                   (SELECT count(*) FROM wanting w WHERE w.rule = r.rule) AS sent
            FROM rules r JOIN asking USING (rule, of)
            WHERE NOT EXISTS (SELECT 1 FROM wanting w WHERE w.rule = r.rule AND w.state = 'ok' AND NOT w.unsure)
              AND NOT EXISTS (SELECT 1 FROM per_key k JOIN asked a USING (of, key) WHERE k.rule = r.rule)
              AND NOT EXISTS (SELECT 1 FROM causes c WHERE c.rule = r.rule)
            GROUP BY rule)
    """,
}

VIEWS: Final = frozenset({"keyed", "wanting", "explained"})
"""Tables that are cheaper to evaluate again than to store."""

OUTCOME_MISSING: Final = """
SELECT of, key, upload_id, rule, n, expected, i AS i_upload, t AS t_upload, ended AS t_ok, topics_read AS i_read,
       seconds(quiet) AS quiet_s, CASE WHEN ended IS NOT NULL THEN format('acknowledged at {} s', seconds(ended))
                                       ELSE 'taken without an answer, as an outcome by another rule shows' END AS taken,
       CASE WHEN since IS NOT NULL THEN format('reprocessed at {} s, but {} outcomes came after that instead of {}',
                                               seconds(since), n, expected)
            WHEN expected > 1 THEN format('reprocessed {} times, but it has {} outcomes instead of {}', expected - 1, n,
                                          expected)
            WHEN ended IS NULL THEN 'but it has none by rule ' || rule
            ELSE 'but it has no outcome' END AS what
FROM unanswered, moments WHERE veil IS NULL ORDER BY i
"""

OUTCOME_DOUBLED: Final = """
WITH early AS (
    SELECT rule, of, key, min(t) AS t, arg_min(before, t) AS n, arg_min(allowed, t) AS expected FROM repeats
    WHERE before > allowed GROUP BY rule, of, key
), doubled AS (
    SELECT s.of, s.rule, s.key, u.upload_id, CASE WHEN s.n > 1 + u.times THEN s.n ELSE e.n END AS n,
           CASE WHEN s.n > 1 + u.times THEN 1 + u.times ELSE e.expected END AS expected,
           CASE WHEN s.n > 1 + u.times THEN '' ELSE format(' before it was reprocessed at {} s', seconds(e.t)) END AS before
    FROM several s JOIN asked u USING (of, key) LEFT JOIN early e USING (rule, of, key)
    WHERE u.state <> 'fail' AND (s.n > 1 + u.times OR e.n IS NOT NULL)
)
SELECT d.of, key, any_value(d.upload_id) AS upload_id, rule, d.n, d.expected, d.before,
       list(event_id ORDER BY a.i) AS event_ids, list(a.i ORDER BY a.i) AS i_events, min(a.t) AS t_first,
       max(a.t) AS t_last, seconds(min(a.t)) AS first_s, seconds(max(a.t)) AS last_s
FROM doubled d JOIN answers a USING (rule, key) GROUP BY d.of, key, rule, d.n, d.expected, d.before ORDER BY t_last
"""

OUTCOME_WRONG: Final = """
SELECT u.upload_id, a.rule, a.event_id, a.event_type, u.acceptable, u.i AS i_upload, a.i AS i_event, a.t AS t_event,
       CASE WHEN u.acceptable THEN 'is acceptable' ELSE 'is not acceptable' END AS truth
FROM answers a JOIN asked u USING (of, key)
WHERE u.state <> 'fail' AND a.accepted IS NOT NULL AND a.accepted <> u.acceptable ORDER BY a.i
"""

OUTCOME_UNASKED: Final = """
SELECT of, key, a.rule, a.event_id, a.event_type, a.i AS i_event, a.t AS t_event, u.i AS i_upload,
       CASE WHEN u.state IS NULL THEN 'was never sent' ELSE 'was refused' END AS truth
FROM answers a LEFT JOIN asked u USING (of, key) LEFT JOIN uncaused c USING (rule, of, key, event_id) CROSS JOIN moments
WHERE of IN ('upload', 'batch') AND (u.state = 'fail' OR (c.fits AND load_whole))
ORDER BY a.i
"""

REFUSED_WRONGLY: Final = """
SELECT upload_id, min(i) AS i_upload, max(t) AS t_refused, seconds(max(t)) AS refused_s, max(status) AS status
FROM history
WHERE op = 'upload' AND upload_id IN (SELECT upload_id FROM history WHERE op = 'upload' AND phase = 'fail')
GROUP BY upload_id
HAVING bool_or(phase = 'fail') AND NOT bool_or(phase = 'ok') AND coalesce(bool_or(acceptable), false) ORDER BY i_upload
"""

FOLLOWUP_MISSING: Final = """
SELECT key, rule, event_id, event_type, expected, n, i AS i_event, t AS t_event, topics_read AS i_read,
       seconds(t) AS seen_s
FROM unfollowed, moments WHERE veil IS NULL ORDER BY i
"""

FOLLOWUP_DOUBLED: Final = """
WITH doubled AS (
    SELECT s.*, c.i AS i_cause, c.event_id, c.event_type FROM surplus s LEFT JOIN causes c USING (rule, key), moments
    -- An event that nobody has read may have called for one more.
    WHERE topics_read IS NOT NULL AND legible
)
SELECT key, rule, coalesce(any_value(d.event_id), arg_min(a.event_id, a.i)) AS event_id,
       any_value(d.event_type) AS event_type, coalesce(any_value(d.event_type), 'none that was seen') AS cause, d.n, d.expected,
       any_value(i_cause) AS i_event, list(a.event_id ORDER BY a.i) AS event_ids,
       list(a.i ORDER BY a.i) AS i_events, min(a.t) AS t_first, max(a.t) AS t_last
FROM doubled d JOIN answers a USING (rule, key) GROUP BY key, rule, d.n, d.expected ORDER BY t_last
"""

OUTCOME_KEY_MISSING: Final = """
SELECT rule, event_id, event_type, i AS i_event, t AS t_event FROM keyless WHERE NOT asks ORDER BY i, rule
"""

OUTCOME_NOT_ASKED: Final = """
SELECT rule, event_id, event_type, i AS i_event, t AS t_event FROM keyless
WHERE asks AND rule NOT IN (SELECT rule FROM idle) ORDER BY i, rule
"""

OUTCOME_UNEXERCISED: Final = """
SELECT rule, of, types, CASE WHEN keyless > 0 THEN 'none of its ' || keyless || ' events holds anything at `by`'
                             WHEN sent > 0 THEN format('none of the {} that were sent had to have one (answers are missing, '
                                  'or nothing acceptable was sent), and none has', sent)
                             ELSE 'none was seen, and no other rule judged anything' END AS why
FROM idle WHERE decides ORDER BY rule
"""

OUTCOME_UNSEEN: Final = "SELECT rule, of, types FROM idle WHERE NOT decides ORDER BY rule"

FOLLOWUP_UNASKED: Final = """
SELECT rule, of, event_type, count(DISTINCT event_id) AS n, arg_min(event_id, i) AS event_id, arg_min(key, i) AS key,
       min(i) AS i_event
FROM uncaused WHERE fits AND NOT planted AND cause IS NULL AND NOT shared AND of NOT IN ('upload', 'batch')
GROUP BY rule, of, event_type ORDER BY i_event
"""

FOLLOWUP_UNCLEAR: Final = """
SELECT key, rule, event_id, event_type, events, n, event_ids, i AS i_event, t AS t_event FROM favoured ORDER BY i
"""

UNDECIDED: Final = """
SELECT key, rule, i, of || ' ' || key || ' has ' || CASE WHEN since IS NOT NULL THEN 'too few outcomes since it was reprocessed'
                                                    WHEN expected = 1 THEN 'no outcome'
                                                    ELSE n || ' outcomes of ' || expected END || ', but ' || veil AS why
FROM unanswered WHERE veil IS NOT NULL
UNION ALL
SELECT key, rule, i, event_type || ' ' || event_id || ' has ' || CASE n WHEN 0 THEN 'no follow-up'
                                                                    ELSE format('{} follow-ups of {}', n, expected) END
       || ', but ' || veil
FROM unfollowed WHERE veil IS NOT NULL
UNION ALL
SELECT s.key, s.rule, min(a.i), 'there are ' || s.n || ' follow-ups for ' || s.key || ' and ' || s.expected || ' causes, but '
       || CASE WHEN any_value(topics_read) IS NULL THEN 'the topics were not read to their end'
               WHEN EXISTS (SELECT 1 FROM missing_records) THEN 'the broker lost events that it had acknowledged'
               ELSE 'some records on the topics, which no fault published, could not be read as events' END
FROM surplus s JOIN answers a USING (rule, key), moments WHERE topics_read IS NULL OR NOT legible
GROUP BY s.key, s.rule, s.n, s.expected
UNION ALL
SELECT key, rule, min(k.i), 'an outcome of ' || s.of || ' ' || key || ' was seen, which differs from ' || s.other
       || ' only in case: nobody knows whether it is meant; correct `by`'
FROM respelled s JOIN keyed k USING (rule, key) WHERE NOT k.asks AND k.injected IS NULL GROUP BY key, rule, s.of, s.other
UNION ALL
SELECT key, rule, i, event_type || ' ' || event_id || ' follows from a ' || of || ' with ' || key || ', and none was seen; '
       || 'correct `of` or `by`, or write a rule for what else it may follow from'
FROM uncaused WHERE NOT fits AND of NOT IN ('upload', 'batch')
UNION ALL
SELECT key, rule, i, event_type || ' ' || event_id || ' is an outcome of ' || of || ' ' || key || ', which was never sent, '
       || 'nor was what the rule''s other outcomes are of: correct `by`'
FROM uncaused, moments WHERE NOT fits AND of IN ('upload', 'batch') AND load_whole
UNION ALL
SELECT key, rule, i, event_type || ' ' || event_id || ' has ' || key || ', which no ' || of || ' has, but it names '
       || cause || ' as its cause, which has ' || due || ': it is one too many, or altered; if neither, write a rule for it'
FROM uncaused WHERE fits AND NOT planted AND cause IS NOT NULL
UNION ALL
SELECT key, rule, min(i), count(*) || ' follow-ups have ' || key || ', which no ' || of || ' has, and name ' || named
       || ' as their cause, which calls for none: all but one may be too many; if not, write a rule for them'
FROM uncaused WHERE fits AND NOT planted AND cause IS NULL AND shared AND of NOT IN ('upload', 'batch')
GROUP BY key, rule, of, named
ORDER BY ALL
"""


class Outcomes(Queries):
    """Judges every upload, batch and event that an outcome rule covers."""

    name: ClassVar[str] = "outcomes"
    tables: ClassVar[Mapping[str, str]] = TABLES
    views: ClassVar[frozenset[str]] = VIEWS
    judged: ClassVar[str] = """
        SELECT (SELECT count(*) FROM wanting)
             + (SELECT coalesce(sum(n), 0) FROM causes) AS n
    """
    anomalies: ClassVar[tuple[Anomaly, ...]] = (
        Anomaly(
            "outcome_missing",
            Verdict.INVALID,
            OUTCOME_MISSING,
            "{of} {key}: {taken}, {what}; nothing had moved for {quiet_s} s",
        ),
        Anomaly(
            "outcome_doubled",
            Verdict.INVALID,
            OUTCOME_DOUBLED,
            "{of} {key}: {n} outcomes{before}, at most {expected} allowed, at {first_s} s and {last_s} s",
        ),
        Anomaly(
            "outcome_wrong",
            Verdict.INVALID,
            OUTCOME_WRONG,
            "upload {upload_id} {truth}, but its outcome is {event_type} (event {event_id})",
        ),
        Anomaly(
            "outcome_unasked",
            Verdict.INVALID,
            OUTCOME_UNASKED,
            "{of} {key} {truth}, but has an outcome (event {event_id}, {event_type})",
        ),
        Anomaly(
            "refused_wrongly",
            Verdict.UNKNOWN,
            REFUSED_WRONGLY,
            "upload {upload_id}: refused by {refused_s} s, although it should pass validation",
        ),
        Anomaly(
            "followup_missing",
            Verdict.INVALID,
            FOLLOWUP_MISSING,
            "{event_type} {event_id}, seen at {seen_s} s: {n} follow-ups for {key}, expected {expected}",
        ),
        Anomaly(
            "followup_doubled",
            Verdict.INVALID,
            FOLLOWUP_DOUBLED,
            "{key}: {n} follow-ups, expected {expected} ({event_ids}); cause: {cause}",
        ),
        Anomaly(
            "followup_unclear",
            Verdict.UNKNOWN,
            FOLLOWUP_UNCLEAR,
            "{key}: {events} events and as many follow-ups, but {n} of these ({event_ids}) name {event_type} {event_id} as "
            "their cause, so another may have none; write a `by` that differs for each event",
        ),
        Anomaly(
            "outcome_key_missing",
            Verdict.UNKNOWN,
            OUTCOME_KEY_MISSING,
            "{event_type} {event_id} is an outcome, but holds nothing at the rule's `by`, so what it belongs to is unknown",
        ),
        Anomaly(
            "outcome_unexercised",
            Verdict.UNKNOWN,
            OUTCOME_UNEXERCISED,
            "whether each {of} has its outcome ({types}) was not judged: {why}",
        ),
        Anomaly(
            "outcome_not_asked",
            None,
            OUTCOME_NOT_ASKED,
            "{event_type} {event_id} holds nothing at the rule's `by`, so whether it has an outcome was not judged",
        ),
        Anomaly(
            "outcome_unseen",
            None,
            OUTCOME_UNSEEN,
            "no {of} was seen, so whether each has its outcome ({types}) was not judged",
        ),
        Anomaly(
            "followup_unasked",
            None,
            FOLLOWUP_UNASKED,
            "{n} of the {event_type} follow from no {of} that was seen, such as event {event_id} with {key}: a timer, "
            "an operator or what was there before the run may have caused them",
        ),
        Anomaly("undecided", Verdict.UNKNOWN, UNDECIDED, "{why}"),
    )

    def applies(self, header: Fields) -> bool:
        """Whether the system file has outcome rules."""
        return bool(checks(header).get("outcomes"))
