"""Reads each service's effects from its own database."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from harness.stack import Fields
from harness.system import Effects as Described

Rows = Callable[[str, str], Awaitable[Sequence[Mapping[str, object]]]]
"""``rows(url, query)``: the rows of a query."""


class Effects:
    """Effects of every service that has some; an interim pass gives those that are new.

    A query gives all rows each time, and a long run has very many: what is kept of one is a digest, and they are gone
    through beside the event loop.
    """

    what = "effects"

    def __init__(self, described: Mapping[str, Described], urls: Mapping[str, str], rows: Rows) -> None:
        self._described = described
        self._urls = urls
        self._rows = rows
        self._seen: dict[str, Counter[bytes]] = {consumer: Counter() for consumer in described}
        self._before: dict[str, Counter[bytes]] = {consumer: Counter() for consumer in described}

    @property
    def count(self) -> int:
        """How many effects were seen so far."""
        return sum(seen.total() for seen in self._seen.values())

    async def leave_aside(self) -> None:
        """What there is now is not the run's."""
        for consumer in self._described:
            self._before[consumer] = Counter(_digest(row) for row in await self._all(consumer))

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Rows of each service's query, as effects."""
        for consumer in self._described:
            for fields in await asyncio.to_thread(self._given, consumer, await self._all(consumer), final):
                yield fields

    async def _all(self, consumer: str) -> Sequence[Mapping[str, object]]:
        return await self._rows(self._urls[consumer], self._described[consumer].sql.query)

    def _given(self, consumer: str, rows: Sequence[Mapping[str, object]], final: bool) -> list[Fields]:  # noqa: FBT001
        now: Counter[bytes] = Counter()
        seen, before = self._seen[consumer], self._before[consumer].copy()
        given = []
        for row in rows:
            identity = _digest(row)
            if before[identity]:
                before[identity] -= 1
                continue
            now[identity] += 1
            is_new = now[identity] > seen[identity]
            if is_new:
                seen[identity] = now[identity]
            if is_new or final:
                given.append(_fields(consumer, row))
        return given


def _digest(row: Mapping[str, object]) -> bytes:
    identity = repr((row["id"], row.get("effect"), row.get("carries")))
    return hashlib.blake2b(identity.encode(), digest_size=16).digest()


def _fields(consumer: str, row: Mapping[str, object]) -> Fields:
    effect = row.get("effect")
    return {
        "op": "effect",
        "phase": "seen",
        "consumer": consumer,
        "event_id": str(row["id"]),
        "effect": str(effect) if effect is not None else None,
        "digest": row.get("carries"),
    }
