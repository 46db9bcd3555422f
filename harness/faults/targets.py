"""Resolves ``on:`` to names in the system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import PlanRefused, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from harness.faults.base import Target
    from harness.system import System

_ARROW = "->"


def resolve(target: Target, pattern: str, system: System) -> list[str]:
    """Return every name that ``pattern`` matches; the fault is planned for each. PlanRefused if there is none.

    Links are ``essay_lifecycle#1->redis``, ``essay_lifecycle->redis`` (all replicas), ``*->kafka``. Replicas are
    ``essay_lifecycle#1``, ``essay_lifecycle`` (all) or ``*``. Services, topics and stores go by their names.
    """
    if target == "link":
        return _links(pattern, system)
    if target == "replica":
        return _replicas(pattern, system)
    if target == "cut":
        return [pattern] if pattern in system.dependencies else _replicas(pattern, system, system.dependencies)
    if target == "service":
        return [_one("service", pattern, system.services)]
    if target == "topic":
        return [_one("topic", pattern, system.topics())]
    stores = [name for name in system.dependencies if system.kind(name) == target]
    return [_one(f"{target} dependency", pattern, stores)]


def cut_off(replica: str, names: Sequence[str], system: System) -> None:
    """Raise PlanRefused unless the replica has a link to each of ``names``; a dependency takes no names."""
    if replica in system.dependencies:
        if names:
            raise PlanRefused(f"from: {replica} is a dependency, which is cut off from everybody; leave `from` out")
        return
    linked = [target for source, target in system.links() if source == replica]
    for name in names:
        _one(f"link from {replica} to", name, linked)
    if not linked:
        raise PlanRefused(f"{replica} has no links, so there is nothing to cut")


def _links(pattern: str, system: System) -> list[str]:
    every = [f"{source}{_ARROW}{target}" for source, target in system.links()]
    source, arrow, target = pattern.partition(_ARROW)
    if not arrow:
        raise PlanRefused(
            f"{pattern!r} is not a link; write SERVICE->DEPENDENCY{nearest(pattern, every)}{_known(every)}"
        )
    matching = [name for name in every if _matches(name.partition(_ARROW)[0], source) and _ends(name, target)]
    if not matching:
        patterns = {*every, *(f"{name.partition('#')[0]}{_ARROW}{name.partition(_ARROW)[2]}" for name in every)}
        raise PlanRefused(f"there is no link {pattern!r}{nearest(pattern, patterns)}{_known(every)}")
    return matching


def _ends(name: str, target: str) -> bool:
    return target in {"*", name.partition(_ARROW)[2]}


def _replicas(pattern: str, system: System, others: Collection[str] = ()) -> list[str]:
    every = system.replicas()
    matching = [name for name in every if _matches(name, pattern)]
    if not matching:
        raise PlanRefused(
            f"there is no replica {pattern!r}{nearest(pattern, [*every, *system.services, *others])}"
            f"{_known([*every, *others])}"
        )
    return matching


def _matches(replica: str, pattern: str) -> bool:
    return pattern in {"*", replica, replica.partition("#")[0]}


def _one(what: str, name: str, names: Collection[str]) -> str:
    if name not in names:
        raise PlanRefused(f"there is no {what} {name!r}{nearest(name, names)}{_known(names)}")
    return name


def _known(names: Collection[str]) -> str:
    return f"; known: {', '.join(sorted(names)) or 'none'}"
