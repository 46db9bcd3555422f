"""Tables and views over a history, each the rows of one ``op`` in the form that queries ask for.

Times are ns since the run's start; ``i`` is a record's index.

=============  ======================================================================================================
applies        (consumer, event_type): what each consumer must apply
rules          (rule, of, event_type, accepted): outcome rules; ``accepted`` null: the type fits either kind of upload
settings       one row: settle_ns, dead_letters, blobs
planned        (fault, name): what the plan was to inject
reads          (read, what, final, began, ended, phase): passes of observers; phase null: never ended
finals         the last final pass of each kind, if it was ok
faults         (fault, name, target, heals, injected, bit, healed): the t of each phase, null where there was none
uploads        one row an upload id: state (ok, unknown, fail), i, t, ended (the first ok's t), acceptable
acknowledged   one row an upload id and storage id that was answered: i, t, sha256, acceptable, raw_file_storage_id
events         records that are events; malformed: those that are none
effects        with ``read``
letters        dead letters, each once
blobs          reads of blobs, with ``final``
offsets        with ``read``
=============  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MACROS: Final = "CREATE MACRO seconds(ns) AS coalesce(printf('%.3f', ns / 1e9), '?')"

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
    "faults": """
        SELECT fault, any_value(name) AS name, any_value(target) AS target, coalesce(bool_or(heals), false) AS heals,
               min(i) AS i, min(t) FILTER (phase = 'injected') AS injected, min(t) FILTER (phase = 'bit') AS bit,
               max(t) FILTER (phase = 'healed') AS healed
        FROM history WHERE op = 'fault' GROUP BY fault
    """,
}
"""Small ones, kept: name to query, in order."""

VIEWS: Final = {
    "uploads": """
        SELECT upload_id, min(i) AS i, min(t) AS t, min(t) FILTER (phase = 'ok') AS ended,
               coalesce(any_value(acceptable) FILTER (phase = 'ok'), any_value(acceptable)) AS acceptable,
               CASE WHEN count(*) FILTER (phase = 'ok') > 0 THEN 'ok'
                    WHEN count(*) FILTER (phase = 'fail') = count(*) FILTER (phase = 'invoke') THEN 'fail'
                    ELSE 'unknown' END AS state
        FROM history WHERE op = 'upload' GROUP BY upload_id
    """,
    "acknowledged": """
        SELECT upload_id, raw_file_storage_id, sha256, any_value(acceptable) AS acceptable, min(i) AS i, min(t) AS t
        FROM history WHERE op = 'upload' AND phase = 'ok' GROUP BY ALL
    """,
    "events": """
        SELECT i, t, read, topic, partition, "offset", event_id, event_type, digest, causation_id, joins, injected,
               upload_id, raw_file_storage_id
        FROM history WHERE op = 'event' AND malformed IS NULL
    """,
    "malformed": """
        SELECT i, t, read, topic, partition, "offset", event_id, injected, malformed
        FROM history WHERE op = 'event' AND malformed IS NOT NULL
    """,
    "effects": """
        SELECT i, t, read, consumer, event_id, effect, digest FROM history WHERE op = 'effect'
    """,
    "letters": """
        SELECT topic, partition, "offset", any_value(consumer) AS consumer, any_value(event_id) AS event_id,
               any_value(kind) AS kind, any_value(source_topic) AS source_topic,
               any_value(source_partition) AS source_partition, any_value(source_offset) AS source_offset,
               min(i) AS i, min(t) AS t
        FROM history WHERE op = 'dead_letter' GROUP BY topic, partition, "offset"
    """,
    "blobs": """
        SELECT i, t, t_begin, read, phase, raw_file_storage_id, sha256, why,
               read IS NOT DISTINCT FROM (SELECT max(read) FROM reads WHERE what = 'blobs' AND final) AS final
        FROM history WHERE op = 'blob'
    """,
    "offsets": """
        SELECT i, t, read, consumer, topic, partition, committed, visible_end FROM history WHERE op = 'offset'
    """,
}
"""Read from the history each time."""


def constants(header: Mapping[str, Any]) -> str:
    """SQL for the tables that come from the plan in the header; a plan without ``checks`` leaves them empty."""
    plan = header.get("plan") or {}
    checks = plan.get("checks") or {}
    applies = [(name, kind) for name, kinds in checks.get("consumers", {}).items() for kind in kinds]
    rules = [
        (str(number), rule["of"], kind, _accepted(kind, rule))
        for number, rule in enumerate(checks.get("outcomes", []))
        for kind in rule["then"]
    ]
    planned = [(fault.get("id"), fault.get("fault")) for fault in plan.get("faults", []) if isinstance(fault, dict)]
    settings = [(checks.get("settle_ns", 0), bool(checks.get("dead_letters")), bool(checks.get("blobs")))]
    return (
        _table("applies", "consumer VARCHAR, event_type VARCHAR", applies)
        + _table("rules", "rule VARCHAR, of VARCHAR, event_type VARCHAR, accepted BOOLEAN", rules)
        + _table("planned", "fault VARCHAR, name VARCHAR", planned)
        + _table("settings", "settle_ns BIGINT, dead_letters BOOLEAN, blobs BOOLEAN", settings)
    )


def _accepted(kind: str, rule: Mapping[str, Any]) -> bool | None:
    accepted, rejected = kind in (rule.get("accepted") or ()), kind in (rule.get("rejected") or ())
    return None if accepted == rejected else accepted


def _table(name: str, columns: str, rows: list[tuple[Any, ...]]) -> str:
    values = ", ".join("(" + ", ".join(_literal(value) for value in row) + ")" for row in dict.fromkeys(rows))
    return f"CREATE TABLE {name} ({columns});" + (f"INSERT INTO {name} VALUES {values};" if values else "")


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return "'" + str(value).replace("'", "''") + "'"
