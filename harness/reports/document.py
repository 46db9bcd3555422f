"""verdict.json: everything about a judged run; the other reports are made from it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

import orjson

from harness.errors import FileError
from harness.reports.coverage import coverage
from harness.reports.short import shorts
from harness.reports.story import tell_all
from harness.reports.summary import subject, summary
from harness.verdict import Fields, Finding, Verdict

if TYPE_CHECKING:
    from harness.history.reader import History

FORMAT: Final = 1
MAX_ROWS: Final = 100
"""Rows of evidence kept per anomaly; the count covers all."""

STORIES: Final = 3
"""Rows per anomaly that get a story; ``oneffect show`` tells the others."""

Document = Mapping[str, Any]
Templates = Mapping[tuple[str, str], str]
"""(checker, anomaly) -> its message, with a row's fields in braces."""


def as_expected(history: History, findings: Sequence[Finding], verdict: Verdict) -> bool:
    """Whether the run came out as its scenario says: the verdict, and each anomaly that must be found."""
    expected = _expected(history)
    anomalies = {name for finding in findings for name in finding.anomalies}
    return bool(verdict.word == expected["verdict"] and anomalies.issuperset(expected["find"]))


def write(
    path: Path, history: History, findings: Sequence[Finding], verdict: Verdict, templates: Templates | None = None
) -> Document:
    """Write a run's verdict.json atomically; return its content."""
    text = orjson.dumps(
        document(history, findings, verdict, templates or {}), default=str, option=orjson.OPT_INDENT_2
    )
    write_whole(path, text + b"\n")
    made: Document = orjson.loads(text)
    return made


def write_whole(path: Path, content: bytes) -> None:
    """Write a report atomically; FileError if it cannot be written."""
    partial = path.with_name(f".{path.name}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise FileError(f"cannot be written: {error.strerror}", path=str(path)) from error


def read(directory: Path) -> Document:
    """Read the verdict.json of a run directory; FileError if it is missing, not JSON or of another version."""
    path = directory / "verdict.json"
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}; run: oneffect check", path=str(path)) from error
    except orjson.JSONDecodeError:
        raise FileError("is not JSON; make it again: oneffect check", path=str(path)) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FileError("is of another version; make it again: oneffect check", path=str(path))
    return content


def document(history: History, findings: Sequence[Finding], verdict: Verdict, templates: Templates) -> Document:
    """Return the content of verdict.json, as JSON values."""
    header = history.header
    plan = header.get("plan") or {}
    return {
        "format": FORMAT,
        "verdict": verdict.word,
        "expected": _expected(history),
        "as_expected": as_expected(history, findings, verdict),
        "scenario": plan.get("scenario", {}) is not None,
        "label": header.get("label") or "run",
        "variant": plan.get("variant"),
        "seed": header["seed"],
        "plan_digest": header["plan_digest"],
        "started": header["started"],
        "versions": header["versions"],
        "complete": history.complete,
        "again": again(header),
        "figures": figures(history),
        "locust": locust(history),
        "faults": faults(history),
        "coverage": coverage(history),
        "left_out": [dict(one) for one in plan.get("left_out") or []],
        "findings": _findings(history, findings, templates),
    }


def again(header: Mapping[str, Any]) -> str:
    """Return the line that executes the same plan again; scenarios in ``scenarios/`` and installed ones go by name."""
    plan = header.get("plan") or {}
    if header.get("again"):
        return str(header["again"])
    if "scenario" in plan and plan["scenario"] is None:
        return _up_again(header, plan)
    path = PurePath(str(header.get("scenario_path") or "SCENARIO"))
    named = path.parts == ("scenarios", path.name) or path.parent.name == "oneffect_scenarios"
    scenario = path.stem if named else str(path)
    users = plan.get("users") or {}
    words = ["oneffect", "load" if users else "run", scenario, "--seed", str(header["seed"])]
    if plan.get("variant"):
        words += ["--variant", str(plan["variant"])]
    if header.get("system_given"):
        words += ["--system", str(header["system_path"])]
    if header.get("addresses_path"):
        words += ["--addresses", str(header["addresses_path"])]
    elif plan.get("stack", "native") != "native":
        words += ["--stack", str(plan["stack"])]
    if users:
        words += ["--users", str(users["users"]), "--spawn-rate", f"{users['spawn_rate']:g}"]
        words += ["--duration", f"{users['duration']:g}s", "--locustfile", users["locustfile"]]
        words += ["--", *users["options"]] if users["options"] else []
    return shlex.join(words)


def _up_again(header: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Return the command for a system that was up without a scenario; only the history records what was done to it."""
    words = ["oneffect", "up", "--system", str(header["system_path"])]
    given = header.get("addresses_path")
    words += ["--addresses", str(given)] if given else ["--stack", str(plan["stack"])]
    return shlex.join([*words, *(["--variant", str(plan["variant"])] if plan.get("variant") else [])])


def figures(history: History) -> dict[str, Any]:
    """Return the run's totals.

    ``operations`` and the three ways they ended count each try of each upload. ``records`` counts every record seen on
    the topics, ``events`` the distinct event ids among them; ``duration`` is in seconds. ``under_fault`` is the share
    of operations begun between a fault's bite and its heal; a bite seen only afterwards counts from the injection.
    """
    return history.sql("""
        WITH tries AS (SELECT * FROM history WHERE op IN ('upload', 'publish') AND injected IS NULL),
        windows AS (
            SELECT CASE WHEN bit <= healed THEN bit ELSE injected END AS begun, healed FROM faults
            WHERE bit IS NOT NULL AND healed IS NOT NULL
        ), hit AS (
            SELECT count(*) AS n FROM tries
            WHERE phase = 'invoke' AND EXISTS (SELECT 1 FROM windows w WHERE tries.t BETWEEN w.begun AND w.healed)
        )
        SELECT count(*) FILTER (phase = 'invoke')::BIGINT AS operations,
               count(*) FILTER (phase = 'ok')::BIGINT AS acknowledged,
               count(*) FILTER (phase = 'fail')::BIGINT AS refused,
               (count(*) FILTER (phase = 'invoke') - count(*) FILTER (phase IN ('ok', 'fail')))::BIGINT AS unknown,
               (SELECT count(DISTINCT event_id) FROM events)::BIGINT AS events,
               (SELECT count(*) FROM history WHERE op = 'event')::BIGINT AS records,
               (SELECT count(*) FROM (SELECT DISTINCT consumer, event_id, effect FROM effects))::BIGINT AS effects,
               (SELECT coalesce(max(t), 0) FROM history) / 1e9 AS duration,
               coalesce(round(any_value(hit.n) / nullif(count(*) FILTER (phase = 'invoke'), 0), 3), 0) AS under_fault
        FROM tries, hit
    """)[0]


def locust(history: History) -> dict[str, Any] | None:
    """Return Locust's own figures (``harness.load.locust_load.read_figures``); None if Locust made no load."""
    rows = history.sql("SELECT evidence FROM history WHERE op = 'load' AND phase = 'figures' ORDER BY i DESC LIMIT 1")
    return dict(rows[0]["evidence"]) if rows else None


def faults(history: History) -> list[dict[str, Any]]:
    """Return each fault in order: the seconds at which it was injected, armed, bit and healed, and the evidence."""
    rows = history.sql("SELECT * FROM history WHERE op = 'fault' ORDER BY i")
    by_id: dict[str, dict[str, Any]] = {}
    for row in rows:
        fault = by_id.setdefault(
            str(row["fault"]), {"fault": row["fault"], "name": row["name"], "target": row["target"], "evidence": {}}
        )
        fault.setdefault(row["phase"], row["t"] / 1e9)
        if row["evidence"] is not None:
            fault["evidence"][row["phase"]] = row["evidence"]
        if row["error"]:
            fault["error"] = row["error"]
    return list(by_id.values())


def _expected(history: History) -> dict[str, Any]:
    return {"verdict": "valid", "find": [], **(history.header.get("expected") or {})}


def _findings(history: History, findings: Sequence[Finding], templates: Templates) -> list[dict[str, Any]]:
    """Return each finding with its anomalies; their stories are looked up together."""
    evidence = [
        rows for finding in findings for kind in (finding.anomalies, finding.warnings) for rows in kind.values()
    ]
    about = [named for rows in evidence for row in rows[:STORIES] if (named := subject(row)) is not None]
    stories, short = tell_all(history, about), shorts(history, about)

    def described(row: Fields, template: str) -> dict[str, Any]:
        named = subject(row)
        if named is None:
            return {"said": said(template, row), "story": ""}
        story = summary(row, stories[named], short[named])
        words = said(template, row) if template else ""
        return {"said": words, "story": story, "kind": named[0], "id": named[1], "short": short[named]}

    def anomalies(checker: str, by_name: Mapping[str, Sequence[Fields]]) -> dict[str, Any]:
        return {
            name: {
                "count": len(rows),
                "told": [described(row, templates.get((checker, name), "")) for row in rows[:STORIES]],
                "rows": [dict(row) for row in rows[:MAX_ROWS]],
            }
            for name, rows in by_name.items()
        }

    return [
        {
            "checker": finding.checker,
            "verdict": finding.verdict.word if finding.verdict is not None else None,
            "judged": finding.judged,
            "error": finding.error,
            "anomalies": anomalies(finding.checker, finding.anomalies),
            "warnings": anomalies(finding.checker, finding.warnings),
        }
        for finding in findings
    ]


def said(template: str, row: Fields) -> str:
    """Fill a template from a row, with ``?`` for a field it lacks; without a template, list the row's fields."""
    if not template:
        return ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)
    return template.format_map(_Filled(row))


class _Filled(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"
