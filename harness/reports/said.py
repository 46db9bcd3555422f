"""What every report says of a run in the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_WORST_FIRST: Final = ["invalid", "unknown", "valid", None]


def expected(document: Mapping[str, Any]) -> str:
    """``invalid with lost``: what the scenario expects."""
    found = document["expected"]
    return " with ".join(filter(None, [found["verdict"], ", ".join(found["find"])]))


def bad(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Findings with something in them, the worst first."""
    found = [one for one in document["findings"] if one["anomalies"] or one["error"]]
    return sorted(found, key=lambda one: _WORST_FIRST.index(one["verdict"]))


def counts(finding: Mapping[str, Any]) -> str:
    """``lost 2 of 412``: what one checker found, or that it failed."""
    found = [f"{name} {of(one['count'], finding['judged'])}" for name, one in finding["anomalies"].items()]
    return ", ".join([*found, *([f"the checker failed: {finding['error']}"] if finding["error"] else [])])


def of(count: int, judged: int) -> str:
    """``2 of 412``."""
    return f"{count} of {judged}" if judged >= count else str(count)


def judged(document: Mapping[str, Any]) -> str:
    """What was judged where nothing was found."""
    every = ", ".join(f"{one['checker']} ({one['judged']} judged)" for one in document["findings"])
    return every or "no checker applies to this system"


def bitten(faults: Sequence[Mapping[str, Any]]) -> str:
    """``3 of 4``."""
    return f"{sum('bit' in one for one in faults)} of {len(faults)}" if faults else "none"
