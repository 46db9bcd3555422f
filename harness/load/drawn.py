"""Which uploads are asked for again: drawn from the seed, whatever the order in which they were answered."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Final

_SPARE: Final = 1000
"""Uploads of each kind that are kept beyond those wanted: of most of them the outcome is there."""


@dataclass(frozen=True, slots=True, order=True)
class Taken:
    """An acknowledged upload; ``rank`` is its place in the order that the seed makes."""

    rank: int
    upload_id: str
    raw: str = ""
    """The raw blob's storage id; empty if the front door does not say."""


class Drawn:
    """Acknowledged uploads, the first ``wanted`` and some more of each kind: a long load has very many."""

    def __init__(self, run: str, seed: int, wanted: int) -> None:
        self._run, self._seed, self._most = run, seed, 2 * wanted + _SPARE
        self._kinds: dict[bool, list[Taken]] = {True: [], False: []}
        self._gone: set[str] = set()

    def note(self, upload_id: str, acceptable: bool, raw: str | None) -> None:  # noqa: FBT001 - as a callback gets it
        """An upload was acknowledged; ``acceptable``: it should pass validation."""
        kind = self._kinds[acceptable]
        taken = Taken(self._rank(upload_id), upload_id, raw or "")
        place = bisect_left(kind, taken)
        if upload_id not in self._gone and kind[place : place + 1] != [taken]:
            kind.insert(place, taken)
            del kind[self._most :]

    def take(self, count: int, ready: Callable[[str], bool]) -> list[Taken]:
        """Of those that are ``ready`` the first, by turns one of each kind, at most ``count``; never one twice."""
        turns = zip_longest(*(self._ready(kind, ready) for kind in (True, False)))
        taken = list(islice((one for one in chain.from_iterable(turns) if one is not None), count))
        self._gone |= {one.upload_id for one in taken}
        for kind, uploads in self._kinds.items():
            self._kinds[kind] = [one for one in uploads if one.upload_id not in self._gone]
        return taken

    def ready(self, count: int, ready: Callable[[str], bool]) -> int:
        """How many there are, of ``count`` at most."""
        every = chain(*(self._ready(kind, ready) for kind in (True, False)))
        return sum(1 for _ in islice(every, count))

    def _ready(self, kind: bool, ready: Callable[[str], bool]) -> Iterator[Taken]:  # noqa: FBT001 - one of two
        return (one for one in self._kinds[kind] if ready(one.upload_id))

    def _rank(self, upload_id: str) -> int:
        """The run's id is left out: the same seed draws the same."""
        text = f"{self._seed}:{upload_id.removeprefix(self._run)}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
