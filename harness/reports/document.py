"""verdict.json: all that is to be said about a judged run, so that every other report is made from it alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

import orjson

from harness.errors import FileError
from harness.reports.short import shorts
from harness.reports.story import tell_all
from harness.reports.summary import subject, summary
from harness.verdict import Finding, Verdict

if TYPE_CHECKING:
    from harness.history.reader import History
    from harness.verdict import Fields

FORMAT: Final = 1
MAX_ROWS: Final = 100
"""Rows of evidence kept of each anomaly; the count is of all."""

STORIES: Final = 3
"""Rows of each anomaly that are told as a story; ``oneffect show`` tells the others."""

Document = Mapping[str, Any]
Templates = Mapping[tuple[str, str], str]
"""(checker, anomaly) -> its message, with a row's fields in braces."""


def as_expected(history: History, findings: Sequence[Finding], verdict: Verdict) -> bool:
    """Whether the run came out as its scenario says: the verdict, and each anomaly that must be found."""
    expected = _expected(history)
    found = {name for finding in findings for name in finding.anomalies}
    return bool(verdict.word == expected["verdict"] and found.issuperset(expected["find"]))


def write(
    path: Path, history: History, findings: Sequence[Finding], verdict: Verdict, templates: Templates | None = None
) -> Document:
    """Write a run's verdict.json, in one piece; what stands in it."""
    text = orjson.dumps(
        document(history, findings, verdict, templates or {}), default=str, option=orjson.OPT_INDENT_2
    )
    write_whole(path, text + b"\n")
    made: Document = orjson.loads(text)
    return made


def write_whole(path: Path, content: bytes) -> None:
    """Write a report in one piece; FileError if it cannot be."""
    partial = path.with_name(f".{path.name}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise FileError(f"cannot be written: {error.strerror}", path=str(path)) from error


def read(directory: Path) -> Document:
    """The verdict.json of a run directory; FileError if it is not there or no JSON."""
    path = directory / "verdict.json"
    try:
        found = orjson.loads(path.read_bytes())
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}; run: oneffect check", path=str(path)) from error
    except orjson.JSONDecodeError:
        raise FileError("is no JSON; make it anew: oneffect check", path=str(path)) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise FileError("is of another version; make it anew: oneffect check", path=str(path))
    return found


def document(history: History, findings: Sequence[Finding], verdict: Verdict, templates: Templates) -> Document:
    """The whole of it, as JSON values."""
    header = history.header
    plan = header.get("plan") or {}
    return {
        "format": FORMAT,
        "verdict": verdict.word,
        "expected": _expected(history),
        "as_expected": as_expected(history, findings, verdict),
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
        "findings": _findings(history, findings, templates),
    }


def again(header: Mapping[str, Any]) -> str:
    """The command that executes the same plan again; scenarios under ``scenarios/`` go by their names."""
    plan = header.get("plan") or {}
    if "scenario" in plan and plan["scenario"] is None:
        return _up_again(header, plan)
    path = PurePath(str(header.get("scenario_path") or "SCENARIO"))
    scenario = path.stem if path.parts == ("scenarios", path.name) else str(path)
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
    """For what was up for hands; what they did is in the history alone."""
    words = ["oneffect", "up", "--system", str(header["system_path"])]
    given = header.get("addresses_path")
    words += ["--addresses", str(given)] if given else ["--stack", str(plan["stack"])]
    return shlex.join([*words, *(["--variant", str(plan["variant"])] if plan.get("variant") else [])])


def figures(history: History) -> dict[str, Any]:
    """How much there was.

    ``operations`` and the four ways they ended count each try of each upload. ``records`` is every record seen on the
    topics, ``events`` the distinct event ids among them, ``duration`` in seconds. ``under_fault`` is the share of
    operations begun between a fault's bite and its heal; a bite that was only read afterwards counts from the
    injection.
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
    """Locust's own figures (``harness.load.locust_load.read_figures``); None where it made no load."""
    rows = history.sql("SELECT evidence FROM history WHERE op = 'load' AND phase = 'figures' ORDER BY i DESC LIMIT 1")
    return dict(rows[0]["evidence"]) if rows else None


def faults(history: History) -> list[dict[str, Any]]:
    """Each fault in order: the seconds at which it was injected, armed, bit and healed, and the evidence."""
    rows = history.sql("SELECT * FROM history WHERE op = 'fault' ORDER BY i")
    told: dict[str, dict[str, Any]] = {}
    for row in rows:
        one = told.setdefault(
            str(row["fault"]), {"fault": row["fault"], "name": row["name"], "target": row["target"], "evidence": {}}
        )
        one.setdefault(row["phase"], row["t"] / 1e9)
        if row["evidence"] is not None:
            one["evidence"][row["phase"]] = row["evidence"]
        if row["error"]:
            one["error"] = row["error"]
    return list(told.values())


def _expected(history: History) -> dict[str, Any]:
    return {"verdict": "valid", "find": [], **(history.header.get("expected") or {})}


def _findings(history: History, findings: Sequence[Finding], templates: Templates) -> list[dict[str, Any]]:
    """Each finding with its anomalies; what is told of them all is looked up together."""
    found = [rows for one in findings for kind in (one.anomalies, one.warnings) for rows in kind.values()]
    about = [named for rows in found for row in rows[:STORIES] if (named := subject(row)) is not None]
    stories, short = tell_all(history, about), shorts(history, about)

    def told(row: Fields, template: str) -> dict[str, Any]:
        named = subject(row)
        if named is None:
            return {"said": said(template, row), "story": ""}
        story = summary(row, stories[named], short[named])
        words = said(template, row) if template else ""
        return {"said": words, "story": story, "kind": named[0], "id": named[1], "short": short[named]}

    def anomalies(checker: str, found: Mapping[str, Sequence[Fields]]) -> dict[str, Any]:
        return {
            name: {
                "count": len(rows),
                "told": [told(row, templates.get((checker, name), "")) for row in rows[:STORIES]],
                "rows": [dict(row) for row in rows[:MAX_ROWS]],
            }
            for name, rows in found.items()
        }

    return [
        {
            "checker": one.checker,
            "verdict": one.verdict.word if one.verdict is not None else None,
            "judged": one.judged,
            "error": one.error,
            "anomalies": anomalies(one.checker, one.anomalies),
            "warnings": anomalies(one.checker, one.warnings),
        }
        for one in findings
    ]


def said(template: str, row: Fields) -> str:
    """A template filled from a row; without one, the row's own fields. What the row lacks is a question mark."""
    if not template:
        return ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)
    return template.format_map(_Filled(row))


class _Filled(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"
