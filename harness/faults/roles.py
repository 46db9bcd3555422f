"""Roles that ``on:`` may name in place of a name, so that one scenario fits every system.

A name of the system always wins over a role: a service that is called ``front`` is that service.

=================  ==================================================================================================
``consumers``      every service with ``effects``
``consumer``       the first of them, in the order of ``services``
``front``          the service that takes the load
``consumers#2``    the second replica of each of them; likewise ``consumer#2`` and ``front#2``
``dependencies``   what a link leads to: every broker and store; ``services``: every service
``kafka`` …        every dependency of that kind, whatever its name
``events``         every topic that holds events; ``consumed``: those that a consumer reads, as far as ``reads`` tells
``dead_letters``   the topic of dead letters
=================  ==================================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.system import System

KINDS: Final = ("kafka", "postgres", "redis")

SERVICES: Final = ("consumers", "consumer", "front")
"""Roles of services, and with ``#N`` of their replicas."""

ENDS: Final = ("dependencies", "services", *KINDS, *SERVICES)
"""Roles of what a link leads to."""

TOPICS: Final = ("events", "consumed", "dead_letters")


def is_role(word: str, roles: tuple[str, ...], system: System) -> bool:
    """Whether a word, which may end with a replica's number, is one of these roles and no name of the system."""
    name = word.partition("#")[0]
    names = system.topics() if name in TOPICS else {*system.services, *system.dependencies}
    return name in roles and name not in names


def services(role: str, system: System) -> list[str]:
    """Names of the services in a role of SERVICES, in the system file's order."""
    if role == "front":
        return [system.load.front] if system.load.front is not None else []
    consumers = [name for name in system.services if name in system.effects]
    return consumers[:1] if role == "consumer" else consumers


def replicas(pattern: str, system: System) -> list[str] | None:
    """Replicas that a name, a role or ``*`` stands for; None if it is neither a name nor a role."""
    every = system.replicas()
    if pattern == "*":
        return every
    word, marked, number = pattern.partition("#")
    if word in system.services:
        return [name for name in every if pattern in {name, name.partition("#")[0]}] or None
    if word not in SERVICES or (marked and not number.isdecimal()):
        return None
    named = services(word, system)
    return [
        f"{name}#{n}" for name, _, n in (one.partition("#") for one in every) if name in named and number in {"", n}
    ]


def ends(pattern: str, system: System) -> set[str] | None:
    """Dependencies and services that a name, a role or ``*`` stands for; None if it is neither a name nor a role."""
    names = {*system.dependencies, *system.services}
    if pattern == "*":
        return names
    if pattern in names:
        return {pattern}
    if pattern in KINDS:
        return set(system.of_kind(pattern))
    if pattern in SERVICES:
        return set(services(pattern, system))
    return {"dependencies": set(system.dependencies), "services": set(system.services)}.get(pattern)


def topics(role: str, system: System) -> list[str]:
    """Topics in a role of TOPICS, in the system file's order."""
    if role == "dead_letters":
        return [system.dead_letters.topic] if system.dead_letters is not None else []
    events = [topic for topic in system.topics() if topic in system.events.topics]
    if role == "events":
        return events
    read = [system.services[name].reads for name in services("consumers", system)]
    if any(named is None for named in read):
        return events
    return [topic for topic in events if any(topic in (named or ()) for named in read)]
