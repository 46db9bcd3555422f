"""The system file: what is tested, how it starts, and how its events, effects and blobs are read."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from harness.units import Duration

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$"), Field(title="name")]
Pointer = Annotated[str, StringConstraints(pattern=r"^(/[^/]*)+$"), Field(title="JSON pointer")]

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_-]*(?::[a-z0-9_.-]+)?)\}")
"""``{redis}``, ``{port}``, ``{topic:essays}`` in a command or an environment value."""

FILLED_IN = frozenset({"port", "service", "replica", "data", "run", "group", "database", "variant"})
"""Placeholders that are no dependency; ``{database}`` is one made for the service on the postgres it names."""

REPROCESSED = frozenset({"upload_id", "raw_file_storage_id"})
"""What a request to ``reprocess`` is about."""

REPLAYED = frozenset({"consumer", "event_id", "topic", "partition", "offset"})
"""What a request to ``replay`` is about; the place is where the record lies that was set aside."""


class Model(BaseModel):
    """Frozen; a field that is not known is refused. A field's docstring is what reference pages and schemas say of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Where(Model):
    """Where a field of an event stands, if not at a JSON pointer: a header, or the record's key."""

    header: str | None = None
    """The header that holds it, for example ``x-event-id``."""
    key: bool = False
    """``true``: it is the record's key."""

    @model_validator(mode="after")
    def _one(self) -> Where:
        if (self.header is None) != self.key:
            message = "write either {header: NAME} or {key: true}"
            raise ValueError(message)
        return self


class Dependency(Model):
    """A broker or store; its kind is its name unless ``kind`` says otherwise."""

    kind: Literal["kafka", "redis", "postgres"] | None = None
    """What it is, where its name does not say so, for example ``redis`` of ``cache: {kind: redis}``."""
    topics: dict[Name, Annotated[int, Field(ge=1, le=256)]] = {}
    """A broker's topics, each with its number of partitions, for example ``{orders: 4, dead-letters: 1}``."""
    config: dict[str, str] = Field(default={}, repr=False)
    """The server's own settings, as text, for example ``{appendonly: "yes", maxmemory: 256mb}``."""


class Service(Model):
    """How a service starts. ``{redis}`` in ``env`` makes the link from each replica to redis.

    Where services are processes, ``command`` starts them; where they are containers, ``image`` does, with ``command``
    in place of the image's own if there is one.
    """

    command: str | None = Field(default=None, repr=False)
    """Runs in the system file's folder, without a shell; ``python`` is the one that the harness runs in.

    For example ``python -m shop --port {port}``.
    """
    image: str | None = None
    """The image that its containers are made of, on the docker stack, for example ``shop:1.4``."""
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    """How many processes or containers run, all in one consumer group."""
    env: dict[str, str] = Field(default={}, repr=False)
    """All that it gets besides PATH, HOME, LANG, LC_ALL and TZ, for example ``{REDIS_URL: "redis://{redis}/0"}``.

    Like all that may hold a secret it is not printed.
    """
    ready: Annotated[str, StringConstraints(pattern=r"^/"), Field(title="path")] = "/readyz"
    """The path that answers 2xx, on ``{port}``, once a replica can work."""
    reads: list[Name] | None = None
    """Topics whose events it must apply, for example ``[orders]``; left out: those that its consumer group is assigned."""

    @model_validator(mode="after")
    def _starts(self) -> Service:
        if self.command is None and self.image is None:
            message = "a service has a command, an image, or both"
            raise ValueError(message)
        return self

    def placeholders(self) -> set[str]:
        """Names in braces, in the command and in the environment."""
        texts = [self.command or "", *self.env.values()]
        return {name for text in texts for name in PLACEHOLDER.findall(text)}


class UploadLoad(Model):
    """The front door: a multipart POST with the upload's id in a header."""

    to: Name
    """The service that is the front door, for example ``shop``."""
    post: str
    """The path that takes an upload, for example ``/orders``."""
    field: str = "file"
    """The form field that holds the file."""
    id_header: str = "Idempotency-Key"
    """The request header that holds the upload's id, which is the same whenever the upload is sent again."""
    ok: int = 202
    """The HTTP status that acknowledges an upload."""
    blob: Pointer | None = None
    """Where the answer names the raw blob, for example ``/raw_file_storage_id``; left out: it does not."""
    fields: dict[str, str] = Field(default={}, repr=False)
    """Further form fields, for example ``{batch_id: "{batch}", size: "{batch_size}"}``, which are filled in."""

    @model_validator(mode="after")
    def _filled_in(self) -> UploadLoad:
        for name, value in self.fields.items():
            if unknown := sorted(set(re.findall(r"\{([^{}]*)\}", value)) - {"batch", "batch_size"}):
                message = (
                    f"fields.{name}: {{{unknown[0]}}} is not filled in here; known are {{batch}}, {{batch_size}}"
                )
                raise ValueError(message)
        return self

    @property
    def batches(self) -> bool:
        """Whether the front door is told which batch an upload belongs to."""
        return any("{batch}" in value for value in self.fields.values())

    def filled(self, batch: str, batch_size: int) -> dict[str, str]:
        """The form fields of one upload of a batch."""
        told = {"{batch}": batch, "{batch_size}": str(batch_size)}
        return {
            name: re.sub(r"\{batch(_size)?\}", lambda found: told[found[0]], value)
            for name, value in self.fields.items()
        }


class Load(Model):
    """How work gets in: uploads to a front door."""

    upload: UploadLoad
    """A front door that takes files over HTTP, for example ``{to: shop, post: /orders}``."""


class Events(Model):
    """How an event is read from a record."""

    id: Pointer | Where
    """Where the event's id stands: a JSON pointer into the value, for example ``/event_id``, a header or the key."""
    type: Pointer | Where
    """Where its type stands, for example ``/event_type`` or ``{header: ce_type}``."""
    cause: Pointer | Where | None = None
    """Where the id of the event that caused it stands, for example ``/causation_id``; left out: nowhere."""
    data: Pointer | None = "/data"
    """What the digest is taken over; null: the whole value."""
    raw: Pointer | None = "/data/raw_file_storage_id"
    """Where the raw blob that it is about is named; null: events name none."""
    topics: list[Name]
    """The topics that hold events, for example ``[orders]``; dead letters are no events."""


class Outcome(Model):
    """Exactly one of ``then`` for each ``of`` (``upload``, ``batch`` or an event type), joined by the value at ``by``.

    ``by`` may be several pointers: the values at all of them are the key. ``then`` may tell apart what follows an
    upload that should pass validation and one that should not: ``{accepted: [...], rejected: [...]}``.
    """

    of: str
    """``upload``, ``batch``, or an event type, for example ``order.placed``."""
    by: Pointer | Annotated[list[Pointer], Field(min_length=1)]
    """Where the outcome, and an ``of`` that is an event, hold what joins them, for example ``/data/order_id``."""
    then: list[str] | dict[Literal["accepted", "rejected"], list[str]]
    """Event types of which exactly one must follow, for example ``[order.billed, order.refused]``."""

    @model_validator(mode="after")
    def _countable(self) -> Outcome:
        if self.of in {"upload", "batch"} and not isinstance(self.by, str):
            message = f"by: the id of {'an upload' if self.of == 'upload' else 'a batch'} stands at one pointer"
            raise ValueError(message)
        if self.of != "upload" and not isinstance(self.then, list):
            message = "then: only uploads are told apart as accepted and rejected; write a list"
            raise ValueError(message)
        return self

    def types(self) -> list[str]:
        """Every event type that is an outcome."""
        if isinstance(self.then, list):
            return self.then
        return [name for names in self.then.values() for name in names]


class Sql(Model):
    """A query whose columns are ``id``, ``effect`` and, if they are to be compared, ``carries``.

    ``url``: ``sqlite:///{data}/FILE``, or ``postgresql://oneffect@{postgres}/{database}`` of the service.
    """

    url: str = Field(repr=False)
    """Where the effects are, for example ``sqlite:///{data}/db``."""
    query: str
    """For example ``SELECT event_id AS id, entry AS effect, digest AS carries FROM ledger``; it goes out as it is written."""


class Effects(Model):
    """What a service changes for good, in a form that can be counted."""

    applies: list[str]
    """Event types each of which must have exactly one effect, for example ``[order.placed]``."""
    sql: Sql
    """How the effects are read, past the proxies and in a read-only transaction."""


class Blobs(Model):
    """How a raw blob is read past the proxies: ``http://{content_service}/v1/content/{id}``."""

    get: str
    """The URL of a blob, with ``{id}`` for what names it."""


class DeadLetters(Model):
    """How a dead letter, whose value is JSON, names what it is about."""

    topic: Name
    """The topic that dead letters are on, for example ``dead-letters``."""
    id: Pointer
    """Where the id of the event that was set aside stands, for example ``/event_id``."""
    consumer: Pointer
    """Where the service that set it aside is named, for example ``/consumer``."""
    source: Pointer
    """Where the record's place stands, an object with ``topic``, ``partition`` and ``offset``, for example ``/source``."""
    kind: Pointer
    """Where it says why, ``poison``, ``conflict`` or ``malformed``, for example ``/kind``."""


class Request(Model):
    """How the system is asked to do something again: a POST, or a command. What it is about is filled in.

    A command runs in the system file's folder, without a shell, with the environment of ``service``, where addresses
    lead past the proxies. Without ``service`` that is the front door, or the consumer of the dead letter.
    """

    post: Annotated[str, StringConstraints(pattern=r"^https?://"), Field(title="URL")] | None = Field(
        default=None, repr=False
    )
    """The URL, for example ``http://{shop}/orders/{upload_id}/reprocess``."""
    ok: int = 202
    """The HTTP status that says yes; of a command it is 0."""
    command: Annotated[str, StringConstraints(pattern=r"\S"), Field(title="command")] | None = Field(
        default=None, repr=False
    )
    """The program and its words, for example ``python -m billing replay --event {event_id}``."""
    service: Name | None = None
    """Whose environment a command has, for example ``billing``."""

    @model_validator(mode="after")
    def _one(self) -> Request:
        if (self.post is None) == (self.command is None):
            message = "write either post: or command:"
            raise ValueError(message)
        if self.post is not None and self.service is not None:
            message = "service: only a command has a service's environment; leave it out"
            raise ValueError(message)
        return self

    def placeholders(self) -> set[str]:
        """Names in braces."""
        return set(PLACEHOLDER.findall(self.post or self.command or ""))


class Variants(Model):
    """How a variant's services start, and what must be found in each."""

    command: str
    """In place of each service's own, for example ``python -m variants {variant} {service}``."""
    find: dict[Name, list[str]]
    """Each variant with the anomalies that must be found in it, for example ``{setnx_only: [lost, duplicate]}``."""


class System(Model):
    """A whole system file.

    ``extends: other.yaml`` lays it over that file: mappings merge, null removes what stands there, all else replaces.
    """

    oneffect: Literal[1]
    """The version of this format: 1."""
    name: Name
    """What the system is called in reports, for example ``shop``."""
    dependencies: dict[Name, Dependency]
    """Brokers and stores by name, for example ``{kafka: {topics: {orders: 4}}, redis: {}}``."""
    services: dict[Name, Service]
    """The services under test by name; a name is also the placeholder that leads to it, for example ``{shop}``."""
    load: Load
    """How work gets in."""
    events: Events
    """The topics that hold events, and how one is read from a record."""
    outcomes: list[Outcome] = []
    """What must follow what; exactly once each."""
    effects: dict[Name, Effects] = {}
    """By service, what it changes for good; a service that is not here is not asked for effects."""
    blobs: Blobs | None = None
    """How raw blobs are read; left out: there are none, and nothing is judged of them."""
    dead_letters: DeadLetters | None = None
    """How dead letters are read; left out: the system has none."""
    reprocess: Request | None = None
    """Has an upload processed once more, from its raw blob: one new outcome, a fact of its own."""
    replay: Request | None = None
    """Has a consumer take on again what it set aside."""
    settle: Duration = 3.0
    """The longest of lease, retry back-off and session time-out, and of any time for which the system waits in silence.

    What is not there so long after its offset was passed is lost; where nothing moved for three times as long, it is stuck.
    """
    variants: Variants | None = None
    """The system with deliberate flaws, which show that they are found."""

    @model_validator(mode="after")
    def _joined(self) -> System:
        for name, service in self.services.items():
            for used in sorted(service.placeholders()):
                kind, _, value = used.partition(":")
                if kind == "topic" and value in self.topics():
                    continue
                if used not in FILLED_IN | self.dependencies.keys() | self.services.keys():
                    allowed = ", ".join(sorted({*FILLED_IN, *self.dependencies, *self.services, "topic:NAME"}))
                    message = f"services.{name}: {{{used}}} names nothing; known are {allowed}"
                    raise ValueError(message)
            if unread := sorted(set(service.reads or ()) - set(self.events.topics)):
                message = (
                    f"services.{name}.reads: {unread[0]} is not among events.topics; add it there, or mend the name"
                )
                raise ValueError(message)
            if "database" in service.placeholders() and not self.servers(name):
                message = f"services.{name}: {{database}} needs a dependency of kind postgres beside it"
                raise ValueError(message)
        self._check_request("reprocess", self.reprocess, REPROCESSED)
        self._check_request("replay", self.replay, REPLAYED)
        if len(brokers := self.of_kind("kafka")) > 1:
            message = (
                f"dependencies: {' and '.join(brokers)} are of kind kafka, and the events of one broker alone are "
                "read; keep one of them, and leave the others out or start them beside the run"
            )
            raise ValueError(message)
        unknown = sorted(set(self.effects) - set(self.services))
        if unknown:
            message = f"effects.{unknown[0]}: no such service; known are {', '.join(sorted(self.services))}"
            raise ValueError(message)
        return self

    def _check_request(self, name: str, request: Request | None, about: frozenset[str]) -> None:
        if request is None:
            return
        if request.service is not None and request.service not in self.services:
            message = f"{name}.service: no such service; known are {', '.join(sorted(self.services))}"
            raise ValueError(message)
        known = {*about, *self.dependencies, *self.services, *(f"topic:{topic}" for topic in self.topics())}
        known |= FILLED_IN - {"port", "replica", "variant"} if request.command is not None else set()
        if unknown := sorted(request.placeholders() - known):
            message = f"{name}: {{{unknown[0]}}} names nothing; known are {', '.join(sorted(known))}"
            raise ValueError(message)

    def topics(self) -> dict[str, int]:
        """Topics and their numbers of partitions, over all brokers."""
        return {topic: n for dep in self.dependencies.values() for topic, n in dep.topics.items()}

    def kind(self, dependency: str) -> str:
        """Which kind a dependency is: kafka, redis or postgres."""
        return self.dependencies[dependency].kind or dependency

    def of_kind(self, kind: str) -> list[str]:
        """Dependencies of a kind, as the file orders them."""
        return [name for name in self.dependencies if self.kind(name) == kind]

    def servers(self, service: str) -> list[str]:
        """Dependencies of kind postgres on which a service has a ``{database}``."""
        used = self.services[service].placeholders()
        wanted = self.dependencies.keys() & used if "database" in used else set()
        return sorted(name for name in wanted if self.kind(name) == "postgres")

    def replicas(self) -> list[str]:
        """``content_service#1``, ``essay_lifecycle#1``, ``essay_lifecycle#2`` …."""
        return [f"{name}#{n}" for name, service in self.services.items() for n in range(1, service.replicas + 1)]

    def links(self) -> list[tuple[str, str]]:
        """(replica, dependency or service) for each placeholder that names one."""
        targets = self.dependencies.keys() | self.services.keys()
        return [
            (replica, used)
            for replica in self.replicas()
            for used in sorted(self.services[replica.partition("#")[0]].placeholders() & targets)
        ]

    def consumers(self) -> dict[str, list[str]]:
        """Which event types each service with effects must apply."""
        return {name: effects.applies for name, effects in self.effects.items()}


def checks(system: System) -> dict[str, Any]:
    """What the checkers need of a system, as it stands in the plan under ``checks``."""
    return {
        "consumers": system.consumers(),
        "topics": list(system.events.topics),
        "outcomes": [
            {
                "of": rule.of,
                "then": rule.types(),
                "accepted": rule.then.get("accepted") if isinstance(rule.then, dict) else None,
                "rejected": rule.then.get("rejected") if isinstance(rule.then, dict) else None,
            }
            for rule in system.outcomes
        ],
        "blobs": system.blobs is not None,
        "dead_letters": system.dead_letters is not None,
        "settle_ns": int(system.settle * 1e9),
    }
