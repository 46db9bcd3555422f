"""The moments of a story."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

MomentKind = Literal["front door", "topic", "store", "replica", "database", "blob", "letters", "fault"]
"""Where a moment took place; a fault lies across all places."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something the harness asked for or saw. ``who`` is a service, replica or part; ``t`` is ns since the start."""

    t: int
    who: str
    text: str
    brief: str = ""
    """The words for it in a summary; empty to leave it out."""

    consumer: str = ""
    """The service whose story it belongs to; empty: the story of every service."""

    kind: MomentKind = "fault"
    lane: str = ""
    """The name of its lane in a picture: ``topic essays``, ``essay_lifecycle#1``; a fault has none."""

    word: str = ""
    """The label under its mark in the picture."""


Numbered = Iterable[tuple[int, Moment]]
"""(number of a story, moment): each query scans the history once for all stories."""


@dataclass(frozen=True, slots=True)
class Asked:
    """(number of a story, id of an event or upload): a story has several ids, and an id may be in several stories."""

    pairs: Sequence[tuple[int, str]]

    ROWS = "(SELECT unnest($stories::INTEGER[]) AS story, unnest($ids::VARCHAR[]) AS id)"
    """The pairs as a table, for a query that is given ``parameters``."""

    @property
    def parameters(self) -> dict[str, object]:
        """The query parameters of ``ROWS``."""
        return {"stories": [story for story, _ in self.pairs], "ids": [id_ for _, id_ in self.pairs]}


def seconds(t: int) -> str:
    """Write ns as ``12.031 s``."""
    return f"{t / 1e9:.3f} s"


def short(digest: object) -> str:
    """Return how a hash begins, or ``none``."""
    return f"{str(digest)[:12]}…" if digest else "none"


def listed(*parts: object) -> str:
    """Join the parts that are not empty with commas."""
    return ", ".join(str(part) for part in parts if part)
