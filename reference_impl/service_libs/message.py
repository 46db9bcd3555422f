"""Deliveries as Kafka hands them over, and the messages, with an identity, that a consumer reads from them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import rfc8785
from pydantic import BaseModel, ValidationError

from reference_impl.common_core import event_ids
from reference_impl.common_core.events import EventData, EventEnvelope

M = TypeVar("M", bound=BaseModel)


class Malformed(Exception):
    """A record is not an event; the exception's text says why."""


@dataclass(frozen=True)
class Delivery:
    """One delivery of a record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class Message:
    """A delivery with its identity. ``event`` is None if it is malformed, or of an unknown version."""

    consumer: str
    event_id: str
    digest: str
    delivery: Delivery
    event: EventEnvelope[Any] | None = None

    @property
    def key(self) -> dict[str, str]:
        """Identity and payload digest, as values of the database columns of these names."""
        return {"consumer": self.consumer, "event_id": self.event_id, "digest": self.digest}

    @property
    def data(self) -> Any:  # noqa: ANN401 - one of the types that its consumer accepts
        """The event's ``data``. Raises ``ValueError`` if there is no event."""
        if self.event is None:
            raise ValueError(f"no event that {self.consumer} can read")
        return self.event.data


class UnknownVersion(Exception):
    """An event has an accepted type, in a version that this service does not know: newer, or no longer supported."""

    def __init__(self, message: Message) -> None:
        super().__init__("unknown version of an accepted type")
        self.message = message


def read(delivery: Delivery, consumer: str, accepts: Mapping[str, type[EventData]]) -> Message | None:
    """Read the message in a delivery; return None for an event that this consumer does not apply.

    Raises ``Malformed`` for a record that is not an event in the standard envelope or lacks what its type promises, and
    ``UnknownVersion``. Unknown fields are ignored, but the digest covers them.
    """
    for name, _ in delivery.headers:
        if any("\udc80" <= character <= "\udcff" for character in name):
            raise Malformed(f"a header's name is not UTF-8: {name!r}")
    try:
        document = orjson.loads(delivery.value or b"")
    except orjson.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error}") from None
    event_type = document.get("event_type") if isinstance(document, dict) else None
    model = accepts.get(event_type) if isinstance(event_type, str) else None
    event = _validated(EventEnvelope[model] if model else EventEnvelope[dict[str, Any]], document)  # type: ignore[valid-type]
    unknown = model is None and _kind(event.event_type) in map(_kind, accepts)
    if model is None and not unknown:
        return None
    try:
        digest = event_ids.digest(document["data"])
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise Malformed(f"data has no canonical form: {error}") from None
    message = Message(consumer, str(event.event_id), digest, delivery, None if unknown else event)
    if unknown:
        raise UnknownVersion(message)
    return message


def malformed(delivery: Delivery, consumer: str) -> Message:
    """Make the message of a malformed record: its place is its identity, and its digest is over its bytes."""
    identity = event_ids.malformed_id(delivery.topic, delivery.partition, delivery.offset)
    return Message(consumer, identity, hashlib.sha256(delivery.value or b"").hexdigest(), delivery)


def _kind(event_type: str) -> str:
    """Strip the version from a type."""
    return event_type.rpartition(".v")[0]


def _validated(model: type[M], document: object) -> M:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc'])) or 'event'}: {each['msg']}" for each in error.errors()]
        raise Malformed("; ".join(problems)) from None
