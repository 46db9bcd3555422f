"""One line of a story."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

MomentKind = Literal["front door", "topic", "store", "replica", "database", "blob", "letters", "fault"]
"""Where a moment took place; a fault lies across all places, and has none."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that was asked for or seen. ``who`` is a service, replica or part; ``t`` is ns since the start."""

    t: int
    who: str
    text: str
    brief: str = ""
    """Its word in a summary, if any."""

    consumer: str = ""
    """The service whose story it belongs to; empty: everybody's."""

    kind: MomentKind = "fault"
    lane: str = ""
    """The name of its lane in a picture: ``topic essays``, ``essay_lifecycle#1``; a fault has none."""

    word: str = ""
    """What stands under its mark there."""


Numbered = Iterable[tuple[int, Moment]]
"""(number of a story, moment): stories are told together, each query looks through the history once for all."""


@dataclass(frozen=True, slots=True)
class Asked:
    """(number of a story, id of an event or upload): a story is about several, and an id may stand in several."""

    pairs: Sequence[tuple[int, str]]

    ROWS = "(SELECT unnest($stories::INTEGER[]) AS story, unnest($ids::VARCHAR[]) AS id)"
    """The same as a table, in a query that has ``parameters``."""

    @property
    def parameters(self) -> dict[str, object]:
        """For ``ROWS``."""
        return {"stories": [story for story, _ in self.pairs], "ids": [id_ for _, id_ in self.pairs]}


def seconds(t: int) -> str:
    """``12.031 s``."""
    return f"{t / 1e9:.3f} s"


def short(digest: object) -> str:
    """How a hash begins."""
    return f"{str(digest)[:12]}…" if digest else "none"


def listed(*parts: object) -> str:
    """Those that there are, with commas."""
    return ", ".join(str(one) for one in parts if one)
