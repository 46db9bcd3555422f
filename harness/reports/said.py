"""Phrases that all reports of a run share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from harness.history import RUNS

_WORST_FIRST: Final = ["invalid", "unknown", "valid", None]


def expected(document: Mapping[str, Any]) -> str:
    """``invalid with lost``: what the scenario expects."""
    wish = document["expected"]
    return " with ".join(filter(None, [wish["verdict"], ", ".join(wish["find"])]))


def bad(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the findings with anomalies or an error, worst first."""
    findings = [finding for finding in document["findings"] if finding["anomalies"] or finding["error"]]
    return sorted(findings, key=lambda finding: _WORST_FIRST.index(finding["verdict"]))


def counts(finding: Mapping[str, Any]) -> str:
    """``lost 2 of 412``: what one checker found, or that it failed."""
    anomalies = [f"{name} {of(row['count'], finding['judged'])}" for name, row in finding["anomalies"].items()]
    return ", ".join([*anomalies, *([f"the checker failed: {finding['error']}"] if finding["error"] else [])])


def of(count: int, judged: int) -> str:
    """Write a share as ``2 of 412``, or only the count if it exceeds what was judged."""
    return f"{count} of {judged}" if judged >= count else str(count)


def judged(document: Mapping[str, Any]) -> str:
    """Say what was judged in a run without anomalies."""
    every = ", ".join(
        f"{finding['checker']} ({finding['judged']} judged)"
        for finding in document["findings"]
        if finding["verdict"] is not None
    )
    return every or "no checker applies to this system"


def run_id(directory: Path) -> str:
    """Return a run's id, which ends the name of its directory."""
    return directory.name.rpartition("-")[2]


def run(directory: Path) -> str:
    """Name a run as commands take it: its id if it is where runs usually are, otherwise its directory."""
    return run_id(directory) if directory.parent == RUNS else str(directory)


def bitten(faults: Sequence[Mapping[str, Any]]) -> str:
    """Say how many faults bit: ``3 of 4``."""
    return f"{sum('bit' in fault for fault in faults)} of {len(faults)}" if faults else "none"


def left_out(document: Mapping[str, Any]) -> Sequence[str]:
    """Say, a sentence each, what was left out because the system lacks it: the verdict does not cover it."""
    return [
        f"{' on '.join(filter(None, [one['what'], one['on']]))}: {one['why']}"
        for one in document.get("left_out") or ()
    ]


def label(document: Mapping[str, Any]) -> str:
    """Name the run: ``network setnx_only``, or ``network (3 left out)`` if it was not the whole scenario."""
    count = len(left_out(document))
    return f"{document['label']} ({count} left out)" if count else str(document["label"])
