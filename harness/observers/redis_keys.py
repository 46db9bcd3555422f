"""Reads effects or sums from Redis: keys, or the elements in them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from harness.errors import StackError
from harness.exact_json import loads, text
from harness.model import said
from harness.observers.id_in_name import Pattern
from harness.observers.located import named_at
from harness.observers.sources import Row, Sourced, Take
from harness.pointer import pick

if TYPE_CHECKING:
    from harness.clients.redis import Contents
    from harness.effects import RedisKeys as Described

_SPECIAL: Final = "\\*?[]^"
"""Characters with a special meaning in a Redis glob."""


class Store(Protocol):
    """A database of a Redis."""

    async def contents(self, glob: bytes) -> Contents:
        """Return key -> (type, content) of every key that matches; raises StackError if it cannot be read."""

    async def close(self) -> None:
        """Close its connections."""


class RedisKeys:
    """Reads all keys that match a pattern each time, as effects or, if ``sums``, as sums."""

    def __init__(
        self, store: Store, described: Described, filled: Callable[[str], str], *, sums: bool = False
    ) -> None:
        self._store, self._described, self._sums = store, described, sums
        self._pattern = Pattern(filled(described.keys))

    async def each(self, take: Take, *, everything: bool) -> None:
        """Pass the keys' contents to ``take``; ``everything`` reads twice and compares, as the reads are not atomic."""
        rows = await self._rows()
        if everything and rows != await self._rows():
            raise StackError(f"redis: {self._pattern.text} changed while it was read")
        take(rows)

    async def close(self) -> None:
        """Close the connections of the store."""
        await self._store.close()

    async def _rows(self) -> list[Row]:
        try:
            found = await self._store.contents(self._pattern.glob(_SPECIAL, "\\{}").encode())
            return [
                row
                for key, (kind, content) in sorted(found.items())
                for row in self._of_key(_plain(key), kind, content)
            ]
        except StackError as error:
            raise StackError(f"redis: {error}") from error

    def _of_key(self, key: str, kind: str, content: Any) -> Iterator[Row]:  # noqa: ANN401 - it depends on the type
        fields = self._described.fields
        if fields and kind != "hash":
            raise StackError(f"{key} is a {kind}, not a hash: it has no `fields`")
        if self._sums and not (kind == "string" or fields):
            raise StackError(f"{key} is a {kind}; a sum is a string, or a field of a hash (`fields: true`)")
        if kind not in _PARTS:
            raise StackError(f"{key} is a {kind}, which is not read here; let a `command` print what is in it")
        named = self._pattern.id_in(key) if self._pattern.names_id else None
        if self._pattern.names_id and named is None:
            raise StackError(f"{key} has no id where the pattern {self._pattern.text} has {{id}}")
        for name, part in _fields(content) if fields else _PARTS[kind](content):
            by_field = name if fields and self._described.id is None else None
            row = self._row(f"{key} {name}".strip(), named or by_field, part)
            if kind == "list":
                row = Sourced(row, own=True)
            elif not self._pattern.open and (name == row["id"] or (named is not None and not name)):
                row["effect"] = row["id"]  # the name varies only by the id
            yield row

    def _row(self, name: str, named: str | None, content: bytes | Mapping[str, object]) -> dict[str, object]:
        """Return one effect or sum as a row; its id is ``named``, the value at the pointer, or the whole content."""
        whole = _plain(content) if isinstance(content, bytes) else None
        document = content if whole is None else _value(whole)
        pointer = self._described.id
        found: object = named or (named_at(pointer, document) if pointer is not None else whole)
        if text(found) is None:
            where = "it is a hash or a stream's entry: say where" if pointer is None else "it has nothing at `id`"
            raise StackError(f"{name}: {where} ({said(pointer) if pointer is not None else 'id: /FIELD'})")
        row: dict[str, object] = {"id": found if isinstance(found, list) else text(found)}
        if self._sums:
            return row | {"total": whole}
        carries = self._described.carries
        return row | {"effect": name, "carries": text(pick(document, carries)) if carries is not None else None}


def _fields(content: Mapping[bytes, bytes]) -> Iterator[Part]:
    yield from ((_plain(name), value) for name, value in sorted(content.items()))


def _members(content: Iterable[bytes]) -> Iterator[Part]:
    yield from ((_plain(member), member) for member in sorted(content))


def _elements(content: Iterable[bytes]) -> Iterator[Part]:
    """Name each element by its hash and its number among equal ones: a position changes when others are put before."""
    equal: Counter[bytes] = Counter()
    for element in sorted(content):
        equal[element] += 1
        yield f"{hashlib.sha256(element).hexdigest()[:16]} {equal[element]}", element


def _entries(content: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> Iterator[Part]:
    yield from ((_plain(place), _object(fields)) for place, fields in content)


Part = tuple[str, bytes | Mapping[str, object]]
"""The name of an element within its key (empty for a key with a single value), and its content."""

_PARTS: Final[Mapping[str, Callable[[Any], Iterable[Part]]]] = {
    "string": lambda content: [("", content)],
    "hash": lambda content: [("", _object(content))],
    "set": _members,
    "zset": _members,
    "list": _elements,
    "stream": _entries,
}
"""Type of a key -> function that returns its parts, each an effect."""


def _plain(raw: bytes) -> str:
    """Return bytes as text; those that are not UTF-8 become distinct escapes."""
    return raw.decode("utf-8", "backslashreplace")


def _object(fields: Mapping[bytes, bytes]) -> dict[str, object]:
    return {_plain(name): _value(_plain(value)) for name, value in fields.items()}


def _value(raw: str) -> object:
    """Parse a JSON object or list; return anything else as text."""
    if raw.lstrip()[:1] in {"{", "["}:
        try:
            return loads(raw)
        except ValueError:
            return raw
    return raw
