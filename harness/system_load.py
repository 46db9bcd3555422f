"""What a system file says of its load: how work enters the system."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pydantic import Field, model_validator

from harness.model import Model, Name, Pointer, Where
from harness.pointer import pick
from harness.template import check, named

PUBLISHED: Final = ("id", "uuid", "n", "batch", "batch_size")
"""What a template of ``publish`` may name, beside what the seed draws; ``{uuid}`` belongs to ``{id}``."""


class UploadLoad(Model):
    """The front door: a multipart POST with the upload's id in a header."""

    to: Name
    """The service that is the front door, for example ``shop``."""
    post: str
    """The path that takes an upload, for example ``/orders``."""
    field: str = "file"
    """The form field that holds the file."""
    id_header: str = "Idempotency-Key"
    """The request header that holds the upload's id, which stays the same on retries."""
    ok: int = 202
    """The HTTP status that acknowledges an upload."""
    blob: Pointer | None = None
    """Where the answer names the raw blob, for example ``/raw_file_storage_id``; default: nowhere."""
    fields: dict[str, str] = Field(default={}, repr=False)
    """Further form fields, with ``{batch}`` and ``{batch_size}`` filled in, for example ``{batch_id: "{batch}"}``."""

    @model_validator(mode="after")
    def _filled_in(self) -> UploadLoad:
        for name, value in self.fields.items():
            if unknown := sorted(set(re.findall(r"\{([^{}]*)\}", value)) - {"batch", "batch_size"}):
                message = f"fields.{name}: {{{unknown[0]}}} is not filled in here; known: {{batch}}, {{batch_size}}"
                raise ValueError(message)
        return self

    @property
    def batches(self) -> bool:
        """Whether uploads tell the front door their batch."""
        return any("{batch}" in value for value in self.fields.values())

    def filled(self, batch: str, batch_size: int) -> dict[str, str]:
        """The form fields of one upload of a batch."""
        values = {"{batch}": batch, "{batch_size}": str(batch_size)}
        return {
            name: re.sub(r"\{batch(_size)?\}", lambda match: values[match[0]], value)
            for name, value in self.fields.items()
        }


class PublishLoad(Model):
    """Events put straight on a topic, for consumers without a front door.

    ``{id}``, ``{uuid}``, ``{n}``, ``{batch}`` and ``{batch_size}`` are the event's; ``{word}``, ``{number:1..100}`` and
    ``{choice:small|large}`` are drawn from the seed. The harness publishes past the proxies, with an idempotent producer.
    """

    topic: Name
    """The topic, for example ``orders``."""
    value: dict[str, Any] = Field(repr=False)
    """The record's value, sent as JSON, for example ``{id: "{id}", type: placed, data: {amount: "{number:1..100}"}}``."""
    key: str | None = None
    """The record's key, which decides its partition; default: none, and a partition drawn from the seed."""
    headers: dict[str, str] = Field(default={}, repr=False)
    """The record's headers, for example ``{ce_id: "{id}"}``."""

    @model_validator(mode="after")
    def _filled_in(self) -> PublishLoad:
        check(self.value, PUBLISHED, "value")
        check(self.key, PUBLISHED, "key")
        check(self.headers, PUBLISHED, "headers")
        try:
            json.dumps(self.value, allow_nan=False, ensure_ascii=False).encode()
        except ValueError as error:
            message = f"value: it cannot be sent as JSON: {error}"
            raise ValueError(message) from None
        return self

    @property
    def batches(self) -> bool:
        """Whether events name their batch."""
        return "batch" in named([self.value, self.key, self.headers])

    def check_event(self, id_at: str | Where, type_at: str | Where) -> None:
        """Raise ValueError unless what is published is an event: it has a type, and an id of its own."""
        if not self._at(type_at):
            message = f"load.publish has nothing at {_said(type_at)}, where events.type says that an event's type is"
            raise ValueError(message)
        if not {"id", "uuid"} & named(self._at(id_at)):
            message = (
                f"load.publish has no id of its own at {_said(id_at)}, where events.id says that it is; "
                'write "{id}" or "{uuid}" there'
            )
            raise ValueError(message)

    def _at(self, where: str | Where) -> object:
        """Return the template at the place of an event's field; None if there is none."""
        if isinstance(where, str):
            return pick(self.value, where)
        return self.key if where.key else self.headers.get(where.header or "")


def _said(where: str | Where) -> str:
    if isinstance(where, str):
        return where
    return "the key" if where.key else f"the header {where.header}"


class Load(Model):
    """How work enters the system: uploads to a front door, or events put on a topic."""

    upload: UploadLoad | None = None
    """A front door that takes files over HTTP, for example ``{to: shop, post: /orders}``."""
    publish: PublishLoad | None = None
    """Events put on a topic, for example ``{topic: orders, value: {id: "{id}", type: placed}}``."""

    @model_validator(mode="after")
    def _one(self) -> Load:
        if (self.upload is None) == (self.publish is None):
            message = "write either upload: (a front door) or publish: (events on a topic)"
            raise ValueError(message)
        return self

    @property
    def front(self) -> str | None:
        """The service that is the front door; None if the load publishes."""
        return self.upload.to if self.upload is not None else None

    @property
    def batches(self) -> bool:
        """Whether operations tell the system their batch."""
        described = self.upload or self.publish
        return described is not None and described.batches
