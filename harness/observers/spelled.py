"""Spells what a store holds as the events spell it: ids, names of effects, digests."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from harness.errors import StackError
from harness.exact_json import dumps, text
from harness.observers.identity import identity

_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.IGNORECASE | re.ASCII)

_VERSIONS: Final = range(1, 9)


def spelled(named: object) -> str:
    """Return an id, a key or a part of one as text, as ``located`` does in an event; other types become ``str``.

    Raises StackError for bytes that are no UUID: nobody knows how the events spell them.
    """
    if isinstance(named, bytes):
        if (uuid := _uuid(named)) is None:
            raise StackError(
                f"`id` is {len(named)} bytes, and no UUID; let the query return text, as the events have it: hex(id) or "
                "CAST(id AS TEXT) in SQLite, encode(id, 'hex') or convert_from(id, 'UTF8') in Postgres"
            )
        return uuid
    if isinstance(named, list | tuple | dict):
        return dumps(named, sort=True, default=_inner)
    if named is None or isinstance(named, bool | float):
        return text(named) or ""
    return identity(str(named))


def name_of(effect: object) -> str | None:
    """Return an effect's name as text; bytes become the UUID or the text that they are, so that an event's is recognised."""
    if not isinstance(effect, bytes):
        return str(effect) if effect is not None else None
    return _uuid(effect) or effect.decode("utf-8", "backslashreplace")


def sha256(carries: object) -> object:
    """Return a digest as 64 hexadecimal digits in lower case; anything else that is no bytes stays as it is.

    Raises StackError for bytes that are no SHA-256.
    """
    digits = carries
    if isinstance(carries, bytes):
        digits = carries.hex() if len(carries) == 32 else carries.decode("ascii", "replace")  # noqa: PLR2004 - of SHA-256
    if isinstance(digits, str) and _SHA256.fullmatch(digits):
        return digits.lower()
    if isinstance(carries, bytes):
        raise StackError(
            f"`carries` is {len(carries)} bytes, and no SHA-256; let the query return its 64 hexadecimal digits: hex(digest) "
            "in SQLite, encode(digest, 'hex') in Postgres"
        )
    return carries


def _uuid(raw: bytes) -> str | None:
    """Return 16 bytes as a UUID; None if they are something else, such as a ULID or a GUID in .NET's order of bytes.

    Of these some look like a UUID, but hardly all of a table.
    """
    if len(raw) != 16:  # noqa: PLR2004 - the bytes of a UUID
        return None
    uuid = UUID(bytes=raw)
    return str(uuid) if uuid.version in _VERSIONS else None


def _inner(value: object) -> str:
    return spelled(value) if isinstance(value, bytes) else str(value)
