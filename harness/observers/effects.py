"""Reads each service's effects from its own database."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from harness.stack import Fields
from harness.system import Effects as Described

Row = Mapping[str, object]
Each = Callable[[str, str, Callable[[Sequence[Row]], None]], Awaitable[None]]
"""``each(url, query, take)``: gives ``take`` the rows of a query, some at a time."""


class Effects:
    """Effects of every service that has some; an interim pass gives those that are new.

    A query gives all rows each time, and a long run has very many: what is kept of one is a digest.
    """

    what = "effects"

    def __init__(self, described: Mapping[str, Described], urls: Mapping[str, str], each: Each) -> None:
        self._described = described
        self._urls = urls
        self._each = each
        self._seen: dict[str, Counter[int]] = {consumer: Counter() for consumer in described}
        self._before: dict[str, Counter[int]] = {consumer: Counter() for consumer in described}

    @property
    def count(self) -> int:
        """How many effects were seen so far."""
        return sum(seen.total() for seen in self._seen.values())

    async def leave_aside(self) -> None:
        """What there is now is not the run's."""
        for consumer in self._described:
            look = _Look(consumer, Counter(), Counter())
            await self._look(look)
            self._before[consumer] = look.now

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Rows of each service's query, as effects."""
        for consumer in self._described:
            look = _Look(consumer, self._seen[consumer], self._before[consumer], everything=final)
            await self._look(look)
            self._seen[consumer].update(look.new)
            for fields in look.given:
                yield fields

    async def _look(self, look: _Look) -> None:
        await self._each(self._urls[look.consumer], self._described[look.consumer].sql.query, look.take)


class _Look:
    """One pass over a service's rows; ``now`` counts them by identity, ``new`` those that there were not before."""

    def __init__(self, consumer: str, seen: Counter[int], before: Counter[int], *, everything: bool = False) -> None:
        self.consumer = consumer
        self._seen, self._before, self._everything = seen, before, everything
        self.now: Counter[int] = Counter()
        self.new: Counter[int] = Counter()
        self.given: list[Fields] = []

    def take(self, rows: Sequence[Row]) -> None:
        """Look at some of the rows."""
        for row in rows:
            identity = _digest(row)
            self.now[identity] += 1
            times = self.now[identity] - self._before[identity]
            if times <= 0:
                continue
            is_new = times > self._seen[identity]
            self.new[identity] += is_new
            if is_new or self._everything:
                self.given.append(_fields(self.consumer, row))


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
