"""The form of a dead letter: what was set aside, by whom, from where, why, and its bytes."""

from __future__ import annotations

import base64

from reference_impl.common_core.enums import DeadLetterKind
from reference_impl.service_libs.message import Message

LARGEST_PAYLOAD = 640 * 1024
"""Bytes: as base64, in JSON, still below Kafka's default limit of 1 MiB for a record."""


def dead_letter(message: Message, kind: DeadLetterKind, reason: str, attempts: int) -> dict[str, object]:
    """The JSON value of a dead letter.

    A longer payload is cut, and ``reason`` says so: ``source`` tells where all of it lies. Payload and headers'
    values are base64.
    """
    delivery = message.delivery
    payload = delivery.value or b""
    if len(payload) > LARGEST_PAYLOAD:
        reason = f"{reason} (payload cut from {len(payload)} to {LARGEST_PAYLOAD} bytes)"
    return {
        "event_id": message.event_id,
        "consumer": message.consumer,
        "source": {"topic": delivery.topic, "partition": delivery.partition, "offset": delivery.offset},
        "kind": kind.value,
        "reason": reason[:4096],
        "attempts": attempts,
        "payload_base64": base64.b64encode(payload[:LARGEST_PAYLOAD]).decode(),
        "headers": {name: base64.b64encode(value or b"").decode() for name, value in delivery.headers[:64]},
    }
