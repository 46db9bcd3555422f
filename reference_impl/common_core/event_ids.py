"""Event identity: a fact has the same id however often it is published, and no two facts share one.

An id depends on type, source service, business key and occurrence alone. Clocks, attempt counts and random values play
no part, so a retried publish, or work repeated after a crash, keeps its id.
"""

import hashlib
from collections.abc import Mapping
from uuid import UUID, uuid5

import rfc8785

NAMESPACE = UUID("6a1f1c52-0d0f-5c1e-9a39-2f6f0e3b7d11")
"""Fixed forever: another namespace would give every fact another id."""


def event_id(event_type: str, source_service: str, business_key: str, occurrence: int = 1) -> UUID:
    """Return a fact's id. A deliberate second fact about the same business key is another ``occurrence``.

    Canonical JSON joins the four parts, because a separator could also occur inside one of them.
    """
    return uuid5(NAMESPACE, rfc8785.dumps([event_type, source_service, business_key, occurrence]).decode())


def digest(data: Mapping[str, object]) -> str:
    """Return the SHA-256, as 64 hex digits, of the canonical JSON (RFC 8785) of an event's ``data``.

    Key order and number spelling do not matter; Unicode normalization does, since its forms are different strings. Raises
    ``rfc8785.CanonicalizationError`` for data without a canonical form, such as integers beyond 2**53.
    """
    return hashlib.sha256(rfc8785.dumps(data)).hexdigest()  # type: ignore[arg-type]


def malformed_id(topic: str, partition: int, offset: int) -> str:
    """Return the identity of a malformed record: its place, never what it claims."""
    return f"{topic}:{partition}:{offset}"
