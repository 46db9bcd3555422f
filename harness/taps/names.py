"""The system file's names for the topics and groups that pass a tap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uuid import UUID

    from harness.stack import RunNames

_MOST_LEARNT: Final = 10_000
"""Topics whose ids are remembered; further topics go by their ids."""


class Names:
    """Strips a run's id from topics and groups, as everywhere in a history; other names stay as they are."""

    def __init__(self, run: RunNames | None = None) -> None:
        self._run = run
        self._topics: dict[UUID, str] = {}

    def topic(self, name: str | UUID | None) -> str:
        """Return the system file's name for a topic, given its name or, once ``learn`` knows it, its id."""
        if not isinstance(name, str):
            return self._topics.get(name, str(name)) if name is not None else ""
        return (self._run.plain(name) if self._run is not None else None) or name

    def group(self, name: str) -> str:
        """Return the service of a consumer group."""
        return (self._run.service(name) if self._run is not None else None) or name

    def learn(self, topic: UUID, name: str) -> None:
        """Remember a topic's id."""
        if len(self._topics) < _MOST_LEARNT:
            self._topics[topic] = self.topic(name)
