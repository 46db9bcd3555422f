"""Whether the run is sound evidence: faults bit and healed, the load was large enough, the final reads succeeded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from harness.checkers.queries import Queries
from harness.history.cuts import COLUMNS, as_rows, cuts
from harness.history.reader import History
from harness.verdict import Anomaly, Fields, Finding, Verdict

ENOUGH_ACKNOWLEDGED: Final = 20
"""Load operations that must be acknowledged."""

ENOUGH_IN_WINDOW: Final = 5
"""Load operations that must begin between a fault's injection and its heal."""

TABLES: Final = {
    "limits": f"""
        SELECT {ENOUGH_ACKNOWLEDGED} AS acknowledged, {ENOUGH_IN_WINDOW} AS in_window,
               '(operations of other machines do not count, as their clocks differ: run workers here too)' AS elsewhere
    """,
    # A ``placed`` time comes from another machine's clock: it proves that something happened, not when.
    "load_invokes": """
        SELECT i, t, placed FROM history
        WHERE (op = 'upload' OR (op = 'publish' AND injected IS NULL)) AND phase = 'invoke'
    """,
    "load_oks": """
        SELECT i, t, placed FROM history
        WHERE (op = 'upload' OR (op = 'publish' AND injected IS NULL)) AND phase = 'ok'
    """,
    # Faults that the run began, and planned faults whose turn never came.
    "all_faults": """
        SELECT * FROM faults
        UNION ALL BY NAME
        SELECT fault, name, target FROM planned WHERE fault NOT IN (SELECT fault FROM faults WHERE fault IS NOT NULL)
    """,
}

# Each operation counts once, when it was first tried.
FELL_BEHIND: Final = """
WITH firsts AS (
    SELECT min(i) AS i, min(t) AS t FROM history
    WHERE (op = 'upload' OR (op = 'publish' AND injected IS NULL)) AND phase = 'invoke' AND placed IS NOT TRUE
    GROUP BY coalesce(upload_id, event_id, i::VARCHAR)
), pace AS (
    SELECT count(*) AS n, min(i) AS i_first, max(i) AS i_last, min(t) AS t_first, max(t) AS t_last,
           (count(*) - 1) / nullif((max(t) - min(t)) / 1e9, 0) AS begun
    FROM firsts
)
SELECT pace.* EXCLUDE (begun), printf('%.1f', begun) AS begun, printf('%.1f', rate) AS rate
FROM pace, settings, limits WHERE n >= acknowledged AND begun < rate / 2
"""

NEVER_BIT: Final = """
WITH told AS (
    SELECT fault, any_value(evidence->>'$.vain') FILTER (phase = 'healed') AS vain, any_value(error) AS error,
           any_value(evidence->>'$.by_clock') FILTER (phase = 'injected') AS unmet
    FROM history WHERE op = 'fault' AND phase IN ('injected', 'healed', 'failed') GROUP BY fault
), missed AS (
    SELECT f.*, t.vain, t.error, t.unmet,
           (SELECT count(*) FROM load_invokes v WHERE v.t BETWEEN f.injected AND coalesce(f.healed, v.t)) AS n
    FROM all_faults f LEFT JOIN told t USING (fault) WHERE bit IS NULL
)
SELECT fault, name, target, i AS i_fault, injected AS t_injected, n,
       CASE WHEN injected IS NULL THEN 'never injected' ELSE 'injected at ' || seconds(injected) || ' s' END AS so_far,
       coalesce('it acted by the clock, since no message came (' || unmet || '); ', '')
       || CASE WHEN vain IS NOT NULL THEN vain WHEN error IS NOT NULL THEN left(error, 300)
            WHEN injected IS NULL THEN 'the run ended before its moment came'
            WHEN given IS NOT NULL THEN given || ' records were given to the services it hit, ' || n || ' operations begun; '
                 || CASE WHEN given < in_window THEN 'raise the load' ELSE 'it met none of the system''s work' END
            ELSE n || ' operations begun; ' || CASE WHEN n < in_window THEN 'raise the load'
                                                    ELSE 'it met none of the system''s work' END END AS why
FROM missed, limits ORDER BY i_fault, fault
"""

NOT_HEALED: Final = """
SELECT fault, name, target, i AS i_fault, injected AS t_injected, seconds(injected) AS injected_s
FROM all_faults WHERE heals AND injected IS NOT NULL AND healed IS NULL ORDER BY i_fault
"""

TOO_FEW: Final = """
SELECT n, acknowledged AS needed, last.i AS i_last,
       CASE WHEN n = 0 AND last.i IS NOT NULL THEN 'Correct what `load` sends, or how it knows a yes (`ok`)'
            ELSE 'Raise the load' END AS advice,
       CASE WHEN last.i IS NULL THEN ''
            ELSE '; the last of the others ended: ' || concat_ws(' ', phase, status, left(error, 200)) END AS others
FROM (SELECT count(*) AS n FROM load_oks), limits
LEFT JOIN (
    SELECT i, phase, status, error FROM history WHERE i = (
        SELECT max(i) FROM history
        WHERE (op = 'upload' OR (op = 'publish' AND injected IS NULL)) AND phase IN ('fail', 'unknown'))
) last ON true
WHERE n < acknowledged
"""

TOO_QUIET: Final = """
WITH windows AS (
    SELECT f.fault, f.name, f.target, f.i, f.injected, f.healed, f.given, f.begun,
           count(v.i) FILTER (v.placed IS NOT TRUE) AS invokes,
           CASE WHEN bool_or(v.placed) THEN ' ' || any_value(elsewhere) ELSE '' END AS but
    FROM limits, all_faults f LEFT JOIN load_invokes v ON v.t BETWEEN f.injected AND f.healed
    WHERE f.heals AND f.injected IS NOT NULL AND f.healed IS NOT NULL GROUP BY ALL
), counted AS (
    SELECT *, CASE WHEN given IS NULL AND begun IS NULL THEN invokes ELSE greatest(given, begun) END AS n FROM windows
)
SELECT fault, name, target, i AS i_fault, injected AS t_injected, healed AS t_healed, n, in_window AS needed,
       seconds(injected) AS injected_s, seconds(healed) AS healed_s, but,
       CASE WHEN given IS NULL THEN 'operations begun' ELSE 'records given to the services it hit' END AS what
FROM counted, limits WHERE n < in_window ORDER BY i
"""

UNHEALTHY_START: Final = """
SELECT name, i AS i_health, t AS t_health, name || ' did not answer: ' || coalesce(error, 'no reason given') AS why
FROM history WHERE op = 'health' AND "when" = 'start' AND phase = 'bad'
UNION ALL
SELECT NULL, NULL, NULL, 'the system''s health was never checked'
WHERE NOT EXISTS (SELECT 1 FROM history WHERE op = 'health' AND "when" = 'start')
UNION ALL
SELECT NULL, NULL, NULL, 'no operation was acknowledged before the first fault, at ' || seconds(f.first) || ' s'
       || CASE WHEN EXISTS (SELECT 1 FROM load_oks WHERE placed) THEN ' ' || elsewhere ELSE '' END
FROM limits, (SELECT min(injected) AS first FROM faults) f
WHERE f.first IS NOT NULL AND NOT EXISTS (SELECT 1 FROM load_oks o WHERE o.t < f.first AND o.placed IS NOT TRUE)
ORDER BY ALL
"""

READ_FAILED: Final = """
WITH wanted AS (
    SELECT unnest(['offsets', 'effects', 'topics']) AS what
    UNION ALL SELECT 'dead_letters' FROM settings WHERE dead_letters
    UNION ALL SELECT 'blobs' FROM settings WHERE blobs
    UNION ALL SELECT 'totals' WHERE EXISTS (SELECT 1 FROM totalled)
)
SELECT w.what, r.read AS i_read, h.error,
       CASE WHEN r.read IS NULL THEN 'was never begun' ELSE 'failed: ' || coalesce(h.error, 'it never ended') END AS why
FROM wanted w
LEFT JOIN (SELECT what, max(read) AS read FROM reads WHERE final GROUP BY what) r USING (what)
LEFT JOIN (SELECT * FROM history WHERE op = 'read' AND phase <> 'invoke') h ON h.of = r.read
WHERE w.what NOT IN (SELECT what FROM finals) ORDER BY w.what
"""

NOT_AT_REST: Final = """
WITH told AS (
    SELECT i, t, evidence->>'$.backlog' AS backlog, evidence->>'$.awaited' AS awaited,
           evidence->>'$.letters_awaited' AS letters, nullif(evidence->>'$.idle', '') AS idle,
           nullif(evidence->>'$.hidden', '') AS hidden,
           (evidence->>'$.passed_per_second')::DOUBLE AS passed,
           (evidence->>'$.events_per_second')::DOUBLE AS events, (evidence->>'$.effects_per_second')::DOUBLE AS effects,
           greatest((evidence->>'$.backlog')::DOUBLE / nullif(passed, 0),
                    (evidence->>'$.awaited')::DOUBLE / nullif(events, 0)) AS seconds_more
    FROM history WHERE op = 'run' AND phase = 'deadline'
)
SELECT i AS i_run, t AS t_run, seconds(t) AS at_s, coalesce(backlog, 'an unknown number of') AS backlog,
       coalesce(awaited, '?') AS awaited, coalesce(letters, '?') AS letters,
       coalesce(', nothing applied by ' || idle, '') AS idle,
       CASE WHEN hidden IS NOT NULL THEN hidden
            WHEN still THEN 'nothing had moved for ' || seconds(quiet) || ' s, so a longer `drain` would not help'
            ELSE format('lately groups passed {} records a second, {} events and {} effects a second were seen. Lower the '
                        'rate, or lengthen `drain`', coalesce(passed, 0), coalesce(events, 0), coalesce(effects, 0))
                 || coalesce(' by ' || nullif(ceil(seconds_more * 1.5)::INT, 0) || ' s or more', '') END AS advice
FROM told, moments
WHERE i = (SELECT max(i) FROM history WHERE op = 'run' AND phase IN ('drained', 'deadline')) ORDER BY i
"""

ASKED_TOO_LITTLE: Final = """
SELECT a.op, a.wanted, count(h.i) FILTER (h.phase = 'invoke') AS asked, count(h.i) FILTER (h.phase = 'ok') AS granted,
       max(h.i) AS i_last
FROM again a LEFT JOIN history h ON h.op = a.op GROUP BY a.op, a.wanted
HAVING asked < a.wanted OR granted = 0 ORDER BY a.op
"""

RECORD_UNREADABLE: Final = """
SELECT topic, partition, "offset", i AS i_record, t AS t_record, left(error, 200) AS why FROM unreadable ORDER BY i
"""

RECORD_MALFORMED: Final = """
SELECT topic, count(*) AS n, min(i) AS i_event, min(t) AS t_event, arg_min(event_id, i) AS event_id,
       arg_min(left(malformed, 200), i) AS why
FROM history h ANTI JOIN injections USING (topic, partition, "offset")
WHERE op = 'event' AND malformed IS NOT NULL AND NOT starts_with(malformed, 'spoiled by ') AND NOT EXISTS (
    SELECT 1 FROM unplaced u WHERE u.topic = h.topic AND u.partition = h.partition AND u.injected = h.marked)
GROUP BY topic ORDER BY topic
"""

RECORD_LOST: Final = """
SELECT m.topic, m.partition, m."offset", m.event_id, m.i AS i_publish, m.t AS t_ok, seconds(m.t) AS ok_s,
       concat_ws(':', m.topic, m.partition, m."offset") AS place,
       CASE WHEN e.event_id IS NULL THEN 'it is not there' ELSE 'another record, ' || e.event_id || ', is there' END AS what
FROM missing_records m LEFT JOIN history e
  ON e.op = 'event' AND e.topic = m.topic AND e.partition = m.partition AND e."offset" = m."offset"
WHERE m.t < (SELECT began FROM finals WHERE what = 'topics') ORDER BY m.i
"""

PUBLISHED_TWICE: Final = """
SELECT e.event_id, any_value(e.topic) AS topic, count(*) AS n, min(p.i) AS i_publish, list(e.i ORDER BY e.i) AS i_events
FROM events e JOIN (
    SELECT event_id, topic, count(*) AS asked, min(i) AS i FROM history
    WHERE op = 'publish' AND phase = 'invoke' AND injected IS NULL GROUP BY event_id, topic
) p ON p.event_id = e.event_id AND p.topic = e.topic
WHERE e.injected IS NULL GROUP BY e.event_id HAVING count(*) > any_value(p.asked) ORDER BY i_publish
"""

LOAD_INCOMPLETE: Final = """
SELECT worker, i AS i_load, t AS t_load,
       CASE WHEN error IS NOT NULL THEN error WHEN began THEN 'its part of the history has no end'
            ELSE 'its part of the history is not here' END AS why
FROM absent
UNION ALL
SELECT worker, min(i), min(t), min(error) FROM history WHERE op = 'load' AND phase = 'raised' GROUP BY worker
ORDER BY worker, i_load
"""

UNHEALTHY_END: Final = """
SELECT name, max(i) AS i_health, max(t) AS t_health, seconds(max(t)) AS at_s,
       coalesce(left(arg_max(error, i), 300), 'it did not answer') AS why
FROM history WHERE op = 'health' AND "when" = 'end' GROUP BY name HAVING arg_max(phase, i) = 'bad' ORDER BY name
"""

TAP_FAILED: Final = """
SELECT link, min(i) AS i_wire, min(t) AS t_wire, seconds(min(t)) AS at_s, arg_min(left(error, 200), i) AS why
FROM history WHERE op = 'wire' AND phase = 'failed' GROUP BY link ORDER BY link
"""

LINK_UNUSED: Final = """
SELECT link, min(i) AS i_link, min(t) AS t_link, split_part(link, '->', 2) AS dependency
FROM history WHERE op = 'link' AND phase = 'unused' GROUP BY link ORDER BY link
"""

TAP_PLAIN: Final = """
SELECT link, min(i) AS i_wire, min(t) AS t_wire, seconds(min(t)) AS at_s, arg_min(left(error, 200), i) AS why
FROM history WHERE op = 'wire' AND phase = 'plain' GROUP BY link ORDER BY link
"""

NOT_COVERED: Final = """
WITH wanted AS (
    SELECT c.* EXCLUDE (consumer), a.consumer FROM covers c CROSS JOIN (SELECT DISTINCT consumer FROM applies) a
    WHERE c.consumer IS NULL
    UNION ALL SELECT * EXCLUDE (consumer), consumer FROM covers WHERE consumer IS NOT NULL
), tried AS (
    SELECT w.*,
           CASE WHEN w.cut IS NOT NULL THEN (
                SELECT count(*) FROM cuts k WHERE k.consumer = w.consumer AND k.stage = w.cut
                AND (w.again IS NULL OR k.again = w.again) AND (w.redis IS NULL OR k.redis = w.redis))
           ELSE (SELECT count(*) FROM unheard h WHERE h.command = w.lost AND h.consumer = w.consumer) END AS n,
           (SELECT count(*) FROM cuts k WHERE k.consumer = w.consumer) AS others
    FROM wanted w
)
SELECT number, consumer, cut, again, redis, lost, least, n,
       CASE WHEN lost IS NOT NULL THEN 'a lost answer to ' || lost ELSE
            CASE cut WHEN 'unclaimed' THEN 'a death before the claim' WHEN 'claimed' THEN 'a death between claim and effect'
                     ELSE 'a death between effect and offset' END
            || CASE again WHEN 'same' THEN ', delivered again to the same replica'
                          WHEN 'other' THEN ', delivered again to another replica' ELSE '' END
            || CASE redis WHEN 'kept' THEN ', with Redis as it was' WHEN 'away' THEN ', without an answer from Redis'
                          WHEN 'emptied' THEN ', with Redis emptied' ELSE '' END END AS what,
       CASE WHEN lost IS NOT NULL THEN '' ELSE '; deaths cut off ' || others || ' deliveries in all' END AS of_all
FROM tried WHERE n < least ORDER BY number, consumer
"""

CANNOT_BE_SEEN: Final = "SELECT control, what, said FROM blind_spots ORDER BY ALL"

CALIBRATION_STALE: Final = "SELECT file, why FROM stale ORDER BY ALL"

INCOMPLETE: Final = """
SELECT i AS i_last, t AS t_last, format('the run did not finish: its history ends at {} s with {} {}', seconds(t), op, phase)
                                     AS why
FROM history WHERE i = (SELECT max(i) FROM history) AND NOT (op = 'run' AND phase = 'finished')
UNION ALL
SELECT 0, 0, 'the run did not finish: its history has no record' WHERE NOT EXISTS (SELECT 1 FROM history)
UNION ALL
-- Records are numbered from 1 on.
SELECT max(i), max(t), format('of {} records {} are here, and {} have a number of their own: restore the file', max(i),
                              count(*), count(DISTINCT i))
FROM history HAVING count(*) <> max(i) OR count(DISTINCT i) <> max(i)
"""


class Evidence(Queries):
    """Judges the run itself: each of its anomalies makes the run ``unknown``, unless it only warns."""

    name: ClassVar[str] = "evidence"
    tables: ClassVar[Mapping[str, str]] = TABLES
    judged: ClassVar[str] = "SELECT count(*) AS n FROM all_faults"
    anomalies: ClassVar[tuple[Anomaly, ...]] = (
        Anomaly(
            "fault_never_bit",
            Verdict.UNKNOWN,
            NEVER_BIT,
            "{name} on {target}: {so_far}, never bit: {why}",
        ),
        Anomaly(
            "fault_not_healed",
            Verdict.UNKNOWN,
            NOT_HEALED,
            "{name} on {target}: injected at {injected_s} s, never healed",
        ),
        Anomaly(
            "too_few_operations",
            Verdict.UNKNOWN,
            TOO_FEW,
            "{n} operations were acknowledged, {needed} are needed{others}. {advice}",
        ),
        Anomaly(
            "window_too_quiet",
            Verdict.UNKNOWN,
            TOO_QUIET,
            "{name} on {target}: {n} {what} from {injected_s} s to {healed_s} s, {needed} are needed{but}. Raise the load",
        ),
        Anomaly("unhealthy_start", Verdict.UNKNOWN, UNHEALTHY_START, "{why}"),
        Anomaly(
            "load_fell_behind",
            None,
            FELL_BEHIND,
            "the load was to begin {rate} operations a second, but began only {begun}: this machine, or a program that encodes "
            "what is published, could not keep up, so the run says nothing about a higher rate",
        ),
        Anomaly("unhealthy_end", None, UNHEALTHY_END, "{name} was not healthy at the end, at {at_s} s: {why}"),
        Anomaly("read_failed", Verdict.UNKNOWN, READ_FAILED, "the final read of {what} {why}"),
        Anomaly(
            "asked_too_little",
            Verdict.UNKNOWN,
            ASKED_TOO_LITTLE,
            "{op}: the scenario wants {wanted}, the run asked for {asked}, and the system granted {granted}",
        ),
        Anomaly(
            "record_unreadable",
            Verdict.UNKNOWN,
            RECORD_UNREADABLE,
            "record {topic}:{partition}:{offset} could not be read ({why}), so its contents are not judged",
        ),
        Anomaly(
            "not_at_rest",
            Verdict.UNKNOWN,
            NOT_AT_REST,
            "the system had not come to rest at {at_s} s: {backlog} records not passed, {awaited} outcomes and {letters} dead "
            "letters awaited{idle}; {advice}",
        ),
        Anomaly(
            "record_lost",
            Verdict.UNKNOWN,
            RECORD_LOST,
            "event {event_id}: the broker acknowledged it at {place} by {ok_s} s, but {what}: the broker lost it, not the "
            "system, so the event's effects and outcomes are not judged",
        ),
        Anomaly(
            "published_twice",
            None,
            PUBLISHED_TWICE,
            "event {event_id}: the load published it once, and {n} records of it are on {topic}: the system published it "
            "again, or the broker kept a repeated request twice",
        ),
        Anomaly(
            "load_incomplete",
            Verdict.UNKNOWN,
            LOAD_INCOMPLETE,
            "load worker {worker}: {why}, so not all of its work is judged. Merge its part if it left one "
            "(`oneffect merge`), otherwise fix the worker and run again",
        ),
        Anomaly(
            "not_covered",
            Verdict.UNKNOWN,
            NOT_COVERED,
            "{consumer}: {what} came {n} times, {least} are wanted{of_all}. Raise the load, or act at the message: `when:`",
        ),
        Anomaly(
            "tap_failed",
            Verdict.UNKNOWN,
            TAP_FAILED,
            "the tap on {link} itself failed at {at_s} s and closed a connection, which no fault asked for: {why}",
        ),
        Anomaly(
            "link_unused",
            Verdict.UNKNOWN,
            LINK_UNUSED,
            "no connection on this link: the code under test never connected on {link}, so no fault there could reach it, and "
            "whatever it did with {dependency} went past the link. Start it with address('{dependency}'), or, if it does "
            "without {dependency}, leave that out of adopt(…)",
        ),
        Anomaly(
            "record_malformed",
            None,
            RECORD_MALFORMED,
            "{n} records on {topic}, which no fault published, are no events, such as {event_id}: {why}",
        ),
        Anomaly(
            "tap_plain",
            None,
            TAP_PLAIN,
            "the tap on {link} could not parse the traffic from {at_s} s on, and passed it on unchanged: {why}",
        ),
        Anomaly(
            "cannot_be_seen",
            Verdict.UNKNOWN,
            CANNOT_BE_SEEN,
            "{what}: `oneffect calibrate` planted {control} and it could not be seen ({said}), so its absence here proves "
            "nothing; correct the system file, and calibrate again",
        ),
        Anomaly(
            "calibration_stale",
            None,
            CALIBRATION_STALE,
            "{file} is out of date: {why}; calibrate again (`oneffect calibrate`)",
        ),
        Anomaly(
            "history_incomplete",
            Verdict.UNKNOWN,
            INCOMPLETE,
            "{why}",
        ),
    )

    def check(self, history: History) -> Finding:
        """Judge the run, with the deliveries that its deaths cut off in the table ``cuts``."""
        history.fill("cuts", COLUMNS, as_rows(cuts(history)))
        try:
            return super().check(history)
        finally:
            history.drop("cuts")

    def applies(self, header: Fields) -> bool:  # noqa: ARG002 - every run is evidence of something
        """Whether to judge the run: always."""
        return True
