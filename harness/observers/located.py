"""Reads a record's values at the places that a system file gives, and the keys that join effects with events."""

from __future__ import annotations

from harness.errors import StackError
from harness.exact_json import dumps, loads, text
from harness.model import By, Pointers, Where, said
from harness.observers.identity import identity
from harness.observers.spelled import spelled
from harness.pointer import pick
from harness.stack import Record


def located(where: str | Where, record: Record, value: object) -> str | None:
    """Return the text at ``where``, a UUID in canonical form; None if there is none. ``value`` is the parsed value.

    Raises UnicodeDecodeError for a key or a header that is not UTF-8: with other characters in place of what cannot be
    read, two ids would be one.
    """
    if isinstance(where, str):
        found = text(pick(value, where))
    else:
        raw = record.key if where.key else dict(record.headers).get(where.header or "")
        found = raw.decode() if raw is not None else None
    return identity(found) if found is not None else None


def named_at(where: Pointers, value: object) -> object:
    """Return the value at a pointer, or a list of the values at several; None if any is missing."""
    if isinstance(where, str):
        return pick(value, where)
    parts = [pick(value, pointer) for pointer in where]
    return None if any(text(part) is None for part in parts) else parts


def business_key(by: By, record: Record, value: object) -> str | None:
    """Return the id or key that a record holds at ``by``; None if any part of it is missing.

    The values at several pointers become a JSON array, so that no two keys have the same text.
    """
    if isinstance(by, str | Where):
        return located(by, record, value) or None
    parts = [located(pointer, record, value) for pointer in by]
    return dumps(parts) if all(parts) else None


def named_key(by: By, named: object) -> str:
    """Return the id or key that an effect names, spelled as ``business_key`` does.

    Raises StackError if ``named`` is null or bytes that are no UUID, or if ``by`` has several pointers and it is not a JSON
    array of as many values.
    """
    if named is None:
        raise StackError("`id` is null in a row; leave out rows that are of no event (WHERE … IS NOT NULL)")
    if isinstance(by, str | Where):
        return spelled(named) or str(named)
    parts = named
    if isinstance(named, str | bytes):
        try:
            parts = loads(named)
        except ValueError:
            parts = None
    if not isinstance(parts, list | tuple) or len(parts) != len(by):
        raise StackError(
            f"`id` is {str(named)[:80]}; what it names is at {len(by)} pointers ({said(by)}), so it must be a JSON array of "
            f"{len(by)} values, for example json_array(a, b) in SQLite or json_build_array(a, b) in Postgres"
        )
    return dumps([spelled(part) for part in parts])
