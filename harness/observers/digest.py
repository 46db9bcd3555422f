"""The digest of an event's data, which tells two facts of one id apart."""

from __future__ import annotations

import hashlib

import rfc8785


def digest(data: object) -> str:
    """Return the hex SHA-256 of an event's data as canonical JSON (RFC 8785), with every integer written in full.

    Raises RecursionError if the data is nested too deeply.
    """
    try:
        canonical = rfc8785.dumps(data)  # type: ignore[arg-type]
    except rfc8785.IntegerDomainError:
        canonical = _canonical(data)
    return hashlib.sha256(canonical).hexdigest()


def _canonical(value: object) -> bytes:
    """Write what ``rfc8785`` refuses: an integer that a double may not hold."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16be"))
        return b"{" + b",".join(rfc8785.dumps(name) + b":" + _canonical(inner) for name, inner in members) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(_canonical, value)) + b"]"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).encode()
    return rfc8785.dumps(value)  # type: ignore[arg-type]
