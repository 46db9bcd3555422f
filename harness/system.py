"""The system file: the services under test, how they start, and how to read their events, effects and blobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from harness.dependency import Dependency
from harness.effects import Effects, forms
from harness.errors import nearest
from harness.model import PLACEHOLDER, By, Model, Name, said
from harness.system_events import Blobs, DeadLetters, Events, Outcome, TypeByTopic
from harness.system_load import Load
from harness.units import Duration

_HALVES = (":host", ":port")
"""What follows a name where a service takes an address in two: ``{redis:host}`` and ``{redis:port}``."""

FILLED_IN = frozenset({"port", "service", "replica", "data", "run", "group", "database", "variant"})
"""Placeholders that do not name a dependency; ``{database}`` is created for the service on the postgres it names."""

REPROCESSED = frozenset({"upload_id", "raw_file_storage_id"})
"""Placeholders that identify the upload to ``reprocess``."""

REPLAYED = frozenset({"consumer", "event_id", "topic", "partition", "offset"})
"""Placeholders that identify the dead letter to ``replay``; topic, partition and offset are the original record's."""


def _parts(where: By) -> int:
    return len(where) if isinstance(where, list) else 1


def _named(text: str) -> Iterator[str]:
    """Yield what the placeholders of a text name."""
    for name in PLACEHOLDER.findall(text):
        part, colon, half = name.partition(":")
        yield part if f"{colon}{half}" in _HALVES and part != "topic" else name


class SeveralError(ValueError):
    """Several mistakes in one file, each a message that begins with its field."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__(messages[0])
        self.messages = messages


class Prints(Model):
    """How a replica without an HTTP endpoint, such as a worker, says that it is ready."""

    prints: Annotated[str, Field(min_length=1)]
    """Text that it prints once it is ready, such as a part of a log line: ``worker started``."""


class Service(Model):
    """How a service starts. ``{redis}`` in ``env`` creates the link from each replica to redis.

    ``{redis}`` is ``host:port``; where a service takes these apart, ``{redis:host}`` and ``{redis:port}`` create the same link.

    ``command`` starts a process; ``image`` starts a container, in which ``command``, if given, replaces the image's own.
    """

    command: str | None = Field(default=None, repr=False)
    """The command, run in the system file's folder without a shell; ``python`` is the harness's own interpreter.

    For example ``python -m shop --port {port}``.
    """
    image: str | None = None
    """The image of its containers on the docker stack, for example ``shop:1.4``."""
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    """How many processes or containers to run, all in one consumer group."""
    env: dict[str, str] = Field(default={}, repr=False)
    """Its environment besides PATH, HOME, LANG, LC_ALL and TZ, for example ``{REDIS_URL: "redis://{redis}/0"}``.

    It is not printed, as it may hold secrets.
    """
    ready: Annotated[str, StringConstraints(pattern=r"^/"), Field(title="path")] | Prints = "/readyz"
    """The path that answers 2xx on ``{port}`` once a replica is ready; without an HTTP endpoint, what it prints."""
    reads: list[Name] | None = None
    """Topics whose events it must apply, for example ``[orders]``; default: those assigned to its consumer group."""
    commits: Literal["after_effect", "on_receipt"] = "after_effect"
    """When it commits an offset: once the effects up to there are in its store, or once it has stored the records to apply
    them later, as a consumer with a durable inbox does."""

    @model_validator(mode="after")
    def _starts(self) -> Service:
        if self.command is None and self.image is None:
            raise ValueError("a service has a command, an image, or both")
        return self

    @property
    def path(self) -> str:
        """The path at which it says that it is ready; empty if it prints that instead."""
        return self.ready if isinstance(self.ready, str) else ""

    def placeholders(self) -> set[str]:
        """Placeholders in the command and the environment; half an address names the same part as the whole."""
        return {name for text in (self.command or "", *self.env.values()) for name in _named(text)}


class Request(Model):
    """How to ask the system to do something again: a POST or a command, with placeholders filled in.

    A command runs in the system file's folder, without a shell, in the environment of ``service`` with addresses past
    the proxies. ``service`` defaults to the front door, or to the consumer of the dead letter.
    """

    post: Annotated[str, StringConstraints(pattern=r"^https?://"), Field(title="URL")] | None = Field(
        default=None, repr=False
    )
    """The URL, for example ``http://{shop}/orders/{upload_id}/reprocess``."""
    ok: int = 202
    """The HTTP status that means yes."""
    command: Annotated[str, StringConstraints(pattern=r"\S"), Field(title="command")] | None = Field(
        default=None, repr=False
    )
    """The program and its arguments, for example ``python -m billing replay --event {event_id}``.

    Exit status 0 says yes, and 3 no: nothing was done. Any other leaves it unknown.
    """
    service: Name | None = None
    """The service whose environment a command gets, for example ``billing``."""

    @model_validator(mode="after")
    def _one(self) -> Request:
        if (self.post is None) == (self.command is None):
            raise ValueError("write either post: or command:")
        if self.post is not None and self.service is not None:
            raise ValueError("service: only a command has a service's environment; leave it out")
        return self

    def placeholders(self) -> set[str]:
        """Placeholders in the request."""
        return set(_named(self.post or self.command or ""))


class Variants(Model):
    """How the services of a variant start, and what must be found in each variant."""

    command: str
    """The command that replaces each service's own, for example ``python -m variants {variant} {service}``."""
    find: dict[Name, list[str]]
    """Variants, each with the anomalies that must be found in it, for example ``{setnx_only: [lost, duplicate]}``."""


class System(Model):
    """A whole system file.

    ``extends: other.yaml`` overlays it on that file: mappings merge, null removes a value, anything else replaces it.
    """

    oneffect: Literal[1]
    """The version of this format: 1."""
    name: Name
    """The system's name in reports, for example ``shop``."""
    dependencies: dict[Name, Dependency]
    """Brokers and stores by name, for example ``{kafka: {topics: {orders: 4}}, redis: {}}``."""
    services: dict[Name, Service]
    """The services under test by name; the name is also the placeholder for its address, for example ``{shop}``."""
    load: Load
    """How work enters the system."""
    events: Events
    """The topics that hold events, and how to read an event from a record."""
    outcomes: list[Outcome] = []
    """What must follow what, exactly once each."""
    effects: dict[Name, Effects] = {}
    """Each service's permanent changes; services not listed here have no effects to check."""
    blobs: Blobs | None = None
    """How to read raw blobs; default: there are none to check."""
    dead_letters: DeadLetters | None = None
    """How to read dead letters; default: the system has none."""
    reprocess: Request | None = None
    """How to have an upload processed again from its raw blob, for one further outcome."""
    replay: Request | None = None
    """How to have a consumer process a dead letter again."""
    settle: Duration = 3.0
    """The longest time the system may wait in silence: lease, retry back-off, session time-out and the like.

    What is missing this long after its offset was passed is lost; a system without progress for three times as long is
    stuck.
    """
    variants: Variants | None = None
    """The system with deliberate flaws, to prove that they are found."""

    @model_validator(mode="before")
    @classmethod
    def _without_blobs(cls, told: Any) -> Any:  # noqa: ANN401 - as the file has it
        """Without blobs to check, events need name none."""
        if isinstance(told, dict) and told.get("blobs") is None and isinstance(events := told.get("events"), dict):
            return {**told, "events": {"raw": None, **events}}
        return told

    @model_validator(mode="after")
    def _joined(self) -> System:
        if wrong := list(self._wrong()):
            raise SeveralError(wrong)
        return self

    def _wrong(self) -> Iterator[str]:
        """Yield what does not fit together, each beginning with its field."""
        for name, service in self.services.items():
            yield from self._check_service(name, service)
        yield from self._check_load()
        yield from self._check_front()
        yield from self._check_ids()
        yield from self._check_request("reprocess", self.reprocess, REPROCESSED)
        yield from self._check_request("replay", self.replay, REPLAYED)
        if len(brokers := self.of_kind("kafka")) > 1:
            yield (
                f"dependencies: {' and '.join(brokers)} are of kind kafka, but events are read from one broker "
                "only; keep one of them, and leave the others out or start them beside the run"
            )
        for name, dependency in self.dependencies.items():
            if name == "tcp" and dependency.kind is None:
                yield "dependencies.tcp: write kind: tcp, or give it a name of its own"
        services, topics = sorted(self.services), sorted(self.topics())
        for unknown in sorted(set(self.effects) - set(self.services)):
            yield f"effects.{unknown}: no such service{nearest(unknown, services)}; known: {', '.join(services)}"
        yield from self._check_topics(topics, services)
        for name, effects in self.effects.items():
            if effects.topic is not None and effects.topic.name not in topics:
                yield (
                    f"effects.{name}.topic: {effects.topic.name} is no topic of a dependency"
                    f"{nearest(effects.topic.name, topics)}; known: {', '.join(topics) or 'none'}"
                )
            yield from self._check_texts(name, effects)

    def _check_topics(self, topics: Sequence[str], services: Sequence[str]) -> Iterator[str]:
        """Topics that are read must be on a broker, and dead letters must come from a service."""
        letters = self.dead_letters
        of_letters = [("dead_letters.topic", letters.topic)] if letters is not None else []
        for field, topic in [*(("events.topics", topic) for topic in self.events.topics), *of_letters]:
            if topic not in topics:
                yield (
                    f"{field}: no dependency has the topic {topic}{nearest(topic, topics)}; known: "
                    f"{', '.join(topics) or 'none'}"
                )
        if isinstance(kinds := self.events.type, TypeByTopic):
            for topic in sorted(set(self.events.topics) - kinds.topics.keys()):
                yield f"events.type.topics: the type of the events on {topic} is missing"
            for topic in sorted(kinds.topics.keys() - set(self.events.topics)):
                yield f"events.type.topics.{topic}: it is not in events.topics; add it there, or correct the name"
        by = letters.by if letters is not None else None
        if by is not None and by not in services:
            yield f"dead_letters.consumer: no service {by}{nearest(by, services)}; known: {', '.join(services)}"

    def _check_service(self, name: str, service: Service) -> Iterator[str]:
        for used in sorted(service.placeholders()):
            kind, _, value = used.partition(":")
            if kind == "topic" and value in self.topics():
                continue
            if used not in FILLED_IN | self.dependencies.keys() | self.services.keys():
                allowed = ", ".join(sorted({*FILLED_IN, *self.dependencies, *self.services, "topic:NAME"}))
                yield f"services.{name}: {{{used}}} is unknown; known: {allowed}"
        if isinstance(service.ready, Prints) and (asks := [one for one, end in self.links() if end == name]):
            yield f"services.{name}.ready: {asks[0]} links to it, so it must answer over HTTP; write a path, such as /readyz"
        if unread := sorted(set(service.reads or ()) - set(self.events.topics)):
            yield f"services.{name}.reads: {unread[0]} is not in events.topics; add it there, or correct the name"
        if "database" in service.placeholders() and not self.servers(name):
            yield f"services.{name}: {{database}} needs a dependency of kind postgres beside it"

    def _check_load(self) -> Iterator[str]:
        """Published records must be events that are read; only uploads can be reprocessed, or have upload outcomes."""
        if (door := self.load.upload) is not None and not door.identified:
            yield from self._check_nameless()
        if (publish := self.load.publish) is None:
            return
        if self.events.decode is not None and publish.encode is None:
            yield "load.publish: values are not JSON here (events.decode); say in `encode` how to make them"
        if self.events.decode is None and publish.encode is not None:
            yield "load.publish.encode: write events.decode as well, or its values cannot be read"
        if publish.topic not in self.topics() or publish.topic not in self.events.topics:
            where = "a broker's topics" if publish.topic not in self.topics() else "events.topics"
            yield f"load.publish.topic: {publish.topic} is not in {where}; add it there, or correct the name"
        try:
            kinds = self.events.type
            publish.check_event(self.events.id, None if isinstance(kinds, TypeByTopic) else kinds)
        except ValueError as wrong:
            yield str(wrong)
        if any(rule.of == "upload" for rule in self.outcomes):
            yield "outcomes: of: upload: the load publishes events, so nothing is uploaded; name their type in its place"
        if self.reprocess is not None:
            yield "reprocess: the load publishes events, so there is no upload to process again; leave it out"

    def _check_front(self) -> Iterator[str]:
        """The front door, and what a client program's arguments name, must be in the system."""
        services = sorted(self.services)
        how = "upload" if self.load.upload is not None else "command"
        if (door := self.load.front) is not None and door not in self.services:
            yield f"load.{how}.to: no service {door}{nearest(door, services)}; known: {', '.join(services) or 'none'}"
        if (client := self.load.command) is not None:
            known = {*self.dependencies, *services, *(f"topic:{topic}" for topic in self.topics())}
            for unknown in sorted(set(_named(client.run)) - known):
                yield f"load.command.run: {{{unknown}}} is unknown; known: {', '.join(sorted(known))}"

    def _check_nameless(self) -> Iterator[str]:
        """Without an id in its request, an upload cannot be joined with an outcome, nor be reprocessed."""
        where = "the request names no upload: write {id} in the path, in a field or in the template, or an id_header"
        if any(rule.of == "upload" for rule in self.outcomes):
            yield f"outcomes: of: upload: {where}"
        if self.reprocess is not None:
            yield f"reprocess: {where}"

    def _check_request(self, name: str, request: Request | None, about: frozenset[str]) -> Iterator[str]:
        if request is None:
            return
        if (
            name == "reprocess"
            and request.command is not None
            and request.service is None
            and self.load.front is None
        ):
            yield "reprocess.service: name the service whose environment the command gets; load.command.to names no front door"
        if request.service is not None and request.service not in self.services:
            yield f"{name}.service: no such service; known: {', '.join(sorted(self.services))}"
        allowed = {*about, *self.dependencies, *self.services, *(f"topic:{topic}" for topic in self.topics())}
        allowed |= FILLED_IN - {"port", "replica", "variant"} if request.command is not None else set()
        if unknown := sorted(request.placeholders() - allowed):
            yield f"{name}: {{{unknown[0]}}} is unknown; known: {', '.join(sorted(allowed))}"

    def _check_ids(self) -> Iterator[str]:
        """A reference to an event's id or a key must have as many parts as the id or key itself."""
        event, letters = self.events.id, self.dead_letters
        naming = [
            ("events.cause", self.events.cause, event),
            ("dead_letters.id", letters.id if letters else None, event),
        ]
        for name, effects in self.effects.items():
            for read in effects.reads:
                field = f"effects.{name}.{'total.' if read is effects.total else ''}"
                for form, described in forms(read).items():
                    if isinstance(where := getattr(described, "id", None), list):
                        naming.append((f"{field}{form}.id", where, read.by if read.by is not None else event))
        for field, where, of in naming:
            if where is not None and _parts(where) != _parts(of):
                yield f"{field}: it must have as many pointers as what it refers to, which is at {said(of)}"

    def _check_texts(self, name: str, effects: Effects) -> Iterator[str]:
        """The texts that say where effects are must name parts of the system."""
        allowed = {*self.dependencies, *self.services, *(f"topic:{topic}" for topic in self.topics())}
        allowed |= FILLED_IN - {"replica", "variant"}
        for field, text in effects.texts():
            for unknown in sorted(set(PLACEHOLDER.findall(text)) - allowed):
                yield f"effects.{name}.{field}: {{{unknown}}} is unknown; known: {', '.join(sorted(allowed))}"
        stores = self.of_kind("redis")
        for read in effects.reads:
            if read.redis is not None and read.redis.on not in (stores if len(stores) != 1 else [None, *stores]):
                yield f"effects.{name}: redis: write `on`, one of the dependencies of kind redis: {', '.join(stores) or 'none'}"

    def topics(self) -> dict[str, int]:
        """Number of partitions by topic, over all brokers."""
        return {topic: n for dep in self.dependencies.values() for topic, n in dep.topics.items()}

    def kind(self, dependency: str) -> str:
        """A dependency's kind: kafka, redis, postgres or tcp."""
        return self.dependencies[dependency].kind or dependency

    def of_kind(self, kind: str) -> list[str]:
        """Dependencies of a kind, in the file's order."""
        return [name for name in self.dependencies if self.kind(name) == kind]

    def servers(self, service: str) -> list[str]:
        """The postgres dependencies on which a service has a ``{database}``."""
        used = self.services[service].placeholders()
        named = self.dependencies.keys() & used if "database" in used else set()
        return sorted(name for name in named if self.kind(name) == "postgres")

    def replicas(self) -> list[str]:
        """``content_service#1``, ``essay_lifecycle#1``, ``essay_lifecycle#2`` …."""
        return [f"{name}#{n}" for name, service in self.services.items() for n in range(1, service.replicas + 1)]

    def links(self) -> list[tuple[str, str]]:
        """(replica, target) for each placeholder that names a dependency or service."""
        targets = self.dependencies.keys() | self.services.keys()
        return [
            (replica, used)
            for replica in self.replicas()
            for used in sorted(self.services[replica.partition("#")[0]].placeholders() & targets)
        ]

    def consumers(self) -> dict[str, list[str]]:
        """Event types that each service must apply, of those whose effects can be counted."""
        return {name: effects.applies for name, effects in self.effects.items() if effects.countable}

    def deferred(self) -> list[str]:
        """Consumers whose effects may come after their offsets: they say so, or a relay may publish what they stored."""
        return [
            name
            for name, effects in self.effects.items()
            if self.services[name].commits == "on_receipt" or effects.topic is not None
        ]


def checks(system: System) -> dict[str, Any]:
    """What the checkers need to know of a system, for ``checks`` in the plan."""
    return {
        "consumers": system.consumers(),
        "keyed": {name: said(effects.by) for name, effects in system.effects.items() if effects.by is not None},
        "deferred": system.deferred(),
        "totals": {
            name: {
                "types": effects.applies,
                "by": said(effects.total.by),
                "adds": effects.total.adds,
                "apart": effects.apart,
            }
            for name, effects in system.effects.items()
            if effects.total is not None
        },
        "topics": list(system.events.topics),
        "outcomes": [
            {
                "of": rule.of,
                "by": said(rule.by),
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
