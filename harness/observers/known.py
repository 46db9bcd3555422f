"""The events seen so far, found by the names or offsets in a message on a link."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from harness.taps.event import Event, parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.stack import Fields
    from harness.taps.message import Place

_NAMED: Final = ("event_id", "upload_id", "raw_file_storage_id")


class Known:
    """Events by their names and places. An upload's events, or those of one raw blob, count as one."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._places: defaultdict[str, set[Place]] = defaultdict(set)
        self._at: dict[Place, str] = {}

    def note(self, fields: Fields) -> None:
        """Add a record, with the fields that the topics' observer recorded."""
        names = [str(fields[name]) for name in _NAMED if fields.get(name)]
        if not fields.get("event_id") or "malformed" in fields:
            return
        identity = str(fields.get("upload_id") or fields.get("raw_file_storage_id") or fields["event_id"])
        place = (str(fields["topic"]), int(str(fields["partition"])), int(str(fields["offset"])))
        for name in names:
            self._of[name] = identity
        self._names[identity].update(names)
        self._places[identity].add(place)
        self._at[place] = identity

    def event(self, key: str, commits: Sequence[Place]) -> Event | None:
        """Return the event that a message's key names, or whose next offset the message commits.

        None if the message refers to no event seen so far.
        """
        named = [self._of[part] for part in parts(key) if part in self._of]
        last = [self._at.get((topic, partition, next_ - 1)) for topic, partition, next_ in commits]
        for identity in (*named, *last):
            if identity is not None:
                return Event(frozenset(self._names[identity]), frozenset(self._places[identity]))
        return None
