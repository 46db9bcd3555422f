"""What happened around a story: faults, and services that came and went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.reports.moment import Moment, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history.reader import History


def around(history: History) -> list[Moment]:
    """Return all such moments of a run, oldest first."""
    rows = history.sql("""
        WITH deeds AS (SELECT DISTINCT actor FROM history WHERE op = 'service' AND contains(name, '#'))
        SELECT t, op, phase, name, target, fault, pid, exit_status,
               heals AND concat('fault:', fault) IN (SELECT actor FROM deeds) AS shown_by_replica
        FROM history
        WHERE op = 'fault' AND phase <> 'armed' OR op = 'service' AND phase <> 'started' ORDER BY t, i
    """)
    return [_fault(row) if row["op"] == "fault" else _service(row) for row in rows]


def _fault(row: Mapping[str, Any]) -> Moment:
    # If a fault acted on a replica until its heal, the replica's own moments tell that in brief: killed, ready.
    brief = row["name"] if row["phase"] == "injected" and not row["shown_by_replica"] else ""
    target = row["target"] or ""
    owner = target.partition("->")[0].partition("#")[0] if "->" in target or "#" in target else ""
    return Moment(row["t"], target, f"fault {row['fault']} {row['name']} {row['phase']}", brief, owner)


def _service(row: Mapping[str, Any]) -> Moment:
    gone = row["phase"] in {"killed", "exited"}
    about = f"pid {row['pid']}" if row["pid"] else "", f"exit status {row['exit_status']}" if gone else ""
    text = listed(f"service {row['phase']}", *about)
    brief, name = row["phase"] if gone else "", row["name"]
    return Moment(row["t"], name, text, brief, name.partition("#")[0], "replica", name, row["phase"])
