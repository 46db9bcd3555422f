"""Reads each service's effects from its own database."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from heapq import merge

from harness.errors import StackError
from harness.observers.identity import identity
from harness.stack import Fields
from harness.system import Effects as Described

Row = Mapping[str, object]
Each = Callable[[str, str, Callable[[Sequence[Row]], None]], Awaitable[None]]
"""``each(url, query, take)`` passes the rows of a query to ``take``, some at a time."""

Template = Callable[[str, str], str | None]
"""``template(event_id, name)`` replaces the event's values in an effect's name by pointers; None if not known."""


class Effects:
    """Observes the effects of every service that has any; an interim pass yields the new ones.

    A query returns all rows each time, and a long run has very many, so only an 8-byte digest of each is kept.
    """

    what = "effects"

    def __init__(
        self,
        described: Mapping[str, Described],
        urls: Mapping[str, str],
        each: Each,
        template: Template = lambda _event_id, _name: None,
    ) -> None:
        self._described = described
        self._urls = urls
        self._each = each
        self._template = template
        self._seen = {consumer: _Digests() for consumer in described}
        self._before = {consumer: _Digests() for consumer in described}

    @property
    def counts(self) -> Mapping[str, int]:
        """Consumer -> number of effects seen so far."""
        return {consumer: len(seen) for consumer, seen in self._seen.items()}

    async def try_out(self) -> None:
        """Run each query once; raises StackError if one fails or its rows have no ``id``."""
        for consumer, described in self._described.items():
            try:
                await self._each(self._urls[consumer], described.sql.query, _refuse_without_id)
            except StackError as error:
                raise StackError(f"effects.{consumer}: {error}") from error

    async def leave_aside(self) -> None:
        """Exclude the effects that exist now from the run."""
        for consumer in self._described:
            look = _Look(_Digests(), _Digests())
            await self._look(consumer, look)
            self._before[consumer] = _Digests(look.new)

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Yield the rows of each service's query as effects."""
        for consumer in self._described:
            look = _Look(self._seen[consumer], self._before[consumer], everything=final)
            await self._look(consumer, look)
            for row in look.given:
                yield self._fields(consumer, row)
            # Last: if this pass is cut short, its rows are still new to the next one.
            self._seen[consumer].add(look.new)

    async def _look(self, consumer: str, look: _Look) -> None:
        await self._each(self._urls[consumer], self._described[consumer].sql.query, look.take)

    def _fields(self, consumer: str, row: Row) -> Fields:
        event_id, effect = identity(str(row["id"])), row.get("effect")
        name = str(effect) if effect is not None else None
        return {
            "op": "effect",
            "phase": "seen",
            "consumer": consumer,
            "event_id": event_id,
            "effect": name,
            "template": self._template(event_id, name) if name is not None else None,
            "digest": row.get("carries"),
        }


def _refuse_without_id(rows: Sequence[Row]) -> None:
    if rows and "id" not in rows[0]:
        raise StackError(f"the query returns {', '.join(rows[0])}, but no `id`; name the event's id: SELECT … AS id")


class _Look:
    """One pass over a service's rows; ``new`` has the digests of those not seen before."""

    def __init__(self, seen: _Digests, before: _Digests, *, everything: bool = False) -> None:
        self._take_seen, self._take_before, self._everything = seen.taker(), before.taker(), everything
        self.new = array("Q")
        self.given: list[Row] = []

    def take(self, rows: Sequence[Row]) -> None:
        """Process some of the rows."""
        for row in rows:
            identity = _digest(row)
            if self._take_before(identity):
                continue
            is_new = not self._take_seen(identity)
            if is_new:
                self.new.append(identity)
            if is_new or self._everything:
                self.given.append(row)


class _Digests:
    """A sorted multiset of digests."""

    def __init__(self, digests: Iterable[int] = ()) -> None:
        self._sorted = array("Q", sorted(digests))

    def add(self, digests: Iterable[int]) -> None:
        """Add digests, in any order."""
        if new := sorted(digests):
            self._sorted = array("Q", merge(self._sorted, new))

    def __len__(self) -> int:
        return len(self._sorted)

    def taker(self) -> Callable[[int], bool]:
        """Return a function that takes one occurrence of a digest, and says whether one was left.

        The multiset itself does not change.
        """
        digests, taken, again = self._sorted, bytearray(len(self._sorted)), Counter[int]()

        def take(digest: int) -> bool:
            at = bisect_left(digests, digest)
            if at < len(digests) and digests[at] == digest and taken[at]:
                again[digest] += 1
                at += again[digest]
            if at >= len(digests) or digests[at] != digest:
                return False
            taken[at] = True
            return True

        return take


def _digest(row: Row) -> int:
    """Digest a row to 64 bits. A collision only hides a row from interim passes: the final one yields every row."""
    identity = repr((row["id"], row.get("effect"), row.get("carries")))
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest())
