"""Judges histories in which something was planted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from harness.calibrate.tape import Tape
from harness.calibration import Answer
from harness.checkers.judge import judge, overall
from harness.history.reader import History
from harness.verdict import Finding, Verdict

BLIND: Final[Mapping[str, str]] = {"multiplicity_unseen": "duplicate", "total_cancels": "total"}
"""Anomaly of a run with nothing planted -> the control that could not be seen in such a run."""


def judged(tape: Tape, folder: Path) -> list[Finding]:
    """Write a tape as a history into ``folder``, and judge it as any other."""
    with History(tape.write(folder / "history.jsonl")) as history:
        return judge(history)


def names(findings: Sequence[Finding]) -> list[str]:
    """Return the anomalies found, without warnings."""
    return sorted({name for finding in findings for name in finding.anomalies})


def shows(findings: Sequence[Finding], wanted: Collection[str], about: Mapping[str, Collection[object]]) -> list[str]:
    """Return the wanted anomalies with a row that has one of the given values in each column of ``about``."""
    return sorted(
        {
            name
            for finding in findings
            for name, rows in finding.anomalies.items()
            if name in wanted
            and any(all(row.get(column) in values for column, values in about.items()) for row in rows)
        }
    )


def fit(findings: Sequence[Finding]) -> bool:
    """Whether controls on a run mean something: with nothing planted it is valid, or only known to be blind."""
    if any(finding.error for finding in findings):
        return False
    return overall(findings) is Verdict.VALID or (bool(names(findings)) and set(names(findings)) <= BLIND.keys())


def blind(findings: Sequence[Finding], control: str, consumer: str) -> bool:
    """Whether the run with nothing planted already shows that this control could not be seen."""
    saying = [name for name, blinded in BLIND.items() if blinded == control]
    return bool(shows(findings, saying, {"consumer": [consumer]}))


def answer(
    findings: Sequence[Finding], wanted: Collection[str], about: Mapping[str, Collection[object]], how: str
) -> tuple[Answer, str]:
    """Return whether the planted control is seen, even if only as another anomaly, and a description."""
    if found := shows(findings, wanted, about):
        return "seen", f"{how}: {', '.join(found)}"
    others = ", ".join(names(findings))
    if overall(findings) is Verdict.INVALID:
        return "seen", f"{how}: {others}"
    return "unseen", f"{how}, and the run is {overall(findings).word}" + (f" ({others})" if others else "")
