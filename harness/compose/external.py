"""The draft of an addresses file for a stack that already runs, with the addresses that a compose file publishes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.compose.draft import Draft
from harness.compose.file import Compose
from harness.files.dump import inline
from harness.files.todo import todo
from harness.system import System

_HEAD = """\
# Where the parts of {system} are. `oneffect validate --system {file}` lists what is still TODO, by line.
oneffect: 1

# The Toxiproxy through which services reach what they need; one proxy for each link below.
toxiproxy: {toxiproxy}

# This machine, as the Toxiproxy reaches it. With it brokers need no listeners for links, and taps work:
# taps: 10.0.0.2
"""
_TAIL = """
# Where topics, consumer groups and databases have other names than in the system file:
# names: {topics: {orders: prod.orders}, groups: {billing: billing-v2}, databases: {billing: billing_prod}}

# What breaks a replica or a dependency, in the folder of this file and without a shell:
# commands: {billing#1: {kill: kubectl delete pod billing-0 --grace-period=0 --force}}
"""


def published(compose: Compose, draft: Draft) -> dict[str, str]:
    """Return the address that a compose file publishes, by dependency and replica as the system file names them."""
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for container in compose.containers:
        if (name := draft.names.get(container.name)) is None:
            continue
        address = next((container.published[port] for port in container.ports if port in container.published), None)
        counts[name] = counts.get(name, 0) + container.replicas
        for replica in (name, f"{name}#{counts[name]}"):
            if address is not None and container.replicas == 1:
                found.setdefault(replica, address)
    return found


def written(system: System, file: str, known: Mapping[str, str]) -> str:
    """Return an addresses file for a system; ``known`` has addresses by dependency and replica."""
    toxiproxy = todo("the API of the Toxiproxy, as this machine reaches it", "10.0.0.5:8474")
    head = _HEAD.format(system=system.name, file=file, toxiproxy=inline(toxiproxy))
    return head + "".join(f"{line}\n" for line in _lines(system, known)) + _TAIL


def _lines(system: System, known: Mapping[str, str]) -> Iterator[str]:
    def address(name: str) -> str:
        return known.get(name) or todo(f"where {name} is, without a proxy", "10.0.0.6:9092")

    yield from _part("dependencies", {name: address(name) for name in system.dependencies})
    yield from _part("services", {replica: address(replica) for replica in system.replicas()})
    links = [f"{replica}->{target}" for replica, target in system.links()]
    where = {
        link: {"listen": todo("where the proxy of this link listens", "10.0.0.5:9101"), "proxy": link}
        for link in links
    }
    yield from _part("links", where)
    effects = [(name, each) for name, each in system.effects.items() if each.urls]
    if folders := [name for name, each in effects if any("{data}" in url for url in each.urls)]:
        yield from _part("data", {name: todo(f"the folder of {name}", f"/srv/{name}") for name in folders})


def _part(name: str, fields: Mapping[str, Any]) -> Iterator[str]:
    yield f"{name}:{'' if fields else ' {}'}"
    yield from (f"  {inline(key)}: {inline(value)}" for key, value in fields.items())
