"""A checker made of queries: tables first, then one query per anomaly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from harness.history.reader import History
from harness.verdict import Anomaly, Fields, Finding, Verdict

MOVES: Final = """
WITH sights AS (
    -- Interim passes give what is new, so all their rows count together. A final pass gives everything, and may be made again.
    SELECT consumer, hash(event_id, effect, digest) AS alike, max(t) AS t, count(*) AS n
    FROM effects LEFT JOIN reads r USING (read) GROUP BY consumer, alike, CASE WHEN r.final THEN read END
), moved AS (
    -- Of rows that look alike, the last one is as old as the earliest sight of that many.
    SELECT consumer, max(t) AS t FROM (SELECT consumer, min({fewer: -n, t: t}).t AS t FROM sights GROUP BY consumer, alike)
    GROUP BY consumer
    UNION ALL
    SELECT consumer, max(t) FROM (
        SELECT consumer, t, committed > coalesce(lag(committed) OVER (
                   PARTITION BY consumer, topic, partition ORDER BY i), 0) AS more FROM offsets
    ) WHERE more GROUP BY consumer
    UNION ALL
    SELECT consumer, max(t) FROM (
        SELECT consumer, t, total IS DISTINCT FROM lag(total) OVER (PARTITION BY consumer, key ORDER BY i) AS other FROM totals
    ) WHERE other GROUP BY consumer
)
SELECT consumer, max(t) AS t FROM moved GROUP BY consumer
UNION ALL
SELECT NULL, greatest((SELECT max(t) FROM events), (SELECT max(t) FROM malformed), (SELECT max(t) FROM tombstones),
                      (SELECT max(t) FROM moved))
"""
"""When each consumer was last seen to move (a new effect or total, an offset passed); consumer null: when anything did."""

MOMENTS: Final = """
WITH known AS (
    SELECT NOT EXISTS (SELECT 1 FROM faults WHERE heals AND injected IS NOT NULL AND healed IS NULL)
           AND (SELECT coalesce(bool_and(phase = 'good'), false) FROM (
                    SELECT arg_max(phase, i) AS phase FROM history WHERE op = 'health' AND "when" = 'end' GROUP BY name))
           AS well,
           coalesce((SELECT arg_max(phase, i) FROM history
                     WHERE op = 'run' AND phase IN ('drained', 'deadline')) = 'drained', false) AS drained,
           NOT EXISTS (SELECT 1 FROM absent) AS load_whole,
           NOT EXISTS (SELECT 1 FROM missing_records) AND NOT EXISTS (SELECT 1 FROM unreadable) AND NOT EXISTS (
               SELECT 1 FROM malformed m ANTI JOIN injections USING (topic, partition, "offset")
               WHERE NOT starts_with(m.malformed, 'spoiled by ')) AS legible,
           NOT EXISTS (SELECT 1 FROM history ANTI JOIN injections USING (topic, partition, "offset")
                       WHERE op = 'dead_letter' AND error IS NOT NULL) AS letters_legible,
           greatest((SELECT max(t) FROM history WHERE op = 'fault' AND phase = 'healed'),
                    (SELECT max(t) FROM history WHERE op = 'service'),
                    (SELECT max(t) FROM history
                     WHERE (op IN ('upload', 'reprocess', 'replay') OR (op = 'publish' AND injected IS NULL))
                       AND phase = 'ok' AND placed IS NOT TRUE), 0) AS mended,
           (SELECT t FROM moves WHERE consumer IS NULL) AS moved
)
SELECT s.settle_ns, s.dead_letters,
       o.read AS offsets_read, o.began AS offsets_began, o.ended AS offsets_ended,
       e.read AS effects_read, e.began AS effects_began,
       t.read AS topics_read, t.began AS topics_began,
       coalesce(e.began >= o.ended + s.settle_ns, false) AS effects_settled,
       coalesce(l.began >= o.ended + s.settle_ns, false) AS letters_settled,
       coalesce(t.began >= e.ended, false) AS topics_after_effects,
       coalesce(t.began >= l.ended, false) AS topics_after_letters,
       k.well, k.drained, k.load_whole, k.legible, k.letters_legible, k.mended,
       3 * s.settle_ns AS patience,
       CASE WHEN e.began < t.began THEN e.began WHEN e.began >= t.began THEN t.began END
       - greatest(k.moved, k.mended) AS quiet,
       coalesce(quiet >= patience, false) AS still,
       CASE WHEN t.read IS NULL THEN 'the topics were not read to their end'
            WHEN EXISTS (SELECT 1 FROM missing_records) THEN 'the broker lost events that it had acknowledged'
            WHEN NOT k.legible THEN 'some records on the topics, which no fault published, could not be read as events'
            WHEN NOT k.well THEN 'not everything was healed and healthy at the end'
            ELSE 'something still moved less than ' || seconds(patience) || ' s before all was read: it may be slow' END
       AS doubt
FROM settings s CROSS JOIN known k
LEFT JOIN finals o ON o.what = 'offsets'
LEFT JOIN finals e ON e.what = 'effects'
LEFT JOIN finals l ON l.what = 'dead_letters'
LEFT JOIN finals t ON t.what = 'topics'
"""
"""One row: the judging reads, and what their order proves.

``…_settled``: the read began at least ``settle_ns`` after the offsets read ended, so pending work had its time.
``well``: every fault healed, and the last health check of each part past the proxies at the end was good.
``drained``: the run judged the system at rest, so whatever waits now came later and was not left behind.
``load_whole``: the history has everything that the load did, so whatever is not in it was never sent.
``legible``: every record is an event, or malformed by a fault, and every acknowledged event of the load is there; otherwise
an event without a record may be unreadable, or lost by the broker.
``letters_legible``: every dead letter that no fault published could be read.
``patience``: after this long without movement (``SEVERAL`` in harness.session.rest), missing work is stuck, not slow.
``mended``: when the last fault healed, a service last changed state, or the load got its last acknowledgement.
``still``: nothing moved since for ``patience``, so whatever is missing stays missing; ``quiet``: for how long, ns.
``doubt``: why something missing may yet come, if it may.
"""


class Queries:
    """A checker of queries; a subclass gives ``tables`` (name to query, in order), ``anomalies`` and ``judged``."""

    name: ClassVar[str]
    anomalies: ClassVar[tuple[Anomaly, ...]]
    tables: ClassVar[Mapping[str, str]] = {}
    views: ClassVar[frozenset[str]] = frozenset()
    """Tables that are evaluated on each use, not stored."""
    judged: ClassVar[str]
    """A query that counts what was judged, in one column ``n``."""

    def check(self, history: History) -> Finding:
        """Judge the history; a failing query raises."""
        history.table("moves", MOVES)
        history.table("moments", MOMENTS)
        for name, query in self.tables.items():
            (history.view if name in self.views else history.table)(name, query)
        anomalies: dict[str, list[Fields]] = {}
        warnings: dict[str, list[Fields]] = {}
        worst = Verdict.VALID
        for anomaly in self.anomalies:
            rows = history.sql(anomaly.sql)
            if not rows:
                continue
            if anomaly.verdict is None:
                warnings[anomaly.name] = list(rows)
            else:
                anomalies[anomaly.name] = list(rows)
                worst = max(worst, anomaly.verdict)
        judged = int(history.sql(self.judged)[0]["n"])
        for name in self.tables:
            history.drop(name)  # frees the memory for the next checker
        return Finding(self.name, worst, anomalies, warnings, judged)


def checks(header: Fields) -> Mapping[str, object]:
    """Return what the plan in a header tells checkers about the system; empty if nothing."""
    plan = header.get("plan")
    section = plan.get("checks") if isinstance(plan, Mapping) else None
    return section if isinstance(section, Mapping) else {}
