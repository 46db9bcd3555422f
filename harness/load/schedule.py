"""Which uploads a run makes, and when: a pure function of the scenario's load and the seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random

from harness.load.documents import GENERATED, Document, Kinds, make
from harness.scenario import LoadShape


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned upload: its place in the load, its time (seconds from the load's start) and its kind."""

    index: int
    at: float
    kind: str


def schedule(shape: LoadShape, seed: int, kinds: Kinds = GENERATED) -> Iterator[Planned]:
    """Yield uploads in order of time, endlessly; an open loop, so a slow system does not slow its own load.

    The first uploads cover every kind once, so that even a short load has them all. ``kinds`` must
    include accepted kinds; if it includes no rejected ones, no upload is of a rejected kind.
    """
    random = Random(f"{seed}:load")
    first = [*kinds.accepted, *kinds.large, *(kinds.rejected if shape.rejected else ())]
    random.shuffle(first)
    for index in count():
        at = (index + random.random()) / shape.rate
        if index < len(first) and shape.uploads >= 2 * len(first):
            kind = first[index]
        elif random.random() < shape.rejected and kinds.rejected:
            kind = random.choice(kinds.rejected)
        elif random.random() < shape.large and kinds.large:
            kind = random.choice(kinds.large)
        else:
            kind = random.choice(kinds.accepted)
        yield Planned(index, at, kind)


def document(planned: Planned, seed: int) -> Document:
    """Make the document of a planned upload, from the seed and its own place alone."""
    return make(planned.kind, Random(f"{seed}:document:{planned.index}"))
