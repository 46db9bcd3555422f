"""Reads effects or sums from a JSON list with which a service answers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol

from harness.errors import StackError
from harness.exact_json import loads, text
from harness.model import said
from harness.observers.located import named_at
from harness.pointer import pick

if TYPE_CHECKING:
    from harness.effects import HttpList as Described
    from harness.observers.sources import Row, Take

_SHOWN: Final = 80
"""Characters of an element that a message quotes."""


class Http(Protocol):
    """Asks services."""

    async def whole(self, url: str) -> bytes:
        """Return the body of the one answer that holds everything; raises StackError if there is none."""


class HttpList:
    """Requests the whole list each time and reads its elements."""

    def __init__(self, http: Http, described: Described, url: str, *, sums: bool = False) -> None:
        self._http, self._described, self._url, self._sums = http, described, url, sums

    async def each(self, take: Take, *, everything: bool) -> None:  # noqa: ARG002 - an answer always has everything
        """Ask, and pass the elements to ``take``."""
        try:
            take(self._rows(await self._http.whole(self._url)))
        except StackError as error:
            raise StackError(f"http: {error}") from error

    async def close(self) -> None:
        """Do nothing: the client belongs to the caller."""

    def _rows(self, body: bytes) -> list[Row]:
        try:
            answer = loads(body)
            # Sums are parsed as exact decimals, everything else as in events.
            exactly: object = json.loads(body, parse_float=Decimal) if self._sums else answer
        except (ValueError, RecursionError) as error:
            raise StackError(f"the answer is not JSON ({error})") from error
        elements, sums = self._list(answer), self._list(exactly)
        if (count := self._described.count) is not None and pick(answer, count) != len(elements):
            raise StackError(
                f"the list has {len(elements)} elements, and {pick(answer, count)} at {count}: it is not all of them"
            )
        return [self._row(element, number, sums[number]) for number, element in enumerate(elements)]

    def _list(self, answer: object) -> list[object]:
        where = self._described.list
        elements = answer if where is None else pick(answer, where)
        if not isinstance(elements, list):
            raise StackError(
                f"the answer has no list {f'at {where}' if where is not None else '(say where: `list`)'}"
            )
        return elements

    def _row(self, element: object, number: int, exactly: object) -> Row:
        described = self._described
        named = named_at(described.id, element)
        if text(named) is None:
            raise StackError(f"element {number} has nothing at {said(described.id)}: {str(element)[:_SHOWN]}")
        row: dict[str, object] = {"id": named if isinstance(named, list) else text(named)}
        if self._sums:
            return row | {"total": pick(exactly, described.total)}
        others = {"effect": described.effect, "carries": described.carries}
        return row | {name: text(pick(element, pointer)) for name, pointer in others.items() if pointer is not None}
