"""The topics, groups and databases of a system that already runs."""

from __future__ import annotations

from dataclasses import dataclass

from harness.addresses import Names
from harness.stack import RunNames


@dataclass(frozen=True, slots=True)
class FixedNames(RunNames):
    """The same names for every run: those in ``given``, else the system file's (for a group, its service's name)."""

    given: Names

    @property
    def shared(self) -> bool:
        """True: everyone who uses the system uses these names."""
        return True

    def topic(self, name: str) -> str:
        """Return the broker's name for a topic of the system file."""
        return self.given.topics.get(name, name)

    def plain(self, topic: str) -> str | None:
        """Return the system file's name for a broker's topic, or None."""
        plain_names = {broker_name: name for name, broker_name in self.given.topics.items()}
        return plain_names.get(topic, None if topic in self.given.topics else topic)

    def group(self, service: str) -> str:
        """Return the consumer group of a service."""
        return self.given.groups.get(service, service)

    def service(self, group: str) -> str | None:
        """Return the service of a consumer group, or None."""
        services = {group_name: name for name, group_name in self.given.groups.items()}
        return services.get(group, None if group in self.given.groups else group)

    def database(self, service: str) -> str:
        """Return the database of a service."""
        return self.given.databases.get(service, service)
