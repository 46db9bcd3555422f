"""Judges a history by every checker that applies, and combines their verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final, cast

from harness.checkers import CHECKERS
from harness.history.reader import History
from harness.verdict import Checker, Finding, Verdict

EVIDENCE: Final = "evidence"
"""The checker of the run itself; sound evidence alone makes no system valid."""


def checkers() -> list[Checker]:
    """Make one checker of each kind, in the table's order."""
    return [load(path) for path in CHECKERS.values()]


def load(path: str) -> Checker:
    """Make the checker at ``"module:Name"``."""
    module, _, name = path.partition(":")
    return cast("Checker", getattr(import_module(module), name)())


def judge(history: History, table: Sequence[Checker] | None = None) -> list[Finding]:
    """Return the finding of each checker that applies; a checker that raises is ``unknown`` and says why."""
    return [
        _finding(checker, history)
        for checker in (checkers() if table is None else table)
        if checker.applies(history.header)
    ]


def overall(findings: Sequence[Finding]) -> Verdict:
    """Return the worst verdict; unknown if nothing but the run itself was judged."""
    verdicts = [finding.verdict for finding in findings if finding.verdict is not None]
    if all(finding.checker == EVIDENCE for finding in findings if finding.verdict is not None):
        verdicts.append(Verdict.UNKNOWN)
    return max(verdicts)


def explained(findings: Sequence[Finding]) -> Mapping[tuple[str, str], str]:
    """Map each (checker, anomaly) in the findings to the template of its one-line message."""
    templates = {
        (checker.name, anomaly.name): anomaly.explain for checker in checkers() for anomaly in checker.anomalies
    }
    present = {(finding.checker, name) for finding in findings for name in [*finding.anomalies, *finding.warnings]}
    return {key: templates[key] for key in templates if key in present}


def _finding(checker: Checker, history: History) -> Finding:
    try:
        return checker.check(history)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in a checker, the verdict is unknown
        return Finding(checker.name, Verdict.UNKNOWN, error=f"{type(error).__name__}: {error}")
