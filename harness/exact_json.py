"""JSON whose integers keep every digit: orjson reads those beyond 64 bits as floats, and two ids would become one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

import orjson

_LONG: Final = re.compile(rb"\d{19}")
"""As many digits as an integer beyond 64 bits has at least."""


def loads(raw: bytes | str) -> object:
    """Parse JSON; what orjson does not accept, this does not either.

    Raises orjson.JSONDecodeError if it is not JSON, and another ValueError if it is nested too deeply for its numbers to be
    read.
    """
    value: object = orjson.loads(raw)
    if not _LONG.search(raw.encode() if isinstance(raw, str) else raw):
        return value
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("it is nested too deeply for its long numbers to be read") from None


def loads_any(raw: bytes) -> object:
    """Parse JSON, also what only some parsers accept, such as NaN or half of a surrogate pair; ValueError if it is none."""
    try:
        return loads(raw)
    except orjson.JSONDecodeError:
        try:
            return json.loads(raw.decode("utf-8-sig"))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None


def dumps(value: object, *, sort: bool = False, default: Callable[[object], object] | None = None) -> str:
    """Return a value as JSON text without spaces; ``default`` turns what is not JSON into what is.

    Raises TypeError if it cannot be written, or is nested too deeply.
    """
    try:
        return orjson.dumps(value, default=default, option=orjson.OPT_SORT_KEYS if sort else None).decode()
    except TypeError:
        try:
            made = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort, default=default)
        except RecursionError:
            raise TypeError("it is nested too deeply") from None
        if not _LONG.search(made.encode()):
            raise
        return made


def text(value: object) -> str | None:
    """Return a JSON value as text, an object's fields in order; None for null and for an empty string."""
    if value is None or isinstance(value, str):
        return value or None
    return dumps(value, sort=True)
