"""What a system that runs already calls its topics, groups and databases."""

from __future__ import annotations

from dataclasses import dataclass

from harness.addresses import Names
from harness.stack import RunNames


@dataclass(frozen=True, slots=True)
class FixedNames(RunNames):
    """The same for every run; where ``given`` says nothing, the system file's own (a group: its service's)."""

    given: Names

    @property
    def shared(self) -> bool:
        """Whoever uses the system uses them too."""
        return True

    def topic(self, name: str) -> str:
        """The broker's name of a topic of the system file."""
        return self.given.topics.get(name, name)

    def plain(self, topic: str) -> str | None:
        """The system file's name of a broker's topic."""
        by_theirs = {theirs: name for name, theirs in self.given.topics.items()}
        return by_theirs.get(topic, None if topic in self.given.topics else topic)

    def group(self, service: str) -> str:
        """The consumer group of a service."""
        return self.given.groups.get(service, service)

    def database(self, service: str) -> str:
        """The database of a service."""
        return self.given.databases.get(service, service)
