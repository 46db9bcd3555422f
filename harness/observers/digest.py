"""The digest of an event's data, which tells two facts of one id apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import rfc8785


def digest(data: object) -> str:
    """Return the hex SHA-256 of an event's data as canonical JSON (RFC 8785), with every integer written in full.

    Raises RecursionError if the data is nested too deeply.
    """
    try:
        canonical = rfc8785.dumps(data)  # type: ignore[arg-type]
    except rfc8785.IntegerDomainError:
        canonical = _canonical(data, _in_full)
    return hashlib.sha256(canonical).hexdigest()


def rounded(data: object) -> str | None:
    """Return the digest with every integer as the nearest double, as RFC 8785 has it; None if ``digest`` is the same.

    Libraries in Java, Go and JavaScript compute this one. It is the same for two facts that differ only in rounded digits.
    """
    try:
        rfc8785.dumps(data)  # type: ignore[arg-type]
    except rfc8785.IntegerDomainError:
        try:
            made = hashlib.sha256(_canonical(data, _as_double)).hexdigest()
        except OverflowError:
            return None
        return made if made != digest(data) else None
    return None


def _in_full(number: int) -> bytes:
    return str(number).encode()


def _as_double(number: int) -> bytes:
    return rfc8785.dumps(float(number))


def _canonical(value: object, integer: Callable[[int], bytes]) -> bytes:
    """Write what ``rfc8785`` refuses: an integer that a double may not hold."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16be"))
        return (
            b"{"
            + b",".join(rfc8785.dumps(name) + b":" + _canonical(inner, integer) for name, inner in members)
            + b"}"
        )
    if isinstance(value, list):
        return b"[" + b",".join(_canonical(inner, integer) for inner in value) + b"]"
    if isinstance(value, int) and not isinstance(value, bool):
        return integer(value)
    return rfc8785.dumps(value)  # type: ignore[arg-type]
