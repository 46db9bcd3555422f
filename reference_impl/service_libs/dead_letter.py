"""The format of a dead letter: what was set aside, by which consumer, from where, why, and its bytes."""

import base64

import orjson
from pydantic import BaseModel

from reference_impl.common_core.enums import DeadLetterKind
from reference_impl.service_libs.message import Delivery, Message

LARGEST_PAYLOAD = 640 * 1024
LARGEST_KEY = 16 * 1024
LARGEST_HEADERS = 48 * 1024
"""In bytes: as base64 in JSON, all three together stay below Kafka's default limit of 1 MiB for a record."""


class Source(BaseModel):
    """The place of a record."""

    topic: str
    partition: int
    offset: int


class Letter(BaseModel):
    """A dead letter; its JSON is the record's value. Payload, key and header values are base64."""

    event_id: str
    consumer: str
    source: Source
    kind: DeadLetterKind
    reason: str
    attempts: int
    key_bytes: int | None
    key_base64: str | None
    payload_bytes: int
    payload_base64: str
    headers: dict[str, str] = {}


def dead_letter(message: Message, kind: DeadLetterKind, reason: str, attempts: int) -> Letter:
    """Write the dead letter for a message.

    Oversized payloads and keys are cut, and headers beyond the limit are left out; ``reason`` then says so, and
    ``source`` says where the whole record is.
    """
    delivery = message.delivery
    payload, key = delivery.value or b"", delivery.key
    headers = _headers(delivery)
    reason = reason[:4096]
    if len(payload) > LARGEST_PAYLOAD:
        reason += f" (payload cut from {len(payload)} to {LARGEST_PAYLOAD} bytes)"
    if key is not None and len(key) > LARGEST_KEY:
        reason += f" (key cut from {len(key)} to {LARGEST_KEY} bytes)"
    if len(headers) < len({name for name, _ in delivery.headers}):
        reason += f" (headers cut to {LARGEST_HEADERS} bytes)"
    return Letter(
        event_id=message.event_id,
        consumer=message.consumer,
        source=Source(topic=delivery.topic, partition=delivery.partition, offset=delivery.offset),
        kind=kind,
        reason=reason,
        attempts=attempts,
        key_bytes=None if key is None else len(key),
        key_base64=None if key is None else base64.b64encode(key[:LARGEST_KEY]).decode(),
        payload_bytes=len(payload),
        payload_base64=base64.b64encode(payload[:LARGEST_PAYLOAD]).decode(),
        headers=headers,
    )


def _headers(delivery: Delivery) -> dict[str, str]:
    encoded: dict[str, str] = {}
    left = LARGEST_HEADERS
    for raw_name, value in delivery.headers:
        name = raw_name.encode("utf-8", "backslashreplace").decode()  # bytes that are not UTF-8 arrive as surrogates
        left -= len(orjson.dumps(name)) + len(value or b"")
        if left < 0:
            break
        encoded[name] = base64.b64encode(value or b"").decode()
    return encoded
