"""What a consumer is handed, and what it makes of it: a delivery is read into a message with an identity."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import rfc8785
from pydantic import BaseModel, ValidationError

from reference_impl.common_core import event_ids
from reference_impl.common_core.envelope import EventEnvelope
from reference_impl.common_core.events import EventData

M = TypeVar("M", bound=BaseModel)


class Malformed(Exception):
    """A record is no event; the message says why."""


@dataclass(frozen=True)
class Delivery:
    """One record, handed over once."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class Message:
    """A delivery with its identity. ``event`` is None if, and only if, the record is malformed."""

    consumer: str
    event_id: str
    digest: str
    delivery: Delivery
    event: EventEnvelope[Any] | None = None


def read(delivery: Delivery, consumer: str, accepts: Iterable[type[EventData]]) -> Message | None:
    """The message in a delivery; None for an event of a type that this consumer does not apply.

    Raises ``Malformed`` for what is no event in the standard envelope, or not of the form its type promises.
    """
    for name, _ in delivery.headers:
        if any("\udc80" <= character <= "\udcff" for character in name):
            raise Malformed(f"a header's name is no UTF-8: {name!r}")
    try:
        document = orjson.loads(delivery.value or b"")
    except orjson.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error}") from None
    envelope = _validated(EventEnvelope[dict[str, Any]], delivery.value)
    model = next((each for each in accepts if envelope.event_type == each.EVENT_TYPE), None)
    if model is None:
        return None
    event = _validated(EventEnvelope[model], delivery.value)  # type: ignore[valid-type]
    try:
        digest = event_ids.digest(document["data"])
    except rfc8785.CanonicalizationError as error:
        raise Malformed(f"data has no canonical form: {error}") from None
    return Message(consumer, str(event.event_id), digest, delivery, event)


def malformed(delivery: Delivery, consumer: str) -> Message:
    """A record that is no event, identified by where it lies; its digest is over its bytes."""
    identity = event_ids.malformed_id(delivery.topic, delivery.partition, delivery.offset)
    return Message(consumer, identity, hashlib.sha256(delivery.value or b"").hexdigest(), delivery)


def _validated(model: type[M], value: bytes | None) -> M:
    try:
        return model.model_validate_json(value or b"")
    except ValidationError as error:
        found = [f"{'.'.join(map(str, each['loc'])) or 'event'}: {each['msg']}" for each in error.errors()]
        raise Malformed("; ".join(found)) from None
