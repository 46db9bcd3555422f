"""Resolves scenario, system, variant and seed into what will happen, and refuses what cannot. Starts nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import rfc8785

from harness.addresses import load_addresses
from harness.errors import FileError, PlanRefused, UsageError, nearest
from harness.faults.base import PlannedFault
from harness.faults.plan import plan_faults
from harness.files import line_of, load
from harness.load.locust_load import Users
from harness.redaction import Redaction
from harness.scenario import Expected, Scenario
from harness.stack import Stack
from harness.stacks import TABLE as STACKS
from harness.system import System, UploadLoad, checks

LARGEST_SEED = 2**53 - 1
"""Canonical JSON has no larger integers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemPlan:
    """A system that will be up, resolved and checked: a plan without a scenario.

    ``document`` is all of the plan as JSON values, without secrets. ``seed`` is what faults draw from.
    """

    runs: ClassVar[bool] = False
    """Whether it ends by itself, and is judged."""
    system: System
    system_path: Path
    variant: str | None
    seed: int
    stack: str
    document: Mapping[str, Any]
    addresses: Path | None = None
    """The addresses file of the external stack."""
    faults: tuple[PlannedFault, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the document: what "same seed" means."""
        return hashlib.sha256(rfc8785.dumps(dict(self.document))).hexdigest()

    @property
    def label(self) -> str:
        """What its directory is named after."""
        return "up"

    def about(self) -> dict[str, object]:
        """What the history's header says of it besides."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(SystemPlan):
    """What will happen in a run."""

    runs = True
    scenario: Scenario
    system_given: bool
    """Whether the system file was named beside the scenario, and must be to repeat the run."""
    scenario_path: Path
    users: Users | None
    """Who makes the load in place of the scenario's own uploads."""

    @property
    def expected(self) -> Expected:
        """What the scenario says that this run must come out as."""
        return self.scenario.expect if self.variant is None else self.scenario.variants[self.variant]

    @property
    def front_door(self) -> UploadLoad:
        """Where the load goes."""
        return self.system.load.upload

    @property
    def label(self) -> str:
        """``redis-outage``, or ``redis-outage setnx_only``."""
        return f"{self.scenario.name} {self.variant}" if self.variant else self.scenario.name

    def about(self) -> dict[str, object]:
        """What the history's header says of it besides."""
        return {
            "expected": self.expected.model_dump(),
            "system_given": self.system_given,
            "scenario_path": os.path.relpath(self.scenario_path),
        }


def plan_system(  # noqa: PLR0913 - what a command's words are
    path: Path | None, here: Path, *, variant: str | None, stack: str, seed: int, addresses: Path | None = None
) -> SystemPlan:
    """The plan to have a system up, without a path the nearest to ``here``; UsageError, FileError or PlanRefused."""
    path = path or nearest_system(here)
    if path is None:
        raise UsageError("no system.yaml is here or above; name one: --system FILE")
    system, chosen = _resolved(path, variant, stack, addresses)
    return SystemPlan(
        system=system,
        system_path=path,
        variant=variant,
        seed=seed,
        stack=chosen,
        document=_document(system, variant, seed, chosen),
        addresses=addresses,
    )


def make_plan(  # noqa: PLR0913 - what a run consists of
    scenario_path: Path,
    *,
    system_path: Path | None,
    variant: str | None,
    seed: int,
    stack: str,
    addresses: Path | None = None,
    users: Users | None = None,
) -> Plan:
    """The plan of one run; FileError or PlanRefused say what is wrong, and where."""
    if not 0 <= seed <= LARGEST_SEED:
        raise PlanRefused(f"the seed {seed} is out of range; allowed are 0 to {LARGEST_SEED}")
    scenario = load(scenario_path, Scenario)
    given = system_path is not None
    system_path = system_path or find_system(scenario, scenario_path)
    system, chosen = _resolved(system_path, variant, stack, addresses)
    _check_expectations(scenario, scenario_path, system)
    if scenario.load.batch > 1 and not system.load.upload.batches:
        raise PlanRefused(
            f"{scenario_path}: load.batch: the front door is not told of batches; write `fields: {{batch_id: "
            f'"{{batch}}"}}` under load.upload in {system_path}'
        )
    _check_again(scenario, scenario_path, system, system_path)
    faults = tuple(plan_faults(scenario, system, seed, str(scenario_path)))
    if variant is not None and variant not in scenario.variants:
        # Without an expectation of its own a variant is held to what the system must do.
        scenario = scenario.model_copy(update={"variants": {**scenario.variants, variant: scenario.expect}})
    return Plan(
        scenario=scenario,
        system=system,
        system_path=system_path,
        system_given=given,
        scenario_path=scenario_path,
        variant=variant,
        seed=seed,
        stack=chosen,
        users=users,
        faults=faults,
        document=_document(system, variant, seed, chosen, scenario=scenario, faults=faults, users=users),
        addresses=addresses,
    )


def _resolved(path: Path, variant: str | None, stack: str, addresses: Path | None) -> tuple[System, str]:
    """The system as it is read where it runs, and the name of the stack."""
    system = load(path, System)
    check_variant(system, path, variant)
    chosen = choose_stack(system, stack, addresses)
    return where_it_runs(system, addresses, variant), chosen


def _document(  # noqa: PLR0913 - what a plan consists of
    system: System,
    variant: str | None,
    seed: int,
    stack: str,
    *,
    scenario: Scenario | None = None,
    faults: Sequence[PlannedFault] = (),
    users: Users | None = None,
) -> Mapping[str, Any]:
    document = {
        "format": 1,
        "stack": stack,
        "seed": seed,
        "variant": variant,
        "scenario": scenario.model_dump(mode="json", exclude={"system"}) if scenario is not None else None,
        "system": system.model_dump(mode="json"),
        "faults": [fault.document() for fault in faults],
        "checks": checks(system),
        **({"users": users.document()} if users is not None else {}),
    }
    # Before the digest: it can be compared with what is recorded, tells nothing of a password, and outlives a new one.
    return Redaction(system).plan(document)


def refuse_fault(planned: PlannedFault, stack: Stack) -> None:
    """Refuse one fault that this stack cannot perform on its target, with its reason."""
    for need in planned.fault.needs:
        if reason := stack.lacks(need, planned.target):
            raise PlanRefused(f"{planned.fault.name} on {planned.target}: the {stack.name} stack cannot: {reason}")


def find_system(scenario: Scenario, scenario_path: Path) -> Path:
    """The scenario's own ``system:``, else the nearest system.yaml upward."""
    if scenario.system is not None:
        return (scenario_path.parent / scenario.system).resolve()
    if found := nearest_system(scenario_path.resolve().parent):
        return found
    raise FileError(
        "names no system, and no system.yaml is beside it or above; write `system: PATH`, or give --system FILE",
        path=str(scenario_path),
    )


def nearest_system(folder: Path) -> Path | None:
    """The nearest system.yaml in ``folder`` or above it."""
    return next((at / "system.yaml" for at in (folder, *folder.parents) if (at / "system.yaml").is_file()), None)


def check_variant(system: System, path: Path, variant: str | None) -> None:
    """PlanRefused unless the system at ``path`` has this variant; None is the system as it is."""
    known = sorted(system.variants.find) if system.variants else []
    if variant is not None and variant not in known:
        raise PlanRefused(
            f"{path}: no variant {variant!r}; known are {', '.join(known) or 'none'}{nearest(variant, known)}"
        )


def _check_expectations(scenario: Scenario, path: Path, system: System) -> None:
    known = sorted(system.variants.find) if system.variants else []
    for name in scenario.variants:
        if name not in known:
            raise FileError(
                f"the system has no variant {name!r}; known are {', '.join(known) or 'none'}{nearest(name, known)}",
                path=str(path),
                field=f"variants.{name}",
            )


def _check_again(scenario: Scenario, path: Path, system: System, system_path: Path) -> None:
    for row, line in enumerate(scenario.again):
        reason = None
        if (system.reprocess if line.op == "reprocess" else system.replay) is None:
            reason = (
                f"the system does not say how; write `{line.op}: {{post: …}}` or `{{command: …}}` in {system_path}"
            )
        elif line.op == "replay" and system.dead_letters is None:
            reason = f"the system does not say where its dead letters are; write `dead_letters:` in {system_path}"
        elif line.op == "reprocess" and all(rule.of != "upload" for rule in system.outcomes):
            reason = (
                f"no outcome of an upload is known, so none can be waited for; write `outcomes:` in {system_path}"
            )
        if reason is not None:
            where = line_of(path, ("again", row))
            raise FileError(f"{line.op}: {reason}", path=str(path), line=where, field=f"again[{row}]")


def choose_stack(system: System, asked: str, addresses: Path | None) -> str:
    """The name of the stack that ``asked`` (``auto`` or a name) comes to; PlanRefused if it cannot be that one.

    Who gives an addresses file means the external one.
    """
    if asked not in {"auto", *STACKS}:
        known = ["auto", *STACKS]
        raise PlanRefused(f"there is no stack {asked!r}{nearest(asked, known)}; known are {', '.join(known)}")
    if addresses is not None and asked not in {"auto", "external"}:
        raise PlanRefused(
            f"--addresses says where the external stack is, and the {asked} one starts its own; leave one out"
        )
    if addresses is not None:
        return "external"
    if asked == "external":
        raise PlanRefused("the external stack runs already; say where: --addresses FILE")
    images = sorted(name for name, service in system.services.items() if service.command is None)
    commands = sorted(name for name, service in system.services.items() if service.image is None)
    stack = ("docker" if images else "native") if asked == "auto" else asked
    if stack == "native" and images:
        raise PlanRefused(
            f"services.{images[0]} is an image; the native stack starts commands: run with --stack docker"
        )
    if stack == "docker" and commands:
        raise PlanRefused(
            f"services.{commands[0]} has no image, which the docker stack starts; write one, or run with --stack native"
        )
    return stack


def where_it_runs(system: System, addresses: Path | None, variant: str | None) -> System:
    """The system as it is read there; PlanRefused for a variant of what runs already, FileError if it is off."""
    if addresses is None:
        return system
    if variant is not None:
        raise PlanRefused(
            f"variant {variant}: the external stack starts nothing; start it so yourself, and give none"
        )
    return load_addresses(addresses, system).laid_over(system)
