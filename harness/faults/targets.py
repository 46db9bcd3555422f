"""Resolves ``on:`` to names in the system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.errors import PlanRefused, SystemLacks, nearest
from harness.faults.roles import ENDS, KINDS, SERVICES, TOPICS, ends, is_role, replicas, services, topics

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from harness.faults.base import Target
    from harness.system import System

_ARROW = "->"

_LACKING: Final = {
    "consumers": "service with effects",
    "consumer": "service with effects",
    "consumed": "topic that a service with effects reads",
    "events": "topic in `events`",
    "dead_letters": "topic of dead letters",
    **{kind: f"dependency of kind {kind}" for kind in KINDS},
}
"""Role -> what a system lacks if nothing in it has that role."""

_NUMBERED: Final = {
    "consumers": "no consumer has a",
    "consumer": "the first consumer has no",
    "front": "the front door has no",
}


def resolve(target: Target, pattern: str, system: System) -> list[str]:
    """Return every name that ``pattern`` matches; the fault is planned for each. PlanRefused if there is none.

    Links are ``essay_lifecycle#1->redis``, ``essay_lifecycle->redis`` (all replicas), ``*->kafka``. Replicas are
    ``essay_lifecycle#1``, ``essay_lifecycle`` (all) or ``*``. Services, topics and stores go by their names. In place of
    a name there may be a role (``harness.faults.roles``): ``consumers->redis``, ``front#1``, ``consumed``. Raises
    SystemLacks if nothing in the system has that role.
    """
    if target == "link":
        return _links(pattern, system)
    if target == "replica":
        return _replicas(pattern, system)
    if target == "cut":
        return _dependencies(pattern, system) or _replicas(pattern, system, system.dependencies)
    if target == "service":
        return _services(pattern, system)
    return _topics(pattern, system) if target == "topic" else _stores(target, pattern, system)


def by_role(pattern: str, system: System) -> bool:
    """Whether ``pattern`` names a role of the system."""
    source, _, target = pattern.partition(_ARROW)
    return is_role(source, (*ENDS, *TOPICS), system) or is_role(target, ENDS, system)


def cut_off(replica: str, names: Sequence[str], system: System) -> None:
    """Raise PlanRefused unless the replica has a link to each of ``names``; a dependency takes no names."""
    if replica in system.dependencies:
        if names:
            raise PlanRefused(f"from: {replica} is a dependency, which is cut off from everybody; leave `from` out")
        return
    linked = [target for source, target in system.links() if source == replica]
    for name in names:
        if not is_role(name, ENDS, system):
            _one(f"link from {replica} to", name, linked)
        elif not cut_from([name], system).intersection(linked):
            raise SystemLacks(f"{replica} has no link to {name}")
    if not linked:
        raise PlanRefused(f"{replica} has no links, so there is nothing to cut")


def cut_from(names: Sequence[str], system: System) -> set[str]:
    """Dependencies and services that ``from:`` names, by name or role."""
    return {end for name in names for end in ends(name, system) or ()}


def _links(pattern: str, system: System) -> list[str]:
    every = [f"{source}{_ARROW}{target}" for source, target in system.links()]
    source, arrow, target = pattern.partition(_ARROW)
    if not arrow:
        raise PlanRefused(
            f"{pattern!r} is not a link; write SERVICE->DEPENDENCY{nearest(pattern, every)}{_known(every)}"
        )
    sources, targets = replicas(source, system), ends(target, system)
    matching = [
        name
        for name in every
        for one, _, end in [name.partition(_ARROW)]
        if one in (sources or ()) and end in (targets or ())
    ]
    if matching:
        return matching
    if sources is not None and targets is not None and by_role(pattern, system):
        raise SystemLacks(_lacks(source, sources) or _lacks(target, targets) or f"the system has no link {pattern}")
    patterns = {*every, *(f"{name.partition('#')[0]}{_ARROW}{name.partition(_ARROW)[2]}" for name in every)}
    raise PlanRefused(f"there is no link {pattern!r}{nearest(pattern, patterns)}{_known(every)}")


def _dependencies(pattern: str, system: System) -> list[str] | None:
    """Return the dependencies that a name or a role stands for; None if it stands for something else."""
    if pattern in system.dependencies:
        return [pattern]
    if not is_role(pattern, ("dependencies", *KINDS), system):
        return None
    named = ends(pattern, system) or ()
    return _some(pattern, [name for name in system.dependencies if name in named])


def _services(pattern: str, system: System) -> list[str]:
    if is_role(pattern, SERVICES, system) and "#" not in pattern:
        return _some(pattern, services(pattern, system))
    return [_one("service", pattern, system.services, SERVICES)]


def _topics(pattern: str, system: System) -> list[str]:
    if is_role(pattern, TOPICS, system):
        return _some(pattern, topics(pattern, system))
    return [_one("topic", pattern, system.topics(), TOPICS)]


def _stores(kind: str, pattern: str, system: System) -> list[str]:
    if is_role(pattern, (kind,), system):
        return _some(pattern, system.of_kind(kind))
    return [_one(f"{kind} dependency", pattern, system.of_kind(kind))]


def _replicas(pattern: str, system: System, others: Collection[str] = ()) -> list[str]:
    matching = replicas(pattern, system)
    if matching is None:
        every = system.replicas()
        raise PlanRefused(
            f"there is no replica {pattern!r}{nearest(pattern, [*every, *system.services, *others, *SERVICES])}"
            f"{_known([*every, *others])}"
        )
    return _some(pattern, matching)


def _some(pattern: str, names: list[str]) -> list[str]:
    """Return the names that a role stands for; SystemLacks if there are none."""
    if not names:
        raise SystemLacks(_lacks(pattern, names))
    return names


def _lacks(word: str, names: Collection[str]) -> str:
    """Say what the system has none of; empty if ``word`` stands for something."""
    if names:
        return ""
    role, _, number = word.partition("#")
    if number:
        return f"{_NUMBERED[role]} replica #{number}"
    return f"the system has no {_LACKING.get(role, role)}"


def _one(what: str, name: str, names: Collection[str], roles: Sequence[str] = ()) -> str:
    if name not in names:
        raise PlanRefused(f"there is no {what} {name!r}{nearest(name, [*names, *roles])}{_known(names)}")
    return name


def _known(names: Collection[str]) -> str:
    return f"; known: {', '.join(sorted(names)) or 'none'}"
