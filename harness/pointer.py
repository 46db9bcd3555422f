"""JSON pointers (RFC 6901), with which system files locate values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def pick(value: object, pointer: str) -> object:
    """Return the value at ``pointer`` (``/data/upload_id``), or None if there is none."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and name.isdecimal():
            value = value[int(name)] if int(name) < len(value) else None
        else:
            return None
    return value
