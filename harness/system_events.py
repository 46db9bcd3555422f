"""What a system file says of its events, their outcomes, raw blobs and dead letters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.coding import Decode
from harness.model import By, Model, Name, Pointer, Where


class TypeByTopic(Model):
    """The type of the events on each topic, where records do not say it."""

    topics: dict[Name, Annotated[str, Field(min_length=1)]]
    """A type for each topic of ``events``, for example ``{orders: order.placed, refunds: order.refunded}``."""


class Events(Model):
    """How to read an event from a record."""

    id: By
    """Where the event's id is: a JSON pointer into the value, for example ``/event_id``, a header or the key.

    Several pointers are one id together (``[/order, /line]``), which is written as a JSON array of their values.
    """
    type: Pointer | Where | TypeByTopic
    """Where its type is, for example ``/event_type`` or ``{header: ce_type}``; or what it is on each topic."""
    cause: By | None = None
    """Where the id of its causing event is, for example ``/causation_id``, in as many parts as ids have; default: nowhere."""
    data: Pointer | None = "/data"
    """The data that the digest covers; null for the whole value."""
    raw: Pointer | None = "/data/raw_file_storage_id"
    """Where the id of its raw blob is; null if events name none, which is the default without ``blobs``."""
    topics: list[Name]
    """The topics that hold events, for example ``[orders]``; dead letters are not events."""
    decode: Decode | None = None
    """How to decode their records' values; default: they are JSON."""


class Outcome(Model):
    """Exactly one of ``then`` for each ``of`` (``upload``, ``batch`` or an event type), joined by the value at ``by``.

    ``by`` may be several pointers, whose values together are the key. ``then`` may differ between uploads that should
    pass validation and those that should not: ``{accepted: [...], rejected: [...]}``. With one of the two, the other kind of
    upload need not have an outcome by this rule. If rules about events have a type in ``then`` and their ``by`` in common, each
    event must have an outcome of its own, as ``cause`` shows.
    """

    of: str
    """``upload``, ``batch``, or an event type, for example ``order.placed``."""
    by: Pointer | Annotated[list[Pointer], Field(min_length=1)]
    """Where the outcome, and an ``of`` that is an event, hold the joining key, for example ``/data/order_id``."""
    then: list[str] | dict[Literal["accepted", "rejected"], list[str]]
    """Event types of which exactly one must follow, for example ``[order.billed, order.refused]``."""

    @model_validator(mode="after")
    def _countable(self) -> Outcome:
        if self.of in {"upload", "batch"} and not isinstance(self.by, str):
            raise ValueError(f"by: the id of {'an upload' if self.of == 'upload' else 'a batch'} is at one pointer")
        if self.of != "upload" and not isinstance(self.then, list):
            raise ValueError("then: only uploads differ as accepted and rejected; write a list")
        return self

    def types(self) -> list[str]:
        """Every event type that is an outcome."""
        if isinstance(self.then, list):
            return self.then
        return [name for names in self.then.values() for name in names]

    def kind(self) -> bool | None:
        """Whether only uploads that should pass validation must have an outcome (true), or only the others (false)."""
        kinds = (
            [kind == "accepted" for kind, names in self.then.items() if names] if isinstance(self.then, dict) else []
        )
        return kinds[0] if len(kinds) == 1 else None


class Blobs(Model):
    """How to read a raw blob past the proxies: ``http://{content_service}/v1/content/{id}``."""

    get: str
    """The URL of a blob, with ``{id}`` for its id. 200 answers with all of it; 404 and 410 say that there is none.

    An answer that does not say how long it is may have been cut short by a kill, so other bytes must come twice to count.
    A proxy that answers 404 while the service behind it is away would say that blobs are gone: write the service's own address.

    Redirects are followed, to a store for example. Behind one, a page of HTML is not taken for the blob, nor is what an address
    without the blob's id brings, unless that is the upload.
    """


class SourceHeaders(Model):
    """The headers in which a dead letter names the record that it is about; numbers are text, or big-endian as in Java.

    Of several with one name, the last that names a topic of ``events`` counts.
    """

    topic: str
    """The header with its topic, for example ``kafka_dlt-original-topic`` or ``__connect.errors.topic``."""
    partition: str
    """The header with its partition, for example ``kafka_dlt-original-partition`` or ``__connect.errors.partition``."""
    offset: str
    """The header with its offset, for example ``kafka_dlt-original-offset`` or ``__connect.errors.offset``."""


class DeadLetters(Model):
    """How to read a dead letter, whose value is JSON, or the original record's with headers that say where it came from."""

    topic: Name
    """The topic of dead letters, for example ``dead-letters``."""
    id: By
    """Where the event's id is, for example ``/event_id``, in as many parts as ids have."""
    consumer: Pointer | Where | Name
    """Where the name, or the group, of the service that set it aside is, or that service itself: ``/consumer``, ``billing``."""
    source: Pointer | SourceHeaders
    """Where the original record's ``topic``, ``partition`` and ``offset`` are, in one object, for example ``/source``."""
    kind: Pointer | Where | None = None
    """Where the reason is, ``poison``, ``conflict`` or ``malformed``, for example ``/kind``; default: it gives none."""
    decode: Decode | None = None
    """How to decode their values; default: they are JSON."""

    @property
    def by(self) -> str | None:
        """The service that made every letter, if ``consumer`` names one."""
        return self.consumer if isinstance(self.consumer, str) and not self.consumer.startswith("/") else None
