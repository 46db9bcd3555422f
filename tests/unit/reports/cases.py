"""Cases as a gate makes them."""

from pathlib import Path
from typing import Any

from harness.reports.case import Case


def document(verdict: str = "valid", *, expected: str = "valid", anomalies: dict[str, int] | None = None) -> Any:
    told = {
        name: {"count": count, "told": [{"said": f"{name} it is", "story": ""}], "rows": []}
        for name, count in (anomalies or {}).items()
    }
    finding = {"checker": "exactly one effect", "verdict": verdict, "judged": 40, "error": ""}
    figures = dict.fromkeys(["operations", "acknowledged", "refused", "unknown", "events", "records", "effects"], 40)
    fault = {"fault": "f1", "name": "net.hang", "target": "ledger#1->redis", "evidence": {}, "injected": 1.0}
    return {
        "verdict": verdict,
        "expected": {"verdict": expected, "find": []},
        "as_expected": verdict == expected,
        "label": "outage",
        "seed": 41,
        "complete": True,
        "again": "oneffect run outage --seed 41",
        "figures": {**figures, "duration": 3.0, "under_fault": 0},
        "faults": [{**fault, "bit": 1.1}, {**fault, "fault": "f2", "bit": 1.2}],
        "findings": [{**finding, "anomalies": told, "warnings": {}}],
    }


def case(
    scenario: str = "outage",
    variant: str | None = None,
    made: Any = None,
    *,
    error: str = "",
    directory: Path = Path("runs/one"),
) -> Case:
    told = None if error else made or document()
    return Case(
        scenario, variant, Path("scenarios/outage.yaml"), 12.5, directory=directory, document=told, error=error
    )
