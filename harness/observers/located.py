"""Values of a record where a system file says that they are, and the business keys that join effects with events."""

from __future__ import annotations

import orjson

from harness.errors import StackError
from harness.model import By, Pointers, Where, said
from harness.observers.identity import identity
from harness.pointer import pick
from harness.stack import Record


def text(value: object) -> str | None:
    """Return a JSON value as text; None for null and for an empty string."""
    if value is None or isinstance(value, str):
        return value or None
    return orjson.dumps(value).decode()


def located(where: str | Where, record: Record, value: object) -> str | None:
    """Return the text at ``where``, a UUID in canonical form; None if there is none. ``value`` is the parsed value."""
    if isinstance(where, str):
        found = text(pick(value, where))
    else:
        raw = record.key if where.key else dict(record.headers).get(where.header or "")
        found = raw.decode("utf-8", "replace") if raw is not None else None
    return identity(found) if found is not None else None


def named_at(where: Pointers, value: object) -> object:
    """Return what is at a pointer, or a list of what is at several; None if it, or a part of it, is not there."""
    if isinstance(where, str):
        return pick(value, where)
    parts = [pick(value, pointer) for pointer in where]
    return None if any(text(part) is None for part in parts) else parts


def business_key(by: By, record: Record, value: object) -> str | None:
    """Return the id or key that a record holds at ``by``; None if it, or a part of it, is not there.

    What is at several pointers becomes a JSON array, so that no two keys have the same text.
    """
    if isinstance(by, str | Where):
        return located(by, record, value) or None
    parts = [located(pointer, record, value) for pointer in by]
    return orjson.dumps(parts).decode() if all(parts) else None


def named_key(by: By, named: object) -> str:
    """Return the id or key that an effect names, spelled as ``business_key`` does.

    Raises StackError if it has several parts, and ``named`` is no JSON array of as many.
    """
    if isinstance(by, str | Where):
        return _spelled(named) or str(named)
    parts = named
    if isinstance(named, str | bytes):
        try:
            parts = orjson.loads(named)
        except orjson.JSONDecodeError:
            parts = None
    if not isinstance(parts, list | tuple) or len(parts) != len(by):
        raise StackError(
            f"`id` is {str(named)[:80]}; what it names is at {len(by)} pointers ({said(by)}), so it must be a JSON array of "
            f"{len(by)} values, for example json_array(a, b) in SQLite or json_build_array(a, b) in Postgres"
        )
    return orjson.dumps([_spelled(part) for part in parts]).decode()


def _spelled(named: object) -> str:
    """Return what a store names as ``located`` spells it in an event; a store's own types, such as dates, spell themselves."""
    if isinstance(named, list | tuple | dict):
        return orjson.dumps(named, default=str).decode()
    if named is None or isinstance(named, bool | float):
        return text(named) or ""
    return identity(str(named))
