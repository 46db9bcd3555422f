"""Resolves scenario, system, variant and seed into a plan, and refuses what cannot work. Starts nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import rfc8785

from harness.addresses import Addresses, load_addresses
from harness.calibration import in_plan
from harness.errors import FileError, OneffectError, PlanRefused, UsageError, nearest
from harness.faults.base import PlannedFault
from harness.faults.fit import Fit, fit, refused
from harness.faults.plan import LeftOut, plan_rows
from harness.files import line_of, load
from harness.load.locust_load import Users
from harness.load.own_files import check_files
from harness.redaction import Redaction
from harness.scenario import Expected, Scenario
from harness.stack import Stack, Tapping
from harness.stacks import TABLE as STACKS
from harness.system import System, checks
from harness.system_load import UploadLoad
from harness.taps import TABLE as PROTOCOLS
from harness.taps import protocol

LARGEST_SEED = 2**53 - 1
"""The largest integer of canonical JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemPlan:
    """A resolved and checked system to hold up: a plan without a scenario.

    ``document`` is the whole plan as JSON values, without secrets. ``seed`` is the source of the faults' randomness.
    """

    runs: ClassVar[bool] = False
    """Whether it ends by itself and is judged."""
    system: System
    system_path: Path
    variant: str | None
    seed: int
    stack: str
    document: Mapping[str, Any]
    addresses: Path | None = None
    """Addresses file of the external stack."""
    adopted: Addresses | None = None
    """Addresses of the broker and the stores that a test already has."""
    faults: tuple[PlannedFault, ...] = ()

    @property
    def folder(self) -> Path:
        """The system file's folder, where its commands run."""
        return self.system_path.absolute().parent

    @property
    def taps(self) -> Mapping[str, str]:
        """The links that get a tap, and the protocol of each."""
        return {}

    @property
    def needs_taps(self) -> bool:
        """Whether it requires its taps; faults that may also act by the clock do not."""
        return False

    @property
    def digest(self) -> str:
        """SHA-256 of the document, which defines "same seed"."""
        return hashlib.sha256(rfc8785.dumps(dict(self.document))).hexdigest()

    @property
    def label(self) -> str:
        """The name for its directory."""
        return "up"

    def about(self) -> dict[str, object]:
        """Further fields for the history's header."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(SystemPlan):
    """Everything that will happen in a run."""

    runs = True
    scenario: Scenario
    system_given: bool
    """Whether the system file was given beside the scenario, as it must be again to repeat the run."""
    scenario_path: Path
    users: Users | None
    """Locust's users, in place of the scenario's own uploads."""
    left_out: tuple[LeftOut, ...] = ()
    """The parts of the scenario that the system lacks; ``scenario`` is without them."""
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Each target that was written with a role, and the names that it stands for."""

    @property
    def taps(self) -> Mapping[str, str]:
        """The links that get a tap, with their protocols: those that conditions name, or all that a tap can parse."""
        known = understood(self.system)
        if self.scenario.taps == "all":
            return known
        conditions = [one for planned in self.faults for one in (planned.when, planned.until) if one is not None]
        named = {link for condition in conditions for link in condition.links}
        return {link: known[link] for link in sorted(named)}

    @property
    def needs_taps(self) -> bool:
        """Whether it requires its taps; faults that may also act by the clock do not."""
        return self.scenario.taps == "all" or any(
            planned.when is not None and planned.at is None for planned in self.faults
        )

    @property
    def expected(self) -> Expected:
        """What the scenario expects of this run."""
        return self.scenario.expect if self.variant is None else self.scenario.variants[self.variant]

    @property
    def front_door(self) -> UploadLoad:
        """The front door that takes uploads over HTTP; PlanRefused if there is none."""
        if self.system.load.upload is None:
            raise PlanRefused(
                f"{self.system_path}: load: nothing is uploaded over HTTP, so there is no front door with a URL"
            )
        return self.system.load.upload

    @property
    def label(self) -> str:
        """``redis-outage``, or ``redis-outage setnx_only``."""
        return f"{self.scenario.name} {self.variant}" if self.variant else self.scenario.name

    def about(self) -> dict[str, object]:
        """Further fields for the history's header."""
        return {
            "expected": self.expected.model_dump(),
            "system_given": self.system_given,
            "scenario_path": os.path.relpath(self.scenario_path),
        }


def understood(system: System) -> Mapping[str, str]:
    """Return the protocol of each link whose protocol a tap understands."""
    spoken = {f"{replica}->{target}": protocol(system, target) for replica, target in system.links()}
    return {link: name for link, name in spoken.items() if name in PROTOCOLS}


def plan_system(  # noqa: PLR0913 - a command's options
    path: Path | None, here: Path, *, variant: str | None, stack: str, seed: int, addresses: Path | None = None
) -> SystemPlan:
    """Plan to hold a system up, by default the one nearest to ``here``; UsageError, FileError or PlanRefused."""
    path = path or nearest_system(here)
    if path is None:
        raise UsageError("there is no system.yaml here or above; name one: --system FILE")
    system, chosen = _resolved(path, variant, stack, addresses)
    return SystemPlan(
        system=system,
        system_path=path,
        variant=variant,
        seed=seed,
        stack=chosen,
        document={**_document(system, variant, seed, chosen), **in_plan(path)},
        addresses=addresses,
    )


def plan_adopted(system: System, at: Addresses, path: Path, *, seed: int) -> SystemPlan:
    """Plan for a system that is described in code; ``path`` stands in for its file, and must be unique to this plan."""
    document = _document(system, None, seed, "adopted")
    return SystemPlan(
        system=system, system_path=path, variant=None, seed=seed, stack="adopted", document=document, adopted=at
    )


def make_plan(  # noqa: PLR0913 - the parts of a run
    scenario_path: Path,
    *,
    system_path: Path | None,
    variant: str | None,
    seed: int,
    stack: str,
    addresses: Path | None = None,
    users: Users | None = None,
    calibrated: bool = True,
) -> Plan:
    """Plan one run; FileError or PlanRefused says what is wrong, and where.

    ``calibrated``: whether to include the system's calibration, if it has one.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise PlanRefused(f"the seed {seed} is out of range; allowed: 0 to {LARGEST_SEED}")
    scenario = load(scenario_path, Scenario)
    given = system_path is not None
    system_path = system_path or find_system(scenario, scenario_path)
    system, chosen = _resolved(system_path, variant, stack, addresses)
    for misfit in _misfits(scenario, scenario_path, system, system_path, elsewhere=given):
        raise misfit
    if users is not None and system.load.upload is None:
        raise PlanRefused(
            f"{system_path}: load: Locust's users upload over HTTP, and this system has no front door that takes them; "
            "leave --users out (`oneffect run`), or write `load: {upload: …}`"
        )
    if users is not None and system.load.upload is not None and not system.load.upload.plain:
        raise PlanRefused(
            f"{system_path}: load.upload: Locust's users send generated documents in multipart forms by POST, with the "
            "upload's id in a header; for this front door, leave --users out (`oneffect run`)"
        )
    fitting = fit(scenario, scenario_path, system, system_path, seed, elsewhere=given)
    scenario = fitting.scenario
    if variant is not None and variant not in scenario.variants:
        # A variant without an expectation must meet the system's.
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
        faults=fitting.faults,
        left_out=fitting.left_out,
        roles=fitting.roles,
        document={
            **_document(system, variant, seed, chosen, scenario=scenario, fitting=fitting, users=users),
            **(in_plan(system_path) if calibrated else {}),
        },
        addresses=addresses,
    )


def _resolved(path: Path, variant: str | None, stack: str, addresses: Path | None) -> tuple[System, str]:
    """Load the system for where it runs; return it with the name of its stack."""
    system = load(path, System)
    check_variant(system, path, variant)
    check_files(system, path)
    chosen = choose_stack(system, stack, addresses)
    return where_it_runs(system, addresses, variant), chosen


def _document(  # noqa: PLR0913 - the parts of a plan
    system: System,
    variant: str | None,
    seed: int,
    stack: str,
    *,
    scenario: Scenario | None = None,
    fitting: Fit | None = None,
    users: Users | None = None,
) -> Mapping[str, Any]:
    document = {
        "format": 1,
        "stack": stack,
        "seed": seed,
        "variant": variant,
        "scenario": scenario.model_dump(mode="json", exclude={"system", "needs"}) if scenario is not None else None,
        "system": system.model_dump(mode="json"),
        "faults": [fault.document() for fault in fitting.faults] if fitting is not None else [],
        "checks": checks(system),
        **({"users": users.document()} if users is not None else {}),
        **({"roles": dict(fitting.roles)} if fitting is not None and fitting.roles else {}),
        **(
            {"left_out": [one.document() for one in fitting.left_out]}
            if fitting is not None and fitting.left_out
            else {}
        ),
    }
    # Redact before the digest, so that it matches the recorded plan, reveals no password, and survives a new one.
    return Redaction(system).plan(document)


def refuse_fault(planned: PlannedFault, stack: Stack) -> None:
    """Raise PlanRefused, with the reason, if the stack cannot perform a fault on its target."""
    needs = [*planned.fault.needs, *([Tapping] if planned.when is not None and planned.at is None else [])]
    for need, target in product(needs, planned.among or (planned.target,)):
        if reason := stack.lacks(need, target):
            raise PlanRefused(f"{planned.fault.name} on {target}: the {stack.name} stack cannot: {reason}")


def refuse_taps(plan: SystemPlan, stack: Stack) -> None:
    """Raise PlanRefused, with the reason, if the plan needs taps and the stack's links cannot lead through them."""
    if plan.needs_taps and (reason := stack.lacks(Tapping)):
        raise PlanRefused(f"taps: the {stack.name} stack cannot: {reason}")


def find_system(scenario: Scenario, scenario_path: Path) -> Path:
    """Return the scenario's own ``system:``, else the nearest system.yaml upward; FileError if neither exists."""
    if scenario.system is not None:
        return (scenario_path.parent / scenario.system).resolve()
    if nearby := nearest_system(scenario_path.resolve().parent):
        return nearby
    raise FileError(
        "names no system, and there is no system.yaml beside it or above; write `system: PATH`, or give --system FILE",
        path=str(scenario_path),
    )


def nearest_system(folder: Path) -> Path | None:
    """Return the nearest system.yaml in ``folder`` or above it; None if there is none."""
    return next((at / "system.yaml" for at in (folder, *folder.parents) if (at / "system.yaml").is_file()), None)


def check_variant(system: System, path: Path, variant: str | None) -> None:
    """Raise PlanRefused unless the system at ``path`` has the variant; None is the system as it is."""
    variants = sorted(system.variants.find) if system.variants else []
    if variant is not None and variant not in variants:
        raise PlanRefused(
            f"{path}: no variant {variant!r}{nearest(variant, variants)}; known: {', '.join(variants) or 'none'}"
        )


def misfits(
    scenario: Scenario, path: Path, system: System, system_path: Path, *, elsewhere: bool
) -> Iterator[OneffectError]:
    """Yield everything that a scenario asks for and the system cannot give; ``make_plan`` raises the first.

    ``elsewhere``: the system was named beside the scenario, so what it lacks is left out where possible.
    """
    yield from _misfits(scenario, path, system, system_path, elsewhere=elsewhere)
    if not elsewhere:
        yield from refused(scenario, path, system, system_path)
    for row in range(len(scenario.faults)):
        try:
            list(plan_rows(scenario, system, 0, str(path), rows=(row,), leave=_left_out if elsewhere else None))
        except FileError as error:
            yield error


def _left_out(_: LeftOut) -> None:
    """Ignore what is left out of a scenario: it is no mistake."""


def _misfits(
    scenario: Scenario, path: Path, system: System, system_path: Path, *, elsewhere: bool
) -> Iterator[OneffectError]:
    variants = sorted(system.variants.find) if system.variants else []
    for name in scenario.variants:
        if name not in variants and not elsewhere:
            yield FileError(
                f"the system has no variant {name!r}{nearest(name, variants)}; known: {', '.join(variants) or 'none'}",
                path=str(path),
                field=f"variants.{name}",
            )
    if scenario.load.batch > 1 and not system.load.batches:
        what, where, how = "events name", "load.publish", '`batch: "{batch}"` in the value'
        if system.load.upload is not None:
            what, where, how = "front door takes", "load.upload", '`fields: {batch_id: "{batch}"}`'
        elif system.load.command is not None:
            what, where, how = "operations name", "load.command", '`batch: "{batch}"` in the template'
        yield PlanRefused(f"{path}: load.batch: the {what} no batch id; write {how} under {where} in {system_path}")
    yield from _uncoverable(scenario, path, system)


def _uncoverable(scenario: Scenario, path: Path, system: System) -> Iterator[FileError]:
    known = sorted(system.effects)
    for row, cover in enumerate(scenario.covers):
        reason = None
        if scenario.taps is None:
            reason = "only taps see how far a delivery had come; write `taps: all`"
        elif cover.consumer is not None and cover.consumer not in system.effects:
            reason = (
                f"the system file says of no effects of {cover.consumer}{nearest(cover.consumer, known)}; "
                f"services with effects: {', '.join(known) or 'none'}"
            )
        if reason is not None:
            yield FileError(reason, path=str(path), line=line_of(path, ("covers", row)), field=f"covers[{row}]")


def choose_stack(system: System, asked: str, addresses: Path | None) -> str:
    """Resolve ``asked`` (``auto`` or a name) to a stack's name; PlanRefused if the system cannot run there.

    An addresses file implies the external stack.
    """
    if asked not in {"auto", *STACKS}:
        names = ["auto", *STACKS]
        raise PlanRefused(f"there is no stack {asked!r}{nearest(asked, names)}; known: {', '.join(names)}")
    if addresses is not None and asked not in {"auto", "external"}:
        raise PlanRefused(
            f"--addresses is for the external stack, but the {asked} stack starts its own services; leave one out"
        )
    if addresses is not None:
        return "external"
    if asked == "external":
        raise PlanRefused("the external stack already runs; say where: --addresses FILE")
    images = sorted(name for name, service in system.services.items() if service.command is None)
    commands = sorted(name for name, service in system.services.items() if service.image is None)
    stack = ("docker" if images else "native") if asked == "auto" else asked
    if stack == "native" and images:
        raise PlanRefused(
            f"services.{images[0]} has only an image, but the native stack starts commands; run with --stack docker"
        )
    if stack == "docker" and commands:
        raise PlanRefused(
            f"services.{commands[0]} has no image for the docker stack to start; write one, or run with --stack native"
        )
    return stack


def where_it_runs(system: System, addresses: Path | None, variant: str | None) -> System:
    """Apply the addresses file, if any; PlanRefused for a variant, as the system already runs, FileError for a wrong file."""
    if addresses is None:
        return system
    if variant is not None:
        raise PlanRefused(
            f"variant {variant}: the external stack starts nothing; start the variant yourself, and leave --variant out"
        )
    return load_addresses(addresses, system).laid_over(system)
