"""Reads each service's effects from its own database."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from harness.stack import Fields
from harness.system import Effects as Described

Rows = Callable[[str, str], Awaitable[Sequence[Mapping[str, object]]]]
"""``rows(url, query)``: the rows of a query."""


class Effects:
    """Effects of every service that has some; an interim pass gives those that are new."""

    what = "effects"

    def __init__(self, described: Mapping[str, Described], urls: Mapping[str, str], rows: Rows) -> None:
        self._described = described
        self._urls = urls
        self._rows = rows
        self._seen: Counter[tuple[object, ...]] = Counter()
        self._before: Counter[tuple[object, ...]] = Counter()

    @property
    def count(self) -> int:
        """How many effects were seen so far."""
        return self._seen.total()

    async def leave_aside(self) -> None:
        """What there is now is not the run's."""
        self._before = Counter([identity async for identity in self._identities()])

    async def _identities(self) -> AsyncIterator[tuple[object, ...]]:
        for consumer, described in self._described.items():
            for row in await self._rows(self._urls[consumer], described.sql.query):
                yield consumer, row["id"], row.get("effect"), row.get("carries")

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Rows of each service's query, as effects."""
        now: Counter[tuple[object, ...]] = Counter()
        before = self._before.copy()
        async for identity in self._identities():
            if before[identity]:
                before[identity] -= 1
                continue
            now[identity] += 1
            if final or now[identity] > self._seen[identity]:
                yield _fields(identity)
        self._seen |= now


def _fields(identity: tuple[object, ...]) -> Fields:
    consumer, event_id, effect, carries = identity
    return {
        "op": "effect",
        "phase": "seen",
        "consumer": consumer,
        "event_id": str(event_id),
        "effect": str(effect) if effect is not None else None,
        "digest": carries,
    }
