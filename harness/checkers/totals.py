"""For every sum that a service updates in place: what it was before the load, and what each event adds, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from harness.checkers.queries import Queries, checks
from harness.verdict import Anomaly, Fields, Verdict

# DECIMAL(38, 12) adds up exactly; a sum that does not fit raises, and the verdict is then unknown.
TABLES: Final = {
    "added_at": """
        WITH first AS (
            SELECT read FROM reads WHERE what = 'totals' AND phase = 'ok' AND NOT final
                                     AND read = (SELECT min(read) FROM reads WHERE what = 'totals')
        )
        SELECT t.read AS closing, t.began, f.read AS opening,
               coalesce(t.began >= m.offsets_ended + m.settle_ns, false) AS settled,
               coalesce(m.topics_began >= t.ended, false) AS topics_after
        FROM moments m LEFT JOIN finals t ON t.what = 'totals' LEFT JOIN first f ON true
    """,
    # Each event that a consumer must add up, once. ``must``: it should be in the sum by now (its offset is passed, which
    # is enough unless it may be added later, or nothing moves any more); ``maybe``: it is unknown whether a replay of its
    # dead letter was granted.
    "additions": """
        WITH places AS (SELECT DISTINCT consumer, topic FROM offsets),
        committing AS (SELECT DISTINCT consumer FROM offsets WHERE committed IS NOT NULL),
        stands AS (
            SELECT c.consumer, m.well AND m.still AS rests, m.well AND NOT m.drained AS may_be_stuck, m.patience,
                   least(m.offsets_began, a.began) AS looked, greatest(coalesce(v.t, 0), m.mended) AS moved
            FROM (SELECT DISTINCT consumer FROM totalled) c CROSS JOIN moments m CROSS JOIN added_at a
            LEFT JOIN moves v USING (consumer)
        ), faced AS (
            SELECT t.consumer, e.event_id, e.digest, e.event_type, e.upload_id, e.i, e.t, e.keys[t.consumer || '.total'] AS key,
                   e.amounts[t.consumer] AS amount, e.topic, e.partition,
                   CASE WHEN NOT EXISTS (SELECT 1 FROM committing c WHERE c.consumer = t.consumer) THEN 'silent'
                        WHEN o.committed > e."offset" THEN 'passed'
                        WHEN o.i IS NULL OR e."offset" >= o.visible_end THEN 'late'
                        ELSE 'waiting' END AS standing
            FROM events e JOIN totalled t USING (event_type)
            LEFT JOIN places p ON p.consumer = t.consumer AND p.topic = e.topic
            LEFT JOIN (SELECT * FROM offsets WHERE read = (SELECT offsets_read FROM moments)) o
              ON o.consumer = t.consumer AND o.topic = e.topic AND o.partition = e.partition
            WHERE p.topic IS NOT NULL OR t.consumer NOT IN (SELECT consumer FROM places)
        ), came AS (
            SELECT consumer, topic, partition, min(t) AS came FROM faced WHERE standing = 'waiting' GROUP BY ALL
        ), records AS (
            SELECT p.*, CASE p.standing
                WHEN 'silent' THEN s.rests
                WHEN 'passed' THEN s.rests OR p.consumer NOT IN (FROM deferred)
                WHEN 'late' THEN false
                -- What only just came may be in hand.
                ELSE coalesce(s.may_be_stuck AND s.looked - greatest(s.moved, c.came) >= s.patience, false) END AS done
            FROM faced p JOIN stands s USING (consumer) LEFT JOIN came c USING (consumer, topic, partition)
        )
        SELECT consumer, event_id, min(key) AS key, min(amount)::DECIMAL(38, 12) AS amount,
               greatest(count(DISTINCT digest), count(DISTINCT event_type), count(DISTINCT upload_id)) AS facts,
               min(i) AS i, min(t) AS t, coalesce(bool_and(done), false) AS must,
               EXISTS (SELECT 1 FROM replays r WHERE r.consumer = records.consumer AND r.event_id = records.event_id
                                                 AND r.state = 'unknown')
               -- A copy of it, which a fault made unreadable, may have been the one to apply.
               OR event_id IN (SELECT event_id FROM overwritten) AS maybe
        FROM records GROUP BY consumer, event_id
    """,
    # Consumers whose sums cannot be judged: an event lacks a key or an amount, or has several facts, or no key fits.
    "blind": """
        SELECT consumer FROM additions WHERE key IS NULL OR amount IS NULL OR facts > 1
        UNION
        SELECT t.consumer FROM totals t, added_at
        WHERE t.read = closing AND EXISTS (SELECT 1 FROM additions a WHERE a.consumer = t.consumer)
        GROUP BY t.consumer, closing HAVING NOT bool_or(EXISTS (
            SELECT 1 FROM additions a WHERE a.consumer = t.consumer AND a.key = t.key))
    """,
    "sums": """
        WITH keys AS (
            SELECT consumer, key FROM totals, added_at WHERE read IN (opening, closing)
            UNION SELECT consumer, key FROM additions WHERE key IS NOT NULL
        ), added AS (
            SELECT consumer, key, count(*) AS events, sum(amount) FILTER (must AND NOT maybe) AS certain,
                   list(amount ORDER BY i) FILTER (maybe OR NOT must) AS open,
                   count(*) FILTER (NOT must AND NOT maybe) AS waiting, arg_min(event_id, i) FILTER (NOT must) AS first
            FROM additions GROUP BY consumer, key
        ), ends AS (
            SELECT consumer, key, max(total::DECIMAL(38, 12)) FILTER (read = opening) AS opened,
                   max(total::DECIMAL(38, 12)) FILTER (read = closing) AS closed, max(i) FILTER (read = closing) AS i_total,
                   max(t) FILTER (read = closing) AS t_total
            FROM totals, added_at GROUP BY consumer, key
        )
        SELECT k.consumer, k.key, coalesce(e.opened, 0)::DECIMAL(38, 12) AS opened, e.closed, e.i_total, e.t_total,
               coalesce(a.events, 0) AS events, coalesce(a.waiting, 0) AS waiting, a.first,
               (coalesce(e.opened, 0) + coalesce(a.certain, 0))::DECIMAL(38, 12) AS due,
               (coalesce(e.closed, 0) - coalesce(e.opened, 0) - coalesce(a.certain, 0))::DECIMAL(38, 12) AS difference,
               coalesce(a.open, []) AS open,
               (e.key IS NULL OR a.key IS NULL) AND EXISTS (
                   SELECT 1 FROM keys o WHERE o.consumer = k.consumer AND o.key <> k.key AND lower(o.key) = lower(k.key))
               AS respelled
        FROM keys k LEFT JOIN added a USING (consumer, key) LEFT JOIN ends e USING (consumer, key), added_at
        WHERE opening IS NOT NULL AND closing IS NOT NULL AND k.consumer NOT IN (SELECT consumer FROM blind)
    """,
    # ``within``: some of the events that may or may not count make up the difference. Up to ten, every choice is tried.
    # ``counted``: only all of them together do.
    "differences": """
        WITH tried AS (
            SELECT *, CASE WHEN len(open) <= 10 THEN
                list_filter(range(1 << len(open)::INTEGER), lambda chosen: coalesce(list_sum(
                    list_transform(open, lambda x, n: CASE WHEN (chosen >> (n - 1)) & 1 = 1 THEN x ELSE 0 END)), 0)
                    = difference) END AS fits
            FROM sums
        )
        SELECT * EXCLUDE (fits), CASE
            WHEN fits IS NULL THEN difference BETWEEN list_sum(list_transform(open, lambda x: least(x, 0)))
                                                  AND list_sum(list_transform(open, lambda x: greatest(x, 0)))
            ELSE len(fits) > 0 END AS within,
            coalesce(len(fits) = 1 AND fits[1] = (1 << len(open)::INTEGER) - 1, false) AS counted
        FROM tried
    """,
    "wrong": """
        SELECT d.* FROM differences d, added_at, moments
        WHERE NOT within AND NOT respelled AND settled AND topics_after AND legible
    """,
    # What explains a wrong sum: all events of which the consumer's effects show several or none, or else the smallest sets
    # of events that do if each was applied twice or never. Pairs are searched among up to 300 events, triples among up to 40.
    # Effects say nothing where one of them belongs to no event that the consumer adds up, or is gone, nor where it is open
    # which events count.
    "explained": """
        WITH counted AS (SELECT w.*, row_number() OVER () AS n FROM wrong w),
        shown AS (
            SELECT consumer, event_id, count(*) FILTER (read = effects_read) AS times FROM effects, moments GROUP BY ALL
        ), telling AS (
            SELECT consumer FROM shown LEFT JOIN additions a USING (consumer, event_id)
            GROUP BY consumer HAVING bool_and(a.i IS NOT NULL AND times > 0)
        ), by_effects AS (
            SELECT w.n, w.difference, a.event_id, a.i, coalesce(s.times, 0) AS times, a.amount
            FROM counted w JOIN telling USING (consumer) JOIN additions a USING (consumer, key)
            LEFT JOIN shown s USING (consumer, event_id)
            WHERE w.open = [] AND a.must AND NOT a.maybe AND a.amount <> 0 AND coalesce(s.times, 0) <> 1
        ),
        signed AS (
            SELECT w.n, w.difference, a.event_id, a.i, how, sign * a.amount AS adds, w.events
            FROM counted w JOIN additions a USING (consumer, key)
            CROSS JOIN (VALUES ('applied twice', 1), ('never applied', -1)) s(how, sign)
            WHERE a.amount <> 0 AND a.must AND NOT a.maybe
        ), found AS (
            SELECT n, 0 AS size, list(event_id ORDER BY i) AS event_ids, list(
                CASE times WHEN 0 THEN 'never applied' WHEN 2 THEN 'applied twice' ELSE format('applied {} times', times) END
                ORDER BY i) AS hows, list(i ORDER BY i) AS places
            FROM by_effects GROUP BY n, difference HAVING sum((times - 1) * amount) = difference
            UNION ALL
            SELECT n, 1 AS size, [a.event_id] AS event_ids, [a.how] AS hows, [a.i] AS places FROM signed a
            WHERE adds = difference
            UNION ALL
            SELECT n, 2, [a.event_id, b.event_id], [a.how, b.how], [a.i, b.i] FROM signed a JOIN signed b USING (n)
            WHERE a.i < b.i AND a.events <= 300 AND a.adds + b.adds = a.difference
            UNION ALL
            SELECT n, 3, [a.event_id, b.event_id, c.event_id], [a.how, b.how, c.how], [a.i, b.i, c.i]
            FROM signed a JOIN signed b USING (n) JOIN signed c USING (n)
            WHERE a.i < b.i AND b.i < c.i AND a.events <= 40 AND a.adds + b.adds + c.adds = a.difference
        ), fewest AS (SELECT * FROM found QUALIFY size = min(size) OVER (PARTITION BY n))
        SELECT w.consumer, w.key, count(f.size) AS ways, coalesce(min(f.size) = 0, false) AS by_effects,
               arg_min(f.event_ids, f.places) AS event_ids, arg_min(f.hows, f.places) AS hows,
               arg_min(f.places, f.places) AS places
        FROM counted w LEFT JOIN fewest f USING (n) GROUP BY w.consumer, w.key
    """,
}

TOTAL_WRONG: Final = """
SELECT w.consumer, w.key, plain(opened) AS opened, plain(due) AS due, events AS n,
       coalesce(plain(closed), 'not there') AS closed, i_total, t_total, event_ids[1] AS event_id,
       event_ids[:10] AS event_ids, places[:10] AS i_events, plain(abs(difference)) AS off,
       CASE WHEN difference > 0 THEN 'much' ELSE 'little' END AS too,
       CASE WHEN ways > 0 THEN
                'event ' || array_to_string(list_transform(e.event_ids[:5], lambda x, n: x || ' ' || hows[n]), ', event ')
                || CASE WHEN len(e.event_ids) > 5 THEN format(' and {} more', len(e.event_ids) - 5) ELSE '' END
                || CASE WHEN by_effects THEN ', as its effects show'
                        WHEN ways = 1 THEN ' explains it' ELSE format(' would explain it, and so would {} others', ways - 1) END
            WHEN open <> [] THEN 'no choice of the ' || len(open) || ' events that may or may not count explains it'
            ELSE 'no combination of up to three events, each applied twice or never, was found that explains it' END AS why
FROM wrong w JOIN explained e USING (consumer, key) ORDER BY w.consumer, w.key
"""

UNDECIDED: Final = """
SELECT consumer, key, event_id, i AS i_event, 'event ' || event_id || CASE
           WHEN facts > 1 THEN ' carries several facts under one id'
           WHEN key IS NULL THEN ' has nothing at ' || located || ', which names the total'
           ELSE ' has no number at ' || adds || ' that can be added up exactly' END AS why
FROM additions JOIN (SELECT DISTINCT consumer, located, adds FROM totalled) USING (consumer)
WHERE key IS NULL OR amount IS NULL OR facts > 1
UNION ALL
SELECT b.consumer, NULL, NULL, NULL, 'none of its totals has the key of an event: a total has ' || (
           SELECT min(t.key) FROM totals t, added_at WHERE t.consumer = b.consumer AND t.read = closing)
           || ', an event ' || min(a.key) || '; correct `by`, or what the query gives as `id`'
FROM blind b JOIN additions a USING (consumer)
GROUP BY b.consumer HAVING count(a.key) = count(*) AND count(a.amount) = count(*) AND max(a.facts) = 1
UNION ALL
SELECT consumer, key, NULL, i_total, 'the total of ' || key || ' differs by ' || plain(difference) || ', but ' || CASE
           WHEN respelled THEN 'events and totals spell its key differently in upper and lower case'
           WHEN NOT topics_after THEN 'the topics were not read after it'
           WHEN NOT legible THEN doubt ELSE 'it was not read long enough after the offsets' END
FROM differences, added_at, moments WHERE NOT within AND (respelled OR NOT (settled AND topics_after AND legible))
UNION ALL
SELECT consumer, key, first, i_total, waiting || ' events of the total of ' || key || ' are not passed, the first: ' || first
FROM differences WHERE within AND waiting > 0
UNION ALL
SELECT consumer, key, NULL, i_total, 'nobody knows whether ' || len(open) || ' replays were granted, and the total of ' || key
       || CASE WHEN len(open) > 10 THEN ' does not tell' ELSE ' does not show that each of them was applied' END
FROM differences WHERE within AND waiting = 0 AND NOT counted
UNION ALL
SELECT DISTINCT consumer, NULL, NULL, NULL, CASE WHEN opening IS NULL THEN 'its totals were not read before the load'
                                                 ELSE 'its totals were not read at the end' END
FROM totalled, added_at WHERE opening IS NULL OR closing IS NULL
UNION ALL
SELECT consumer, NULL, NULL, NULL, 'no event of the types that it adds up (' || string_agg(event_type, ', ' ORDER BY event_type)
       || ') was seen where it reads'
FROM totalled WHERE consumer NOT IN (SELECT consumer FROM additions) GROUP BY consumer
ORDER BY ALL
"""

CANCELS: Final = """
SELECT consumer, count(DISTINCT key) AS n, min(key) AS key FROM (
    -- Where effects are counted in the same store, a lost one and a doubled one show there.
    SELECT consumer, key FROM additions WHERE amount IS NOT NULL AND (
        consumer NOT IN (SELECT consumer FROM applies) OR consumer IN (SELECT consumer FROM totalled WHERE apart))
    GROUP BY consumer, key, abs(amount) HAVING count(*) > 1 OR abs(amount) = 0
) GROUP BY consumer ORDER BY consumer
"""


class Totals(Queries):
    """Judges every sum that a service updates in place, by exact arithmetic."""

    name: ClassVar[str] = "totals"
    tables: ClassVar[Mapping[str, str]] = TABLES
    judged: ClassVar[str] = "SELECT count(*) AS n FROM sums"
    anomalies: ClassVar[tuple[Anomaly, ...]] = (
        Anomaly(
            "total_wrong",
            Verdict.INVALID,
            TOTAL_WRONG,
            "{consumer}: the total of {key} is {closed} and should be {due} ({opened} before the load, {n} events): "
            "{off} too {too}; {why}",
        ),
        Anomaly("total_undecided", Verdict.UNKNOWN, UNDECIDED, "{consumer}: {why}"),
        Anomaly(
            "total_cancels",
            Verdict.UNKNOWN,
            CANCELS,
            "{consumer}: events add nothing, or equal or opposite amounts, to {n} of its totals, such as {key}: if one were "
            "lost and another applied twice, or both of two opposite ones lost, it would not show; give each event an amount "
            "of another size, or count effects in the same store",
        ),
    )

    def applies(self, header: Fields) -> bool:
        """Whether the system file describes some service's totals."""
        return bool(checks(header).get("totals"))
