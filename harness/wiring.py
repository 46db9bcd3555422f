"""How a system is joined: where each link leads, and what its placeholders stand for. Every stack reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.stack import RunNames
from harness.system import PLACEHOLDER, System


def upstream(system: System, replica: str, target: str) -> str:
    """What a link leads to: a dependency, or replica n of one service to replica n of the other, round and round."""
    if target in system.dependencies:
        return target
    number = (int(replica.partition("#")[2]) - 1) % system.services[target].replicas + 1
    return f"{target}#{number}"


def is_broker(system: System, target: str) -> bool:
    """Whether a link leads to a broker, which has a listener of its own for each."""
    return target in system.of_kind("kafka")


@dataclass(frozen=True, slots=True)
class Words:
    """What placeholders become in one run. ``address`` says where a dependency or service is reached.

    ``replica``: whose ``{service}``, ``{group}`` … are filled in; without one these stay. ``own`` are further ones.
    """

    system: System
    names: RunNames
    address: Callable[[str], str | None]
    replica: str = ""
    own: Mapping[str, Callable[[], str]] = field(default_factory=dict)

    def filled(self, text: str) -> str:
        """``text`` with its placeholders filled in; what is not known here stays."""
        return PLACEHOLDER.sub(lambda found: self._word(found[1], found[0]), text)

    def _word(self, name: str, unknown: str) -> str:
        kind, _, topic = name.partition(":")
        if kind == "topic" and topic in self.system.topics():
            return self.names.topic(topic)
        if name in self.system.dependencies or name in self.system.services:
            return self.address(name) or unknown
        service, _, number = self.replica.partition("#")
        known: dict[str, Callable[[], str]] = {"run": lambda: self.names.run}
        if service:
            known |= {
                "service": lambda: service,
                "replica": lambda: number,
                "group": lambda: self.names.group(service),
                "database": lambda: self.names.database(service),
                **self.own,
            }
        return known[name]() if name in known else unknown
