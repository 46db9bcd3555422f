"""Plants a lost effect, a doubled effect or a wrong total in a scratch copy, by trial and error, for any query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid4

import orjson

from harness.calibrate.scratch import RefusedError, Row, Scratch
from harness.observers.identity import identity

Known = Callable[[object], bool]
"""Whether a row's ``id`` is that of an effect of this run."""

TRIED: Final = 20
"""Rows of each table that are tried."""


@dataclass(frozen=True, slots=True)
class Planted:
    """What was changed in the copy: the ``id`` of the effect or total as the query names it, and how, as words."""

    id: object
    said: str


class NotPlantedError(Exception):
    """The control could not be planted in what the query reads; the message says why. This does not mean "unseen"."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A row of a table whose deletion removes one effect."""

    table: str
    row: Row
    id: object
    effect: object


def lose(scratch: Scratch, known: Known) -> Planted:
    """Delete the row of one effect; NotPlantedError if there is none."""
    found = next(_effects(scratch, known), None)
    if found is None:
        raise NotPlantedError(f"no single row of {_read(scratch)} makes an effect of the run")
    scratch.delete(found.table, found.row)
    return Planted(found.id, f"a row of {found.table} deleted")


def double(scratch: Scratch, known: Known) -> Planted:
    """Copy the row of one effect, as if its event had been applied twice.

    Unique columns get a new value, unless they name the event. NotPlantedError if the store takes no such row.
    """
    all_found = list(_effects(scratch, known))
    # Of the tables in a join, the effects' own is the one with the effect's name.
    found = [one for one in all_found if any(_text(value) == _text(one.effect) for value in one.row.values())]
    refused, hidden = "", None
    for one in found or all_found:
        before = _counted(scratch, one.id)
        copy, beside_the_id = _copied(scratch, one)
        try:
            with scratch.trial():
                scratch.insert(one.table, copy)
                shown = _counted(scratch, one.id) > before
            with scratch.trial():
                scratch.delete(one.table, one.row)
                scratch.insert(one.table, copy)
                stands = _counted(scratch, one.id) == before
        except RefusedError as error:
            refused = refused or f"{one.table}: the store refuses a second row ({error})"
            continue
        if shown:
            return _insert(scratch, one, copy)
        if beside_the_id:
            refused = refused or f"{one.table}: the store takes a second row only under another {beside_the_id}"
        elif not stands:
            # Even alone the copy would be no effect: its new values no longer join it with its event.
            refused = refused or f"{one.table}: the store takes a second row only apart from its event"
        else:
            hidden = hidden or (one, copy)
    if hidden is not None:
        return _insert(scratch, *hidden)
    raise NotPlantedError(refused or f"no single row of {_read(scratch)} makes an effect of the run")


def raise_total(scratch: Scratch, known: Known, amount: Decimal) -> Planted:
    """Add an event's amount, as a whole number, to one total again; NotPlantedError if no single number does that."""
    before = _totals(scratch)
    for table in scratch.tables():
        for row in scratch.held(table, TRIED):
            for column, value in row.items():
                if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
                    continue
                more = value + type(value)(int(amount) or 1)  # type: ignore[operator]
                try:
                    with scratch.trial():
                        scratch.update(table, row, column, more)
                        after = _totals(scratch)
                except RefusedError:
                    continue
                changed = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
                if len(changed) == 1 and changed[0] in before.keys() & after.keys() and known(changed[0]):
                    scratch.update(table, row, column, more)
                    return Planted(changed[0], f"{column} of {table} raised")
    raise NotPlantedError(f"no single number in {_read(scratch)} makes up one total of the run")


def _insert(scratch: Scratch, found: _Found, copy: Row) -> Planted:
    scratch.insert(found.table, copy)
    return Planted(found.id, f"a row of {found.table} copied")


def _effects(scratch: Scratch, known: Known) -> Iterator[_Found]:
    """Yield the first row of each table whose deletion removes exactly one effect of the run."""
    before = _named(scratch)
    for table in scratch.tables():
        for row in scratch.held(table, TRIED):
            try:
                with scratch.trial():
                    scratch.delete(table, row)
                    after = _named(scratch)
            except RefusedError:
                continue
            gone = list((before - after).elements())
            if len(gone) == 1 and not after - before and known(gone[0][0]):
                yield _Found(table, row, *gone[0])
                break


def _copied(scratch: Scratch, found: _Found) -> tuple[Row, str]:
    """Return a copy of the row with new values where it must be unique.

    Also return the column, if any, that had to change because it is unique only together with the event's id.
    """
    copy, given, beside = dict(found.row), scratch.given(found.table), ""
    for columns in scratch.unique(found.table):
        naming = [column for column in columns if _names(found.row.get(column), found.id)]
        others = [column for column in columns if column not in naming and column in copy]
        if any(copy.get(column) != found.row.get(column) or column not in copy for column in columns) or not others:
            continue
        if others[-1] in given and not naming:
            del copy[others[-1]]
            continue
        if naming and _text(copy[others[-1]]) != _text(found.effect):
            beside = others[-1]
        copy[others[-1]] = _fresh(copy[others[-1]], scratch.most(found.table, others[-1]))
    for column, value in found.row.items():
        # A second effect has its own name, even where the store does not require that.
        if _text(value) == _text(found.effect) and copy.get(column) == value and not _names(value, found.id):
            copy[column] = _fresh(value, scratch.most(found.table, column))
    return copy, beside


def _fresh(value: object, most: object) -> object:
    """Return another value of the same kind."""
    if isinstance(value, int | float | Decimal) and isinstance(most, int | float | Decimal):
        return most + 1
    if isinstance(value, UUID):
        return uuid4()
    if isinstance(value, bytes):
        return (uuid4().bytes * (len(value) // 16 + 1))[: len(value)]
    if isinstance(value, str):
        try:
            UUID(value)
        except ValueError:
            return f"{value}-copy"
        return str(uuid4())
    return value


def _names(value: object, named: object) -> bool:
    """Whether a value of a row names the event, or a part of its key."""
    parts: list[object] = [named]
    if isinstance(named, str | bytes):
        try:
            parsed = orjson.loads(named)
        except orjson.JSONDecodeError:
            parsed = None
        parts += parsed if isinstance(parsed, list) else []
    return any(_text(value) == _text(part) for part in parts)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return identity(str(value))


def _named(scratch: Scratch) -> Counter[tuple[object, object]]:
    return Counter((row.get("id"), row.get("effect")) for row in scratch.rows())


def _counted(scratch: Scratch, named: object) -> int:
    return sum(row.get("id") == named for row in scratch.rows())


def _totals(scratch: Scratch) -> dict[object, object]:
    return {row.get("id"): row.get("total") for row in scratch.rows()}


def _read(scratch: Scratch) -> str:
    return ", ".join(scratch.tables()) or "what the query reads"
