"""The digest of an event's data, which tells two facts of one id apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import rfc8785


def digests(data: object) -> tuple[str, str | None]:
    """Return the hex SHA-256 of an event's data as canonical JSON (RFC 8785) with every integer in full, and ``rounded``.

    ``rounded`` is the digest with every integer as the nearest double, as RFC 8785 has it and libraries in Java, Go and
    JavaScript compute it; None if it is the same. Two facts that differ only in rounded digits share it.

    Raises RecursionError if the data is nested too deeply.
    """
    try:
        return hashlib.sha256(rfc8785.dumps(data)).hexdigest(), None  # type: ignore[arg-type]
    except rfc8785.IntegerDomainError:
        exact = hashlib.sha256(_canonical(data, _in_full)).hexdigest()
    try:
        rounded = hashlib.sha256(_canonical(data, _as_double)).hexdigest()
    except OverflowError:
        return exact, None
    return exact, rounded if rounded != exact else None


def digest(data: object) -> str:
    """Return the first of ``digests``."""
    return digests(data)[0]


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
