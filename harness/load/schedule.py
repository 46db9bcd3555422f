"""Which uploads a run makes, and when: a pure function of the scenario's load and the seed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random

from harness.load.documents import ACCEPTED, LARGE, REJECTED, Document, make
from harness.scenario import LoadShape

EVERY = frozenset({*ACCEPTED, *LARGE, *REJECTED})
"""All kinds of documents."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned upload: its place in the load, its time (seconds from the load's start) and its kind."""

    index: int
    at: float
    kind: str


def schedule(shape: LoadShape, seed: int, kinds: Collection[str] = EVERY) -> Iterator[Planned]:
    """Yield uploads in order of time, endlessly; an open loop, so a slow system does not slow its own load.

    The first uploads cover every kind once, so that even a short load has them all. ``kinds`` are those to choose from,
    some of which are accepted, and some rejected.
    """
    random = Random(f"{seed}:load")
    accepted, large, rejected = ([kind for kind in table if kind in kinds] for table in (ACCEPTED, LARGE, REJECTED))
    first = [*accepted, *large, *(rejected if shape.rejected else ())]
    random.shuffle(first)
    for index in count():
        at = (index + random.random()) / shape.rate
        if index < len(first) and shape.uploads >= 2 * len(first):
            kind = first[index]
        elif random.random() < shape.rejected:
            kind = random.choice(rejected)
        elif random.random() < shape.large and large:
            kind = random.choice(large)
        else:
            kind = random.choice(accepted)
        yield Planned(index, at, kind)


def document(planned: Planned, seed: int) -> Document:
    """Make the document of a planned upload, from the seed and its own place alone."""
    return make(planned.kind, Random(f"{seed}:document:{planned.index}"))
