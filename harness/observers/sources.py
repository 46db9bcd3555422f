"""Reads the effects of one service: from its database, a test's function, or a topic that it writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from harness.effects import OutputTopic
from harness.errors import StackError
from harness.exact_json import loads
from harness.model import By, Where
from harness.observers.base import seen_at
from harness.observers.located import business_key, located
from harness.observers.unreadable import Undecoded
from harness.pointer import pick
from harness.stack import MARK, Record

Row = Mapping[str, object]
"""``id``, ``effect`` and ``carries`` of an effect, or ``id`` and ``total`` of a sum; other keys are ignored."""


class Sourced(dict[str, object]):
    """A row with further fields that only the harness sets; a query's own columns must not set them.

    ``place`` and ``error`` are those of a topic's record; ``own``: no value of the event determines the effect's name.
    """


Take = Callable[[Sequence[Row]], None]

RETURNS_WITHIN = 60.0
"""Seconds that a test's function may take; a command may take as long."""

Each = Callable[[str, str, Take], Awaitable[None]]
"""``each(url, query, take)`` passes the rows of a query to ``take`` in batches."""


class Source(Protocol):
    """Reads the effects of one service."""

    async def each(self, take: Take, *, everything: bool) -> None:
        """Pass every effect to ``take`` in batches; unless ``everything``, effects of earlier calls may be left out.

        Raises StackError if reading fails.
        """

    async def close(self) -> None:
        """Close its connections."""


class Database:
    """Reads all rows of a query each time."""

    def __init__(self, url: str, query: str, each: Each) -> None:
        self._url, self._query, self._each = url, query, each

    async def each(self, take: Take, *, everything: bool) -> None:  # noqa: ARG002 - a query always returns everything
        """Pass every row to ``take``."""
        await self._each(self._url, self._query, take)

    async def close(self) -> None:
        """Do nothing: each call opens and closes its own connection."""


class Function:
    """Calls a function in a thread and reads everything that it returns, each time."""

    def __init__(self, call: Callable[[], Iterable[Any]]) -> None:
        self._call, self._name = call, getattr(call, "__name__", repr(call))

    async def each(self, take: Take, *, everything: bool) -> None:  # noqa: ARG002 - it always returns everything
        """Pass every row to ``take``; StackError if the function takes too long, although its thread goes on."""
        try:
            async with asyncio.timeout(RETURNS_WITHIN):
                rows = await asyncio.to_thread(self._rows)
        except TimeoutError as error:
            raise StackError(f"{self._name}() gave no rows within {RETURNS_WITHIN:g} s") from error
        take(rows)

    def _rows(self) -> list[Row]:
        try:
            rows: list[Row] = [{name: _plain(value) for name, value in dict(row).items()} for row in self._call()]
        except Exception as error:
            raise StackError(
                f"{self._name}() gave no rows: {type(error).__name__}: {error}; it must return mappings, each with "
                "`id` (the event's) and `effect`"
            ) from error
        for row in rows:
            if row.get("id") is None:
                raise StackError(
                    f"{self._name}() gave a row without an `id`: it has {', '.join(map(str, row)) or 'nothing'}"
                )
        return rows

    async def close(self) -> None:
        """Do nothing: the function has its own connections."""


def _plain(value: object) -> object:
    """Return bytes as such: two looks at one row must be equal, and some drivers give a view of a buffer."""
    return bytes(value) if isinstance(value, memoryview | bytearray) else value


class Reader(Protocol):
    """Reads a topic in passes."""

    async def pass_to_end(self) -> Sequence[Record]:
        """Return the records that were visible when the pass began and not returned before."""

    async def close(self) -> None:
        """Close its connection."""


def _parsed(value: bytes | None) -> tuple[object, str]:
    """Return a record's parsed value, or None and why it cannot be parsed."""
    if value is None:
        return (
            None,
            "no value, so it may be a tombstone, or an effect without data; give such effects one, for example {}",
        )
    if isinstance(value, Undecoded):
        return None, value.why
    try:
        return loads(value) if value else None, ""
    except ValueError as error:
        return None, f"not JSON ({error})"


class Output:
    """Reads the records of a topic as effects, each named by its place."""

    def __init__(
        self,
        described: OutputTopic,
        opened: Callable[[], Awaitable[Reader]],
        settled: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._described, self._opened, self._settled = described, opened, settled
        self._following: Reader | None = None

    async def each(self, take: Take, *, everything: bool) -> None:
        """Pass the records to ``take``; ``everything`` reads the topic from its first record again.

        That raises StackError while a transaction hides some of them.
        """
        if everything:
            if self._settled is not None:
                await self._settled()
            reader = await self._opened()
            try:
                take(self._rows(await reader.pass_to_end()))
            finally:
                await reader.close()
            return
        if self._following is None:
            self._following = await self._opened()
        take(self._rows(await self._following.pass_to_end()))

    async def close(self) -> None:
        """Close the reader that follows the topic."""
        if self._following is not None:
            await self._following.close()

    def _rows(self, records: Sequence[Record]) -> list[Row]:
        return [row for record in records if (row := self._row(record)) is not None]

    def _row(self, record: Record) -> Row | None:
        """Return a record as an effect; None for a tombstone, or if ``only`` excludes it."""
        if record.value is None and (self._described.only or not _named_by_header(self._described.id, record)):
            return None
        mark = dict(record.headers).get(MARK) or b""
        place = {**seen_at("effect", record), "marked": mark.decode("utf-8", "replace") or None}
        named = {"effect": f"{record.topic}:{record.partition}:{record.offset}", "place": place}
        value, why = _parsed(record.value)
        in_value = not isinstance(self._described.id, Where) or isinstance(self._described.carries, str)
        if why and (in_value or self._described.only or record.value is None):
            return Sourced({"id": None, **named, "error": f"no effect can be read from it: {why}"})
        if any(pick(value, pointer) != wanted for pointer, wanted in self._described.only.items()):
            return None
        carries = self._described.carries
        try:
            event = business_key(self._described.id, record, value)
            carried = located(carries, record, value) if carries is not None else None
        except UnicodeDecodeError as error:
            return Sourced({"id": None, **named, "error": f"no effect can be read from it: {error}"})
        if event is None:
            return Sourced({"id": None, **named, "error": "no effect can be read from it: it has nothing at `id`"})
        return Sourced({"id": event, **named, "carries": carried})


def _named_by_header(where: By, record: Record) -> bool:
    return isinstance(where, Where) and bool(dict(record.headers).get(where.header or ""))
