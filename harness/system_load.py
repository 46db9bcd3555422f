"""What a system file says of its load: how work enters the system."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from harness.coding import Encode
from harness.model import By, Command, Model, Name, Pointer, Where, said
from harness.pointer import pick
from harness.template import check, named

PUBLISHED: Final = ("id", "uuid", "n", "batch", "batch_size")
"""Placeholders of a template of ``publish``, besides those drawn from the seed; ``{uuid}`` is derived from ``{id}``."""

UPLOADED: Final = ("id", "n", "batch", "batch_size", "text", "base64", "file_name")
"""Placeholders of a template of ``upload`` or ``command``; the last three are the document's."""

Path = Annotated[str, StringConstraints(pattern=r"^/"), Field(title="path")]

Carries = Literal["document", "text", "nothing"]
"""What an operation carries of a document: all of it, its text in UTF-8, or nothing if the template has no document."""


class OwnFiles(Model):
    """Documents of the user's own: every file in a folder and its subfolders, except hidden ones."""

    folder: Annotated[str, StringConstraints(pattern=r"^[^\x00]+$"), Field(title="folder")]
    """The folder, relative to the system file's, for example ``samples``."""
    rejected: list[str] = []
    """The files that must fail validation, for example ``["bad/*"]``, by their path in the folder; ``*`` matches ``/``, too."""
    generated: bool = True
    """Whether generated documents are sent as well."""


class UploadLoad(Model):
    """The front door: a request with a document, and the upload's id in a header, a field or the path.

    The id is ``{id}``, the same on retries. Without one in the request, each try is an upload of its own, and none is retried.
    """

    to: Name
    """The service that is the front door, for example ``shop``."""
    post: Path | None = None
    """The path that takes an upload by POST, for example ``/orders``, or ``/orders/{id}`` if it holds the id."""
    put: Path | None = None
    """In place of ``post``: the path that takes an upload by PUT, for example ``/orders/{id}``."""
    patch: Path | None = None
    """In place of ``post``: the path that takes an upload by PATCH."""
    body: Literal["multipart", "json", "raw"] = "multipart"
    """What the request holds: a form with the document as a file, the ``template`` as JSON, or the document alone."""
    template: dict[str, Any] = Field(default={}, repr=False)
    """With ``body: json``, what is sent, for example ``{order: "{id}", text: "{text}", amount: "{number:1..100}"}``."""
    field: str = "file"
    """The form field that holds the file."""
    id_header: str | None = "Idempotency-Key"
    """The request header that holds the upload's id; null if none does."""
    ok: int | Annotated[list[int], Field(min_length=1)] = 202
    """The HTTP status that acknowledges an upload, or several, for example ``[200, 201]``."""
    blob: Pointer | None = None
    """Where the answer names the raw blob, for example ``/raw_file_storage_id``; default: nowhere."""
    files: OwnFiles | None = None
    """Documents of your own, for example ``{folder: samples}``."""
    fields: dict[str, str] = Field(default={}, repr=False)
    """Further form fields, with ``{id}``, ``{batch}`` and ``{batch_size}`` filled in, for example ``{batch_id: "{batch}"}``."""

    @model_validator(mode="after")
    def _filled_in(self) -> UploadLoad:
        for name, value in self.fields.items():
            if unknown := sorted(set(re.findall(r"\{([^{}]*)\}", value)) - {"id", "batch", "batch_size"}):
                raise ValueError(
                    f"fields.{name}: {{{unknown[0]}}} is not filled in here; known: {{id}}, {{batch}}, {{batch_size}}"
                )
        check(self.template, UPLOADED, "template")
        sendable(self.template, "template")
        return self

    @model_validator(mode="after")
    def _one(self) -> UploadLoad:
        if sum(path is not None for path in (self.post, self.put, self.patch)) != 1:
            raise ValueError("write the path that takes an upload: one of post:, put: or patch:")
        if (self.body == "json") != bool(self.template):
            raise ValueError("body: json and template: {…} go together; write both, or neither")
        _check_files(self.files, self.carries)
        if self.body != "multipart" and self.fields:
            raise ValueError(f"fields: only a form (body: multipart) has fields; this is body: {self.body}")
        if unknown := sorted(set(re.findall(r"\{([^{}]*)\}", self.path)) - {"id"}):
            raise ValueError(f"{self.method.lower()}: {{{unknown[0]}}} is not filled in here; known: {{id}}")
        return self

    @property
    def method(self) -> str:
        """The HTTP method."""
        return "POST" if self.post is not None else "PUT" if self.put is not None else "PATCH"

    @property
    def path(self) -> str:
        """The path, with ``{id}`` if it holds the upload's id."""
        return self.post or self.put or self.patch or ""

    @property
    def accepted(self) -> frozenset[int]:
        """The HTTP statuses that acknowledge an upload."""
        return frozenset([self.ok] if isinstance(self.ok, int) else self.ok)

    @property
    def batches(self) -> bool:
        """Whether uploads tell the front door their batch."""
        return any("{batch}" in value for value in self.fields.values()) or "batch" in named(self.template)

    @property
    def identified(self) -> bool:
        """Whether the request holds the upload's id, so that a retry is the same upload."""
        texts = [self.path, *self.fields.values()]
        return self.id_header is not None or any("{id}" in text for text in texts) or "id" in named(self.template)

    @property
    def carries(self) -> Carries:
        """What the request holds of a document."""
        return "document" if self.body != "json" else _carries(self.template)

    @property
    def plain(self) -> bool:
        """Whether it is a multipart POST of generated documents with the id in a header: all that Locust's users send."""
        return (
            self.body == "multipart"
            and self.files is None
            and self.post is not None
            and "{id}" not in self.post
            and self.id_header is not None
        )

    def filled(self, batch: str, batch_size: int, upload_id: str = "") -> dict[str, str]:
        """The form fields of one upload of a batch."""
        values = {"{batch}": batch, "{batch_size}": str(batch_size), "{id}": upload_id}
        return {
            name: re.sub(r"\{(batch(_size)?|id)\}", lambda match: values[match[0]], value)
            for name, value in self.fields.items()
        }


class CommandLoad(Model):
    """A program of the user's that is the system's client, for front doors that do not take uploads over HTTP.

    It reads one line of JSON for each operation: the ``template``, filled in. For each it prints one line of JSON, in any
    order: the operation's ``id``; ``ok``, which is true if the system took it, false if it refused it, and null if nobody
    knows; and, if there are any, ``error`` (a text), ``blob`` (the raw blob's id) and ``sha256`` (that of the raw bytes; needed
    beside ``blob`` unless the template holds a document). A retry is the program's business.
    """

    run: Command = Field(repr=False)
    """The program and its arguments, run in the system file's folder without a shell: ``python client.py http://{shop}``."""
    template: dict[str, Any] = Field(default={"id": "{id}"}, repr=False)
    """What each line holds, with ``{id}`` in it, for example ``{id: "{id}", amount: "{number:1..100}"}``."""
    to: Name | None = None
    """The service that is the front door, for example ``shop``; left out, no fault can be on ``front``."""
    files: OwnFiles | None = None
    """Documents of your own, for example ``{folder: samples}``, if the template holds any."""

    @model_validator(mode="after")
    def _filled_in(self) -> CommandLoad:
        check(self.template, UPLOADED, "template")
        sendable(self.template, "template")
        if "id" not in named(self.template):
            raise ValueError('template: write "{id}" in it: the program must name the operation that it answers for')
        _check_files(self.files, self.carries)
        return self

    @property
    def batches(self) -> bool:
        """Whether operations name their batch."""
        return "batch" in named(self.template)

    @property
    def carries(self) -> Carries:
        """What a line holds of a document."""
        return _carries(self.template)


def _carries(template: object) -> Carries:
    if "base64" in named(template):
        return "document"
    return "text" if "text" in named(template) else "nothing"


def _check_files(files: OwnFiles | None, carries: Carries) -> None:
    if files is not None and carries == "nothing":
        raise ValueError("files: the template holds no document; write {text} or {base64} in it, or leave files out")


def sendable(template: object, where: str) -> None:
    """Raise ValueError unless a template can be sent as JSON."""
    try:
        json.dumps(template, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise ValueError(f"{where}: it cannot be sent as JSON: {error}") from None


class PublishLoad(Model):
    """Events put straight on a topic, for consumers without a front door.

    ``{id}``, ``{uuid}``, ``{n}``, ``{batch}`` and ``{batch_size}`` are the event's; ``{word}``, ``{number:1..100}`` and
    ``{choice:small|large}`` are drawn from the seed. The harness publishes past the proxies, with an idempotent producer.
    """

    topic: Name
    """The topic, for example ``orders``."""
    value: dict[str, Any] = Field(repr=False)
    """The record's value, for example ``{id: "{id}", type: placed, data: {amount: "{number:1..100}"}}``.

    It is sent as JSON, or as what ``encode`` makes of that.
    """
    key: str | None = None
    """The record's key, which decides its partition; default: none, and a partition drawn from the seed."""
    headers: dict[str, str] = Field(default={}, repr=False)
    """The record's headers, for example ``{ce_id: "{id}"}``."""
    encode: Encode | None = None
    """How to turn the JSON into the record's value, if ``events.decode`` says that values are not JSON."""

    @model_validator(mode="after")
    def _filled_in(self) -> PublishLoad:
        check(self.value, PUBLISHED, "value")
        check(self.key, PUBLISHED, "key")
        check(self.headers, PUBLISHED, "headers")
        sendable(self.value, "value")
        return self

    @property
    def batches(self) -> bool:
        """Whether events name their batch."""
        return "batch" in named([self.value, self.key, self.headers])

    def check_event(self, id_at: By, type_at: str | Where | None) -> None:
        """Raise ValueError unless each published record has a type (``type_at`` None: its topic's) and its own id."""
        if type_at is not None and not self._at(type_at):
            raise ValueError(
                f"load.publish has nothing at {said(type_at)}, where events.type says that an event's type is"
            )
        if not {"id", "uuid"} & named(self._at(id_at)):
            raise ValueError(
                f"load.publish has no id of its own at {said(id_at)}, where events.id says that it is; "
                'write "{id}" or "{uuid}" there'
            )

    def _at(self, where: By) -> object:
        """Return the template at the place of an event's field; None if there is none, or only a part."""
        if isinstance(where, Where):
            return self.key if where.key else self.headers.get(where.header or "")
        parts = [pick(self.value, pointer) for pointer in ([where] if isinstance(where, str) else where)]
        return None if None in parts or "" in parts else parts


class Load(Model):
    """How work enters the system: uploads to a front door, operations of a program, or events put on a topic."""

    upload: UploadLoad | None = None
    """A front door that takes files over HTTP, for example ``{to: shop, post: /orders}``."""
    publish: PublishLoad | None = None
    """Events put on a topic, for example ``{topic: orders, value: {id: "{id}", type: placed}}``."""

    command: CommandLoad | None = None
    """A program that is the system's client, for example ``{run: "python client.py http://{shop}", to: shop}``."""

    @model_validator(mode="after")
    def _one(self) -> Load:
        if sum(load is not None for load in (self.upload, self.publish, self.command)) != 1:
            raise ValueError(
                "write one of upload: (a front door that speaks HTTP), command: (a program of yours) and publish: "
                "(events on a topic)"
            )
        return self

    @property
    def uploads(self) -> UploadLoad | CommandLoad | None:
        """How uploads are sent; None if the load publishes."""
        return self.upload or self.command

    @property
    def front(self) -> str | None:
        """The service that is the front door; None if there is none."""
        return self.uploads.to if self.uploads is not None else None

    @property
    def batches(self) -> bool:
        """Whether operations tell the system their batch."""
        described = self.uploads or self.publish
        return described is not None and described.batches
