"""How a system's parts connect: where each link leads, and what placeholders stand for. Every stack uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.model import PLACEHOLDER
from harness.stack import RunNames
from harness.system import System


def upstream(system: System, replica: str, target: str) -> str:
    """Return what a link leads to: a dependency, or a replica of the target service, assigned round-robin."""
    if target in system.dependencies:
        return target
    number = (int(replica.partition("#")[2]) - 1) % system.services[target].replicas + 1
    return f"{target}#{number}"


def is_broker(system: System, target: str) -> bool:
    """Whether a link leads to a broker, which needs a listener for each link."""
    return target in system.of_kind("kafka")


def _part(address: str, which: str) -> str | None:
    """Return an address, or its ``host`` or ``port``; None if something else is asked for."""
    host, _, port = address.rpartition(":")
    return {"": address, "host": host, "port": port}.get(which)


@dataclass(frozen=True, slots=True)
class Words:
    """The values of placeholders in one run; ``address(name)`` returns where a dependency or service is reached.

    ``{service}``, ``{group}`` and so on are those of ``replica``; without a replica they stay. ``own`` adds further
    placeholders.
    """

    system: System
    names: RunNames
    address: Callable[[str], str | None]
    replica: str = ""
    own: Mapping[str, Callable[[], str]] = field(default_factory=dict)

    def filled(self, text: str) -> str:
        """Fill in the placeholders in ``text``; unknown ones stay."""
        return PLACEHOLDER.sub(lambda match: self._word(match[1], match[0]), text)

    def _word(self, name: str, placeholder: str) -> str:
        kind, colon, of = name.partition(":")
        if kind == "topic" and colon:
            return self.names.topic(of) if of in self.system.topics() else placeholder
        if kind in self.system.dependencies or kind in self.system.services:
            address = self.address(kind)
            return (_part(address, of) if address else None) or placeholder
        service, _, number = self.replica.partition("#")
        values: dict[str, Callable[[], str]] = {"run": lambda: self.names.run}
        if service:
            values |= {
                "service": lambda: service,
                "replica": lambda: number,
                "group": lambda: self.names.group(service),
                "database": lambda: self.names.database(service),
                **self.own,
            }
        return values[name]() if name in values else placeholder
