"""Every acknowledged upload, valid or rejected, has its raw blob, byte for byte, whenever it was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from harness.checkers.queries import Queries, checks
from harness.verdict import Anomaly, Fields, Verdict

TABLES: Final = {
    # One row per acknowledgement. Where the answer names no blob, the event about the upload does.
    "unnamed": "SELECT * FROM acknowledged WHERE raw_file_storage_id IS NULL",
    "nameless": """
        SELECT a.upload_id, min(e.raw_file_storage_id) AS raw_file_storage_id, a.sha256, a.acceptable, a.i, a.t,
               a.placed
        FROM unnamed a LEFT JOIN events e ON e.upload_id = a.upload_id AND e.injected IS NULL
        GROUP BY ALL
    """,
    # Uploads without an answer that the system published an event about: it took them all the same, also where no event about
    # them names a blob.
    "unanswered_kept": """
        WITH about AS (
            SELECT e.upload_id, e.raw_file_storage_id, e.i, e.t FROM events e SEMI JOIN uploads u
              ON u.upload_id = e.upload_id AND u.op = 'upload' AND u.state = 'unknown'
            WHERE e.injected IS NULL
            QUALIFY e.raw_file_storage_id IS NOT NULL OR count(e.raw_file_storage_id) OVER (PARTITION BY e.upload_id) = 0
        )
        SELECT u.upload_id, e.raw_file_storage_id,
               coalesce(arg_min(h.sha256, h.i) FILTER (h.phase <> 'invoke'), arg_min(h.sha256, h.i)) AS sha256,
               any_value(u.acceptable) AS acceptable,
               min(e.i) AS i, min(e.t) AS t, NULL::BOOLEAN AS placed
        FROM uploads u JOIN about e USING (upload_id)
        JOIN history h ON h.op = 'upload' AND h.upload_id = u.upload_id
        WHERE u.op = 'upload'
        GROUP BY u.upload_id, e.raw_file_storage_id HAVING bool_or(h.phase = 'invoke')
    """,
    "kept": """
        SELECT upload_id, raw_file_storage_id, sha256, acceptable, i, t, placed FROM acknowledged
        WHERE raw_file_storage_id IS NOT NULL
        UNION ALL
        SELECT upload_id, raw_file_storage_id, sha256, acceptable, i, t, placed FROM nameless
        UNION ALL
        SELECT upload_id, raw_file_storage_id, sha256, acceptable, i, t, placed FROM unanswered_kept
    """,
    # Uploads whose bytes the final pass did not find.
    "unsure": """
        SELECT * FROM kept k
        WHERE NOT EXISTS (
            SELECT 1 FROM blobs b
            WHERE b.final AND b.phase IN ('present', 'different')
              AND b.raw_file_storage_id = k.raw_file_storage_id AND b.sha256 = k.sha256)
    """,
    # Blobs worth a closer look: every other blob belongs to one upload, whose events name no other, and no read disagreed.
    "doubtful": """
        SELECT raw_file_storage_id FROM unsure
        UNION
        SELECT raw_file_storage_id FROM kept GROUP BY raw_file_storage_id HAVING count(*) > 1
        UNION
        SELECT raw_file_storage_id FROM events e
        WHERE raw_file_storage_id IS NOT NULL AND injected IS NULL
          AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.raw_file_storage_id = e.raw_file_storage_id
                                                 AND k.upload_id = coalesce(e.upload_id, k.upload_id))
        UNION
        SELECT raw_file_storage_id FROM blobs WHERE phase = 'missing'
        UNION
        SELECT raw_file_storage_id FROM blobs b
        WHERE NOT final AND phase IN ('present', 'different')
          AND NOT EXISTS (
            SELECT 1 FROM kept k WHERE k.raw_file_storage_id = b.raw_file_storage_id AND k.sha256 = b.sha256)
    """,
    # The doubtful blobs' uploads, their reads, and one row per blob that an event of the system names.
    "doubted": "SELECT * FROM kept SEMI JOIN doubtful USING (raw_file_storage_id)",
    "looks": "SELECT * FROM blobs SEMI JOIN doubtful USING (raw_file_storage_id)",
    "named": """
        SELECT raw_file_storage_id, min(t) AS t, min(i) AS i, arg_min(event_id, i) AS event_id,
               arg_min(upload_id, i) AS upload_id
        FROM events SEMI JOIN doubtful USING (raw_file_storage_id)
        WHERE injected IS NULL GROUP BY raw_file_storage_id
    """,
    # What the final pass found of each blob, and whether any read found it.
    "last_looks": """
        SELECT raw_file_storage_id, arg_max(phase, i) FILTER (final) AS phase,
               bool_or(sha256 IS NOT NULL) FILTER (final) AS hashed,
               max(i) FILTER (final) AS i, max(t) FILTER (final) AS t, arg_max(sha256, i) FILTER (final) AS sha256,
               bool_or(phase IN ('present', 'different')) AS ever_found,
               min(t) FILTER (phase IN ('present', 'different')) AS found
        FROM looks GROUP BY raw_file_storage_id
    """,
    # Blobs that an event names, and no upload of which the run knows.
    "strays": """
        SELECT n.*, l.phase, l.hashed, l.sha256, l.ever_found, l.found, l.i AS i_blob, l.t AS t_blob
        FROM named n LEFT JOIN last_looks l USING (raw_file_storage_id)
        WHERE NOT EXISTS (SELECT 1 FROM doubted k WHERE k.raw_file_storage_id = n.raw_file_storage_id)
    """,
    # Blobs that an event names for an upload, and that hold other bytes at the end: no answer to the upload named them.
    # ``anothers``: those of another upload.
    "crossed": """
        WITH naming AS (SELECT * FROM events SEMI JOIN last_looks USING (raw_file_storage_id) WHERE injected IS NULL),
        sent AS (
            SELECT upload_id, min(sha256) AS expected, list(DISTINCT sha256) AS shas
            FROM history SEMI JOIN naming USING (upload_id) WHERE op = 'upload' AND sha256 IS NOT NULL GROUP BY upload_id
        )
        SELECT upload_id, raw_file_storage_id, any_value(expected) AS expected, any_value(l.sha256) AS sha256,
               min(e.i) AS i_event, arg_min(e.event_id, e.i) AS event_id, any_value(l.i) AS i_blob, any_value(l.t) AS t_blob,
               bool_or(l.sha256 IN (SELECT sha256 FROM history WHERE op = 'upload' AND sha256 IS NOT NULL)) AS anothers
        FROM naming e JOIN last_looks l USING (raw_file_storage_id) JOIN sent USING (upload_id)
        ANTI JOIN doubted USING (upload_id, raw_file_storage_id)
        WHERE NOT list_contains(shas, l.sha256)
        GROUP BY upload_id, raw_file_storage_id
    """,
    "gone": """
        SELECT k.upload_id, k.raw_file_storage_id, bool_or(k.acceptable) AS acceptable, min(k.i) AS i_ok, min(k.t) AS t_ok,
               max(l.i) AS i_blob, max(l.t) AS t_blob, seconds(min(k.t)) AS ok_s, seconds(max(l.t)) AS read_s
        FROM unsure k JOIN last_looks l USING (raw_file_storage_id)
        WHERE l.phase = 'missing' GROUP BY k.upload_id, k.raw_file_storage_id
    """,
    # When a blob must be there: from the first answer or event that names it, by the run's own clock.
    "since": """
        SELECT raw_file_storage_id, min(t) AS t, arg_min(i, t) AS i
        FROM (SELECT raw_file_storage_id, t, i FROM doubted WHERE placed IS NOT TRUE
              UNION ALL SELECT raw_file_storage_id, t, i FROM named)
        GROUP BY raw_file_storage_id
    """,
}

RAW_MISSING: Final = "SELECT * FROM gone WHERE acceptable IS DISTINCT FROM false ORDER BY i_ok"

RAW_DROPPED: Final = "SELECT * FROM gone WHERE acceptable = false ORDER BY i_ok"

RAW_DIFFERENT: Final = """
SELECT k.upload_id, k.raw_file_storage_id, min(k.sha256) AS expected, arg_min(b.sha256, b.i) AS sha256,
       min(k.i) AS i_ok, min(k.t) AS t_ok, NULL AS i_event, min(b.i) AS i_blob, min(b.t) AS t_blob,
       format('its raw blob {} held other bytes in {} reads, first at {} s', k.raw_file_storage_id, count(DISTINCT b.i),
              seconds(min(b.t))) AS what
FROM doubted k JOIN looks b USING (raw_file_storage_id)
WHERE b.phase IN ('present', 'different') AND b.sha256 <> k.sha256
GROUP BY k.upload_id, k.raw_file_storage_id
UNION ALL
SELECT upload_id, raw_file_storage_id, expected, sha256, NULL, NULL, i_event, i_blob, t_blob,
       format('event {} names the raw blob {}, which held the bytes of another upload at {} s', event_id, raw_file_storage_id,
              seconds(t_blob))
FROM crossed WHERE anothers
ORDER BY i_ok, i_event
"""

RAW_OVERWRITTEN: Final = """
SELECT raw_file_storage_id, count(DISTINCT sha256) AS n, list(upload_id ORDER BY i) AS upload_ids,
       list(i ORDER BY i) AS i_oks, min(t) AS t_first, max(t) AS t_last
FROM doubted GROUP BY raw_file_storage_id HAVING min(sha256) <> max(sha256) ORDER BY t_last
"""

RAW_LATE: Final = """
SELECT b.raw_file_storage_id, any_value(n.event_id) AS event_id,
       (SELECT min(k.upload_id) FROM doubted k WHERE k.raw_file_storage_id = b.raw_file_storage_id) AS upload_id,
       any_value(s.i) AS i_named, any_value(s.t) AS t_named, count(*) AS n, min(b.i) AS i_blob,
       min(b.t_begin) AS t_blob, seconds(any_value(s.t)) AS named_s, seconds(min(b.t_begin)) AS read_s,
       CASE WHEN any_value(l.phase) IN ('present', 'different') THEN 'present' ELSE 'not read' END AS at_end
FROM looks b
JOIN since s USING (raw_file_storage_id)
JOIN last_looks l USING (raw_file_storage_id)
LEFT JOIN named n USING (raw_file_storage_id)
WHERE b.phase = 'missing' AND b.t_begin > s.t AND l.phase IS DISTINCT FROM 'missing'
GROUP BY b.raw_file_storage_id ORDER BY i_blob
"""

RAW_DANGLING: Final = """
SELECT raw_file_storage_id, event_id, upload_id, i AS i_event, t AS t_event, i_blob, seconds(t) AS seen_s
FROM strays WHERE phase = 'missing' AND NOT ever_found ORDER BY i_event
"""

RAW_VANISHED: Final = """
SELECT raw_file_storage_id, event_id, upload_id, i AS i_event, t AS t_event, i_blob, t_blob, seconds(found) AS found_s,
       seconds(t_blob) AS read_s
FROM strays WHERE phase = 'missing' AND ever_found ORDER BY i_event
"""

RAW_CHANGED: Final = """
SELECT s.raw_file_storage_id, s.event_id, s.upload_id, s.i AS i_event, count(DISTINCT b.sha256) AS n, min(b.i) AS i_blob,
       min(b.t) AS t_blob
FROM strays s JOIN looks b USING (raw_file_storage_id) GROUP BY ALL HAVING count(DISTINCT b.sha256) > 1 ORDER BY i_event
"""

RAW_UNEXERCISED: Final = """
SELECT count(*) AS n FROM uploads
HAVING NOT EXISTS (FROM kept) AND NOT EXISTS (SELECT 1 FROM events WHERE raw_file_storage_id IS NOT NULL AND injected IS NULL)
"""
RAW_UNREAD: Final = """
SELECT DISTINCT ON (k.upload_id, k.raw_file_storage_id)
       k.upload_id, k.raw_file_storage_id, k.i AS i_ok, NULL AS i_event, 'upload ' || k.upload_id AS what,
       CASE WHEN k.raw_file_storage_id IS NULL THEN 'nothing names its blob'
            WHEN l.phase IS NULL THEN 'its blob was not read at the end'
            WHEN l.phase = 'unreachable' THEN 'its blob could not be read at the end'
            ELSE 'there is no hash to compare' END AS why
FROM unsure k LEFT JOIN last_looks l USING (raw_file_storage_id)
WHERE l.phase IS NULL OR l.phase = 'unreachable' OR k.sha256 IS NULL OR (l.phase <> 'missing' AND NOT l.hashed)
UNION ALL
SELECT upload_id, raw_file_storage_id, NULL, i, 'event ' || event_id,
       CASE WHEN phase = 'unreachable' THEN 'the blob it names could not be read at the end'
            WHEN phase IS NULL THEN 'the blob it names was not read at the end'
            WHEN NOT hashed THEN 'of the blob it names there is no hash'
            ELSE 'the blob it names holds the bytes of no upload, or not of its own' END
FROM strays, moments
WHERE phase IS NULL OR phase = 'unreachable' OR (phase <> 'missing' AND (
    NOT hashed OR raw_file_storage_id IN (SELECT raw_file_storage_id FROM crossed WHERE NOT anothers) OR (
    -- Of an upload without an answer, only its bytes can tell that the blob is its own.
    load_whole AND EXISTS (SELECT 1 FROM history WHERE op = 'upload')
    AND sha256 NOT IN (SELECT sha256 FROM history WHERE op = 'upload' AND sha256 IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM history WHERE op = 'upload' AND phase = 'invoke' AND sha256 IS NULL))))
ORDER BY ALL
"""


class RawRetained(Queries):
    """Judges every acknowledged upload and every blob that an event names.

    Finding blobs that nobody names (``raw_orphan``) takes a listing of blobs, which a system file cannot describe yet.
    """

    name: ClassVar[str] = "raw retained"
    views: ClassVar[frozenset[str]] = frozenset({"kept"})
    tables: ClassVar[Mapping[str, str]] = TABLES
    judged: ClassVar[str] = "SELECT count(*) AS n FROM kept"
    anomalies: ClassVar[tuple[Anomaly, ...]] = (
        Anomaly(
            "raw_missing",
            Verdict.INVALID,
            RAW_MISSING,
            "upload {upload_id}: acknowledged at {ok_s} s, but its raw blob {raw_file_storage_id} was gone at "
            "{read_s} s",
        ),
        Anomaly(
            "raw_dropped_on_rejection",
            Verdict.INVALID,
            RAW_DROPPED,
            "upload {upload_id}: acknowledged at {ok_s} s and rejected, but its raw blob {raw_file_storage_id} was "
            "gone at {read_s} s",
        ),
        Anomaly(
            "raw_different",
            Verdict.INVALID,
            RAW_DIFFERENT,
            "upload {upload_id}: {what}",
        ),
        Anomaly(
            "raw_overwritten",
            Verdict.INVALID,
            RAW_OVERWRITTEN,
            "raw blob {raw_file_storage_id}: {n} different uploads were acknowledged under this id ({upload_ids})",
        ),
        Anomaly(
            "raw_late",
            Verdict.INVALID,
            RAW_LATE,
            "raw blob {raw_file_storage_id}: named at {named_s} s, missing in {n} reads, first at {read_s} s; {at_end} "
            "at the end",
        ),
        Anomaly(
            "raw_dangling",
            Verdict.INVALID,
            RAW_DANGLING,
            "event {event_id}, seen at {seen_s} s, names the raw blob {raw_file_storage_id}, which no read found",
        ),
        Anomaly(
            "raw_vanished",
            Verdict.INVALID,
            RAW_VANISHED,
            "event {event_id} names the raw blob {raw_file_storage_id}, which was there at {found_s} s and gone at {read_s} s",
        ),
        Anomaly(
            "raw_changed",
            Verdict.INVALID,
            RAW_CHANGED,
            "event {event_id} names the raw blob {raw_file_storage_id}, which held {n} different contents during the run",
        ),
        Anomaly("raw_unread", Verdict.UNKNOWN, RAW_UNREAD, "{what}: {why}"),
        Anomaly(
            "raw_unexercised",
            Verdict.UNKNOWN,
            RAW_UNEXERCISED,
            "no raw blob was judged: of {n} uploads no answer names one, nor does any event",
        ),
    )

    def applies(self, header: Fields) -> bool:
        """Whether the system file says how to read a raw blob."""
        return bool(checks(header).get("blobs"))
