"""Resolves a scenario's fault rows into one planned fault for each target, and checks them before anything starts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import FileError, PlanRefused, SystemLacks, nearest
from harness.faults import fault_type
from harness.faults.base import Fault, PlannedFault
from harness.faults.condition import Condition, awaited, condition
from harness.faults.targets import by_role, resolve
from harness.files import line_of
from harness.system import System

if TYPE_CHECKING:
    from harness.scenario import FaultLine, Scenario


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row of a scenario, or one target of it, that is left out on a system that lacks what it needs."""

    what: str
    """The fault, or ``reprocess`` or ``replay``."""
    on: str
    """The row's target, or one of those that it stands for; empty if the row has none."""
    why: str

    @property
    def said(self) -> str:
        """What is left out, and why, in words."""
        return f"{self.what}{f' on {self.on}' if self.on else ''} ({self.why})"

    def document(self) -> dict[str, str]:
        """The form that the plan's document holds."""
        return {"what": self.what, "on": self.on, "why": self.why}


Leave = Callable[[LeftOut], object]
"""Called with each target that is left out."""


def plan_rows(  # noqa: PLR0913 - the two files, and which rows
    scenario: Scenario,
    system: System,
    seed: int,
    path: str,
    *,
    leave: Leave | None = None,
    rows: Collection[int] | None = None,
) -> Iterator[list[PlannedFault]]:
    """Plan the faults of each row, or of some rows, in order.

    FileError says which row of the file at ``path`` is wrong, and why.

    With ``leave``, a target whose role matches nothing in the system is left out and passed to ``leave``.
    """
    number = 0
    for row, line in enumerate(scenario.faults):
        if rows is not None and row not in rows:
            continue
        field = f"faults[{row}]"
        try:
            planned = plan_line(line, system, seed, after=number, leave=leave, row=row + 1)
        except PlanRefused as refused:
            line_number = line_of(Path(path), ("faults", row))
            raise FileError(str(refused), path=path, line=line_number, field=field) from refused
        number += len(planned)
        yield planned


def plan_line(  # noqa: PLR0913 - a row and where it stands
    line: FaultLine,
    system: System,
    seed: int,
    *,
    after: int,
    leave: Leave | None = None,
    row: int | None = None,
) -> list[PlannedFault]:
    """Plan one row's faults, numbered from ``after`` + 1; PlanRefused says what is wrong. ``leave`` as in ``plan_rows``.

    A row that follows another becomes a single fault, however many targets it has: it acts where its message is.
    """
    fault = _fault(line)
    if line.on is None:
        raise PlanRefused(f"{line.fault} needs a target; write `on: …` with a {fault.target}'s name")
    try:
        targets = resolve(fault.target, line.on, system)
    except SystemLacks as lacks:
        if leave is None:
            raise
        leave(LeftOut(line.fault, line.on, str(lacks)))
        return []
    fitting: list[tuple[str, Condition | None]] = []
    for target in targets:
        try:
            _check(fault, target, line.on, system)
            fitting.append((target, condition(fault, target, line, system)))
        except SystemLacks as lacks:
            if leave is None:
                raise
            leave(LeftOut(line.fault, target, str(lacks)))
    if fitting and line.when is not None and line.when.follows is not None:
        return [_following(fault, line, fitting, f"f{after + 1}", seed, system, row)]
    ids = [f"f{number}" for number in range(after + 1, after + 1 + len(fitting))]
    return [
        PlannedFault(
            planned,
            fault,
            target,
            line.at,
            line.lasts if fault.heals else None,
            _seed(seed, planned),
            system,
            when,
            awaited(fault, target, system),
            row,
        )
        for planned, (target, when) in zip(ids, fitting, strict=True)
    ]


def _following(  # noqa: PLR0913, PLR0917 - the parts of a planned fault
    fault: Fault,
    line: FaultLine,
    fitting: Sequence[tuple[str, Condition | None]],
    name: str,
    seed: int,
    system: System,
    row: int | None,
) -> PlannedFault:
    if fault.target not in {"link", "replica"}:
        raise PlanRefused(
            f"follows: only a fault on a link or a replica can follow, and {fault.name} is on a {fault.target}; leave it out"
        )
    conditions = [when for _, when in fitting if when is not None]
    links = tuple(dict.fromkeys(link for when in conditions for link in when.links))
    targets = tuple(target for target, _ in fitting)
    if strange := {
        link for link in links if (link if fault.target == "link" else link.partition("->")[0]) not in targets
    }:
        raise PlanRefused(
            f"follows: `when` names {min(strange)}, which does not belong to {line.on}; let `on` and `when` name the same"
        )
    if fault.awaits is not None and fault.awaits.on is None and len(targets) > 1:
        raise PlanRefused(
            f"until: say on which link the other message is, `on: …`; what follows acts on one of {line.on}, and the links "
            "are several"
        )
    return PlannedFault(
        name,
        fault,
        line.on or "",
        line.at,
        line.lasts if fault.heals else None,
        _seed(seed, name),
        system,
        replace(conditions[0], links=links),
        awaited(fault, targets[0], system),
        row,
        targets,
    )


def overlaps(
    planned: PlannedFault, faults: Sequence[PlannedFault], duration: float
) -> list[tuple[PlannedFault, float]]:
    """Return the faults whose windows begin within this fault's window, with the seconds that both share.

    Windows are as scheduled; ``duration`` is the load's planned duration in seconds. A fault that waits for a message
    has no scheduled time, and so overlaps none.
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


def during(planned: PlannedFault, other: PlannedFault, duration: float) -> bool:
    """Whether a fault is scheduled within another's window; the same terms as ``overlaps``."""
    if planned.at is None or other.at is None:
        return False
    begin = _seconds(other.at, duration)
    return begin < _seconds(planned.at, duration) < begin + (other.lasts or 0.0)


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


def _check(fault: Fault, target: str, on: str, system: System) -> None:
    """Raise PlanRefused if the fault cannot break a target, or SystemLacks if a role stands for the target."""
    try:
        fault.check(target, system)
    except PlanRefused as refused:
        raise SystemLacks(str(refused)) if by_role(on, system) else refused from None


def _seed(seed: int, planned: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{planned}".encode()).digest()[:6])
