"""Draws the uploads to reprocess from the seed, whatever the order of their answers."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Final

_SPARE: Final = 1000
"""Uploads of each kind to keep as a reserve, so that enough of them have their outcome."""


@dataclass(frozen=True, slots=True, order=True)
class Taken:
    """An acknowledged upload; ``rank`` is its place in the order drawn from the seed."""

    rank: int
    upload_id: str
    raw: str = ""
    """The raw blob's storage id; empty if the front door does not say."""


class Drawn:
    """Holds acknowledged uploads: of each kind the first ``2 * wanted`` and a reserve, as a long load has very many."""

    def __init__(self, run: str, seed: int, wanted: int) -> None:
        self._run, self._seed, self._most = run, seed, 2 * wanted + _SPARE
        self._kinds: dict[bool, list[Taken]] = {True: [], False: []}
        self._gone: set[str] = set()

    def note(self, upload_id: str, acceptable: bool, raw: str | None) -> None:  # noqa: FBT001 - a callback
        """Note an acknowledged upload; ``acceptable``: it should pass validation."""
        kind = self._kinds[acceptable]
        taken = Taken(self._rank(upload_id), upload_id, raw or "")
        place = bisect_left(kind, taken)
        if upload_id not in self._gone and kind[place : place + 1] != [taken]:
            kind.insert(place, taken)
            del kind[self._most :]

    def take(self, count: int, ready: Callable[[str], bool]) -> list[Taken]:
        """Take the first ``ready`` uploads, alternating between kinds, at most ``count``; none is taken twice."""
        turns = zip_longest(*(self._ready(kind, ready) for kind in (True, False)))
        taken = list(islice((upload for upload in chain.from_iterable(turns) if upload is not None), count))
        self._gone |= {upload.upload_id for upload in taken}
        for kind, uploads in self._kinds.items():
            self._kinds[kind] = [upload for upload in uploads if upload.upload_id not in self._gone]
        return taken

    def ready(self, count: int, ready: Callable[[str], bool]) -> int:
        """Count the uploads that are ``ready``, up to ``count``."""
        every = chain(*(self._ready(kind, ready) for kind in (True, False)))
        return sum(1 for _ in islice(every, count))

    def _ready(self, kind: bool, ready: Callable[[str], bool]) -> Iterator[Taken]:  # noqa: FBT001 - one of two
        return (upload for upload in self._kinds[kind] if ready(upload.upload_id))

    def _rank(self, upload_id: str) -> int:
        """Rank by seed and upload, without the run's id: the same seed draws the same uploads."""
        text = f"{self._seed}:{upload_id.removeprefix(self._run)}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
