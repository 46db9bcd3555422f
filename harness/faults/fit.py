"""How a scenario fits a system: what its roles stand for there, and what is left out since the system lacks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import FileError, PlanRefused, SystemLacks
from harness.faults import fault_type
from harness.faults.base import PlannedFault, Target
from harness.faults.condition import for_target
from harness.faults.plan import LeftOut, plan_rows
from harness.faults.roles import ENDS, TOPICS, ends, is_role
from harness.faults.targets import by_role, resolve
from harness.files import line_of
from harness.scenario import AgainLine, FaultLine, Scenario
from harness.system import System


@dataclass(frozen=True, slots=True)
class Fit:
    """A scenario as it is run on one system."""

    scenario: Scenario
    """The scenario without what is left out."""
    faults: tuple[PlannedFault, ...]
    left_out: tuple[LeftOut, ...]
    roles: Mapping[str, Sequence[str]]
    """Each target that was written with a role, and the names that it stands for."""


def fit(  # noqa: PLR0913 - the two files, and what decides between them
    scenario: Scenario, path: Path, system: System, system_path: Path, seed: int, *, elsewhere: bool
) -> Fit:
    """Plan the scenario's rows. Raises FileError or PlanRefused if one is wrong, SystemLacks if too little is left.

    ``elsewhere``: the system was given separately, and the scenario may be written for another. Then a row whose role
    matches nothing in the system is left out, and so are variants that it lacks. In a scenario's own system either is a
    mistake.
    """
    _has_what_it_needs(scenario, path, system, system_path)
    left_out: list[LeftOut] = []
    planned = list(plan_rows(scenario, system, seed, str(path), leave=left_out.append if elsewhere else None))
    again = _again(scenario, path, system, system_path, left_out if elsewhere else None)
    if (scenario.faults and not any(planned)) or (scenario.again and not again):
        rows = "requests" if scenario.again and not again else "faults"
        gone = [one.said for one in left_out if not one.on or rows == "faults"]
        raise SystemLacks(
            f"{path}: none of the {rows} of {scenario.name} fits {system_path}: {'; '.join(dict.fromkeys(gone))}"
        )
    faults = [kept for line, some in zip(scenario.faults, planned, strict=True) for kept in _kept(line, some, system)]
    known = system.variants.find if system.variants is not None else {}
    variants = {name: wish for name, wish in scenario.variants.items() if not elsewhere or name in known}
    return Fit(
        scenario.model_copy(update={"faults": faults, "again": again, "variants": variants}),
        tuple(fault for some in planned for fault in some),
        tuple(left_out),
        _roles(faults, system),
    )


def _kept(line: FaultLine, planned: Sequence[PlannedFault], system: System) -> list[FaultLine]:
    """Return the row as written if all its targets are left, else a row for each target that is left."""
    targets = [fault.target for fault in planned]
    if not targets or targets == resolve(planned[0].fault.target, line.on or "", system):
        return [line] if targets else []
    return [for_target(line, target, system) for target in targets]


def _roles(faults: Sequence[FaultLine], system: System) -> dict[str, list[str]]:
    roles = {
        line.on: resolve(fault_type(line.fault).target, line.on, system)
        for line in faults
        if line.on is not None and by_role(line.on, system)
    }
    cut = [name for line in faults for name in line.parameters().get("from") or () if is_role(name, ENDS, system)]
    return roles | {name: sorted(ends(name, system) or ()) for name in cut}


def _has_what_it_needs(scenario: Scenario, path: Path, system: System, system_path: Path) -> None:
    for need in scenario.needs:
        target: Target = "link" if "->" in need else "topic" if is_role(need, TOPICS, system) else "cut"
        try:
            resolve(target, need, system)
        except PlanRefused as refused:
            raise SystemLacks(f"{path}: {scenario.name} does not fit {system_path}: {refused}") from refused


def refused(scenario: Scenario, path: Path, system: System, system_path: Path) -> Iterator[FileError]:
    """Yield an error for each row of ``again`` that the system cannot perform."""
    for row, line in enumerate(scenario.again):
        if (reason := _unasked(line, system, system_path)) is not None:
            where = line_of(path, ("again", row))
            yield FileError(f"{line.op}: {reason}", path=str(path), line=where, field=f"again[{row}]")


def _again(
    scenario: Scenario, path: Path, system: System, system_path: Path, left_out: list[LeftOut] | None
) -> list[AgainLine]:
    """Return the rows of ``again`` that the system can perform; FileError for another if none may be left out."""
    if left_out is None:
        for error in refused(scenario, path, system, system_path):
            raise error
        return list(scenario.again)
    reasons = [(line, _unasked(line, system, system_path)) for line in scenario.again]
    left_out += [LeftOut(line.op, "", reason) for line, reason in reasons if reason is not None]
    return [line for line, reason in reasons if reason is None]


def _unasked(line: AgainLine, system: System, system_path: Path) -> str | None:
    """Say why the system cannot perform a row of ``again``; None if it can."""
    if (system.reprocess if line.op == "reprocess" else system.replay) is None:
        return f"the system does not say how; write `{line.op}: {{post: …}}` or `{{command: …}}` in {system_path}"
    if line.op == "replay" and system.dead_letters is None:
        return f"the system does not say where its dead letters are; write `dead_letters:` in {system_path}"
    if line.op == "reprocess" and all(rule.of != "upload" for rule in system.outcomes):
        return f"the system file has no outcome of an upload to wait for; write `outcomes:` in {system_path}"
    return None
