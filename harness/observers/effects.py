"""Reads each service's effects from its own database."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from heapq import merge

from harness.stack import Fields
from harness.system import Effects as Described

Row = Mapping[str, object]
Each = Callable[[str, str, Callable[[Sequence[Row]], None]], Awaitable[None]]
"""``each(url, query, take)``: gives ``take`` the rows of a query, some at a time."""


class Effects:
    """Effects of every service that has some; an interim pass gives those that are new.

    A query gives all rows each time, and a long run has very many: what is kept of one is a digest of eight bytes.
    """

    what = "effects"

    def __init__(self, described: Mapping[str, Described], urls: Mapping[str, str], each: Each) -> None:
        self._described = described
        self._urls = urls
        self._each = each
        self._seen = {consumer: _Digests() for consumer in described}
        self._before = {consumer: _Digests() for consumer in described}

    @property
    def count(self) -> int:
        """How many effects were seen so far."""
        return sum(len(seen) for seen in self._seen.values())

    async def leave_aside(self) -> None:
        """What there is now is not the run's."""
        for consumer in self._described:
            look = _Look(consumer, _Digests(), _Digests())
            await self._look(look)
            self._before[consumer] = _Digests(look.new)

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Rows of each service's query, as effects."""
        for consumer in self._described:
            look = _Look(consumer, self._seen[consumer], self._before[consumer], everything=final)
            await self._look(look)
            self._seen[consumer].add(look.new)
            for fields in look.given:
                yield fields

    async def _look(self, look: _Look) -> None:
        await self._each(self._urls[look.consumer], self._described[look.consumer].sql.query, look.take)


class _Look:
    """One pass over a service's rows; ``new`` are the digests of those that there were not before."""

    def __init__(self, consumer: str, seen: _Digests, before: _Digests, *, everything: bool = False) -> None:
        self.consumer = consumer
        self._take_seen, self._take_before, self._everything = seen.taker(), before.taker(), everything
        self.new = array("Q")
        self.given: list[Fields] = []

    def take(self, rows: Sequence[Row]) -> None:
        """Look at some of the rows."""
        for row in rows:
            identity = _digest(row)
            if self._take_before(identity):
                continue
            is_new = not self._take_seen(identity)
            if is_new:
                self.new.append(identity)
            if is_new or self._everything:
                self.given.append(_fields(self.consumer, row))


class _Digests:
    """Digests in order, each as often as it was added."""

    def __init__(self, digests: Iterable[int] = ()) -> None:
        self._sorted = array("Q", sorted(digests))

    def add(self, digests: Iterable[int]) -> None:
        """Add some, in any order."""
        if new := sorted(digests):
            self._sorted = array("Q", merge(self._sorted, new))

    def __len__(self) -> int:
        return len(self._sorted)

    def taker(self) -> Callable[[int], bool]:
        """Takes one of a digest, and says whether there was one left; the digests themselves stay."""
        found, taken, again = self._sorted, bytearray(len(self._sorted)), Counter[int]()

        def take(digest: int) -> bool:
            at = bisect_left(found, digest)
            if at < len(found) and found[at] == digest and taken[at]:
                again[digest] += 1
                at += again[digest]
            if at >= len(found) or found[at] != digest:
                return False
            taken[at] = True
            return True

        return take


def _digest(row: Row) -> int:
    """64 bits: were two ever one, an interim pass would not tell of the second; the final one tells of every row."""
    identity = repr((row["id"], row.get("effect"), row.get("carries")))
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest())


def _fields(consumer: str, row: Row) -> Fields:
    effect = row.get("effect")
    return {
        "op": "effect",
        "phase": "seen",
        "consumer": consumer,
        "event_id": str(row["id"]),
        "effect": str(effect) if effect is not None else None,
        "digest": row.get("carries"),
    }
