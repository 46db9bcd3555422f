"""Identity: the same fact has the same id, however often it is published; two facts never share one.

An id comes from type, source service, business key and occurrence alone. Clocks, attempts and random values have no
part in it, so a publish tried again, or work done again after a crash, keeps its id.
"""

import hashlib
from collections.abc import Mapping
from uuid import UUID, uuid5

import rfc8785

NAMESPACE = UUID("6a1f1c52-0d0f-5c1e-9a39-2f6f0e3b7d11")
"""Fixed for ever: another namespace would give every fact another id."""


def event_id(event_type: str, source_service: str, business_key: str, occurrence: int = 1) -> UUID:
    """The id of one fact. A deliberate second fact about the same business key is another ``occurrence``.

    The four parts are joined as canonical JSON, not by a separator that could stand inside one of them.
    """
    return uuid5(NAMESPACE, rfc8785.dumps([event_type, source_service, business_key, occurrence]).decode())


def digest(data: Mapping[str, object]) -> str:
    """SHA-256, 64 hex digits, over the canonical JSON (RFC 8785) of an event's ``data``.

    The order of keys and the way a number is written do not matter; Unicode forms do, as they are other strings.
    Raises ``rfc8785.CanonicalizationError`` for what has no canonical form, such as integers beyond 2**53.
    """
    return hashlib.sha256(rfc8785.dumps(data)).hexdigest()  # type: ignore[arg-type]


def malformed_id(topic: str, partition: int, offset: int) -> str:
    """The identity of a record that is no event: where it lies, never what it claims."""
    return f"{topic}:{partition}:{offset}"
