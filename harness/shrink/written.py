"""A scenario's values in the form that users write them, and back from the form that a plan records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness.scenario import AgainLine, FaultLine, LoadShape, Scenario
from harness.units import written

_FORMS: Final = {"rate": "1/s", "rejected": "1%", "large": "1%", "retry_after": "1s"}
"""A load's fields with a unit, and an example of it."""


def duration(seconds: float) -> str:
    """``700ms``, ``1.5s``: to the millisecond."""
    return written(round(seconds, 3), "1s")


def moment(at: float | str) -> str:
    """``25%``, ``3s``."""
    return duration(at) if isinstance(at, float) else at


def load(shape: LoadShape) -> dict[str, Any]:
    """``{uploads: 120, rate: 15/s}``: the fields that differ from their defaults."""
    fields = shape.model_dump(exclude_defaults=True)
    return {name: written(value, _FORMS[name]) if name in _FORMS else value for name, value in fields.items()}


def fault(line: FaultLine) -> dict[str, Any]:
    """``{fault: net.hang, on: "billing->redis", at: 25%, for: 2s}``, then the fault's own parameters."""
    return {
        "fault": line.fault,
        **({"on": line.on} if line.on is not None else {}),
        **({"at": moment(line.at)} if line.at is not None else {}),
        **({"when": line.when.model_dump(exclude_defaults=True)} if line.when is not None else {}),
        **({"for": duration(line.lasts)} if line.lasts is not None else {}),
        **line.parameters(),
    }


def again(line: AgainLine) -> dict[str, Any]:
    """``{reprocess: 15, at: 60%}``."""
    return {line.op: line.reprocess if line.reprocess is not None else line.replay, "at": moment(line.at)}


def recorded(document: Mapping[str, Any]) -> Scenario:
    """Return the scenario that a plan's document records; pydantic's ValidationError if it is of another format."""
    return Scenario.model_validate({**document, "faults": [_line(row) for row in document.get("faults", [])]})


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    """A plan records every field, under its name in the model and with its default."""
    said = {("for" if name == "lasts" else name): value for name, value in row.items() if value is not None}
    if "when" in said:
        when = {name: value for name, value in said["when"].items() if value is not None}
        # A plan records the default of ``nth`` even where ``every`` was written.
        said["when"] = {name: value for name, value in when.items() if name != "nth" or "every" not in when}
    return said
