"""Resolves a scenario's fault rows into one planned fault for each target, and checks them before anything starts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import FileError, PlanRefused, nearest
from harness.faults import fault_type
from harness.faults.base import Fault, PlannedFault
from harness.faults.condition import awaited, condition
from harness.faults.targets import resolve
from harness.files import line_of
from harness.system import System

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from harness.scenario import FaultLine, Scenario


def plan_faults(
    scenario: Scenario, system: System, seed: int, path: str, rows: Collection[int] | None = None
) -> Iterator[PlannedFault]:
    """Plan the scenario's faults, or those of some rows, in order.

    FileError says which row of the file at ``path`` is wrong, and why.
    """
    number = 0
    for row, line in enumerate(scenario.faults):
        if rows is not None and row not in rows:
            continue
        field = f"faults[{row}]"
        try:
            planned = plan_line(line, system, seed, after=number)
        except PlanRefused as refused:
            line_number = line_of(Path(path), ("faults", row))
            raise FileError(str(refused), path=path, line=line_number, field=field) from refused
        number += len(planned)
        yield from planned


def plan_line(line: FaultLine, system: System, seed: int, *, after: int) -> list[PlannedFault]:
    """Plan one row's faults, numbered from ``after`` + 1; PlanRefused says what is wrong."""
    fault = _fault(line)
    targets = _targets(fault, line, system)
    ids = [f"f{number}" for number in range(after + 1, after + 1 + len(targets))]
    return [
        PlannedFault(
            planned,
            fault,
            target,
            line.at,
            line.lasts if fault.heals else None,
            _seed(seed, planned),
            system,
            condition(fault, target, line, system),
            awaited(fault, target, system),
        )
        for planned, target in zip(ids, targets, strict=True)
    ]


def overlaps(
    planned: PlannedFault, faults: Sequence[PlannedFault], duration: float
) -> list[tuple[PlannedFault, float]]:
    """Return the faults whose windows begin within this fault's window, with the seconds that both share.

    Both as scheduled; ``duration`` is the load's planned duration in seconds. A fault that waits for a message has no moment,
    and so no place in the schedule.
    """
    if planned.at is None:
        return []
    begin = _seconds(planned.at, duration)
    end = begin + (planned.lasts or 0.0)
    starts = [
        (other, other.lasts, _seconds(other.at, duration))
        for other in faults
        if other.lasts is not None and other.at is not None
    ]
    return [(other, min(end, start + lasts) - start) for other, lasts, start in starts if begin < start < end]


def _seconds(moment: float | str, duration: float) -> float:
    return moment if isinstance(moment, float) else float(moment.rstrip("%")) / 100 * duration


def _fault(line: FaultLine) -> Fault:
    kind = fault_type(line.fault)
    if kind.heals and line.lasts is None:
        raise PlanRefused(f"{line.fault} heals, so say how long it lasts: `for: 3s`")
    own = {} if kind.heals or line.lasts is None else {"for": line.lasts}
    if own and not own.keys() <= {field.alias for field in kind.model_fields.values()}:
        raise PlanRefused(f"{line.fault} does not heal, so it takes no `for`; leave it out")
    try:
        return kind.model_validate(line.parameters() | own)
    except ValidationError as error:
        raise PlanRefused("; ".join(_reason(kind, problem) for problem in error.errors())) from error


def _reason(kind: type[Fault], problem: Any) -> str:  # noqa: ANN401 - pydantic's own description
    name = ".".join(map(str, problem["loc"]))
    allowed = sorted(field.alias or name for name, field in kind.model_fields.items())
    if problem["type"] == "extra_forbidden":
        return f"{name}: {kind.name} has no such parameter{nearest(name, allowed)}; it takes {', '.join(allowed) or 'none'}"
    return f"{name}: {problem['msg']}"


def _targets(fault: Fault, line: FaultLine, system: System) -> list[str]:
    if line.on is None:
        raise PlanRefused(f"{line.fault} needs a target; write `on: …` with a {fault.target}'s name")
    targets = resolve(fault.target, line.on, system)
    for target in targets:
        fault.check(target, system)
    return targets


def _seed(seed: int, planned: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{planned}".encode()).digest()[:6])
