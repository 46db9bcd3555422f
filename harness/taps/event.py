"""One event, and which messages on a link are its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness.taps.message import Place


@dataclass(frozen=True, slots=True)
class Event:
    """What names an event in keys (its id, its upload, its raw blob), and where its records are."""

    names: frozenset[str]
    places: frozenset[Place] = frozenset()

    def has(self, key: str, commits: Sequence[Place] = ()) -> bool:
        """Whether a message is the event's: its key names it, or it commits an offset behind one of its records.

        Messages that name no event belong to none: a ping, a batch of records, a COMMIT of tables.
        """
        return any(part in self.names for part in parts(key)) or passes(commits, self.places)


def passes(commits: Sequence[Place], places: frozenset[Place]) -> bool:
    """Whether a commit of offsets passes one of the places; a committed offset is the next one to read."""
    return any(
        topic == of and partition == number and offset < next_
        for of, number, next_ in commits
        for topic, partition, offset in places
    )


def parts(key: str) -> Iterator[str]:
    """Yield each substring of a key that may be a whole name: ``claim:17`` contains 17, but not 7.

    The cost depends only on the few places in a key at which a name can begin or end, not on the number of names.
    """
    edges = [n for n in range(len(key) + 1) if n in {0, len(key)} or not (key[n - 1].isalnum() and key[n].isalnum())]
    return (key[begin:end] for begin, end in combinations(edges, 2))
