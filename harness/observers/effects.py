"""Reads each service's effects where the system file says that they are."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from heapq import merge

from harness.effects import Effects as Described
from harness.errors import StackError
from harness.model import By
from harness.observers import spelled
from harness.observers.carried import Of
from harness.observers.located import named_key
from harness.observers.sources import Row, Source, Sourced
from harness.stack import Fields

Template = Callable[[Of, str], str | None]
"""``template(of, name)`` replaces the event's values in an effect's name by pointers; None if not known."""


class Effects:
    """Observes the effects of every service that has any; an interim pass yields the new ones.

    ``event`` is where events hold their ids. A query returns all rows each time, and a long run has very many, so only an
    8-byte digest of each is kept.
    """

    what = "effects"

    def __init__(
        self,
        described: Mapping[str, Described],
        sources: Mapping[str, Source],
        template: Template = lambda _of, _name: None,
        *,
        event: By = "",
    ) -> None:
        self._described = described
        self._event = event
        self._sources = sources
        self._template = template
        self._seen = {consumer: _Digests() for consumer in described}
        self._before = {consumer: _Digests() for consumer in described}

    @property
    def counts(self) -> Mapping[str, int]:
        """Consumer -> number of effects seen so far."""
        return {consumer: len(seen) for consumer, seen in self._seen.items()}

    async def try_out(self) -> None:
        """Read each once; raises StackError if that fails or a query's rows have no ``id`` that can be used."""
        for consumer, source in self._sources.items():

            def refuse(rows: Sequence[Row], consumer: str = consumer) -> None:
                _refuse_without_id(rows)
                for row in rows[:1]:
                    self._fields(consumer, row)

            await self._each(consumer, source, refuse, everything=True)

    async def leave_aside(self) -> None:
        """Exclude the effects that exist now from the run."""
        for consumer in self._described:
            look = _Look(_Digests(), _Digests())
            await self._each(consumer, self._sources[consumer], look.take, everything=True)
            self._before[consumer] = _Digests(look.new)

    def instead(self, sources: Mapping[str, Source]) -> Effects:
        """Return an observer that reads the given services' effects from ``sources``, and has seen no effects yet."""
        other = Effects(self._described, {**self._sources, **sources}, self._template, event=self._event)
        other._before = self._before
        return other

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Yield the rows of each service's query as effects."""
        for consumer in self._described:
            look = _Look(self._seen[consumer], self._before[consumer], everything=final)
            await self._each(consumer, self._sources[consumer], look.take, everything=final)
            for row in look.given:
                yield self._fields(consumer, row)
            # Last: if this pass is cut short, its rows are still new to the next one.
            self._seen[consumer].add(look.new)

    async def _each(
        self, consumer: str, source: Source, take: Callable[[Sequence[Row]], None], *, everything: bool
    ) -> None:
        try:
            await source.each(take, everything=everything)
        except StackError as error:
            raise StackError(f"effects.{consumer}: {error}") from error

    async def close(self) -> None:
        """Close the connections of the sources."""
        for source in self._sources.values():
            await source.close()

    def _fields(self, consumer: str, row: Row) -> Fields:
        by = self._described[consumer].by
        told = row if isinstance(row, Sourced) else Sourced()
        place = told.get("place")
        fields: dict[str, object] = {"op": "effect", "phase": "seen", "consumer": consumer}
        if isinstance(place, Mapping):
            fields |= place
        if "error" in told:
            return {**fields, "error": told["error"]}
        event_id = named_key(self._event, row["id"]) if by is None else None
        key = named_key(by, row["id"]) if by is not None else None
        name = spelled.name_of(row.get("effect"))
        # No value of an event determines the offset that a broker assigns, so such a name has no template.
        own = place is not None or "own" in told
        named = self._template(event_id if key is None else (consumer, key), name) if name and not own else None
        return {
            **fields,
            "event_id": event_id,
            "key": key,
            "effect": name,
            "template": named,
            "digest": spelled.sha256(row.get("carries")),
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
