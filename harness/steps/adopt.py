"""A system that a test describes: its own code, and the broker and stores that its suite has started."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from harness.addresses import Addresses, Names
from harness.effects import Returned
from harness.errors import StackError, UsageError
from harness.stacks.adopted.code import CODE
from harness.system import System

NAME: Final = "adopted"
"""The name of such a system in reports."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a test hands over: ``described`` has fields of a system file, ``effect_fields`` of its ``effects``."""

    parts: Mapping[str, object]
    """Each dependency's container or address, by its name, which is its kind."""
    group: str | None
    """The consumer group; None if the code commits no offsets."""
    effects: Callable[[], Iterable[Any]]
    effect_fields: Mapping[str, object]
    described: Mapping[str, object]

    def topics(self) -> list[str]:
        """The broker's topics that the description names."""
        found: list[object] = []
        for field, name in (("events", "topics"), ("publish", "topic"), ("dead_letters", "topic")):
            given = self.described[field]
            value = given.get(name) if isinstance(given, Mapping) else None
            found += value if isinstance(value, list | tuple) else [value]
        return list(dict.fromkeys(topic for topic in found if isinstance(topic, str)))

    def addresses(self) -> Addresses:
        """Return each part's address, and its names there; UsageError for a part without an address."""
        at = {name: address_of(name, part) for name, part in self.parts.items()}
        topics = {named(topic): topic for topic in self.topics()}
        if len(topics) < len(self.topics()):
            raise UsageError(
                f"adopt: of the topics {', '.join(self.topics())} two are one in small letters, digits, - and _"
            )
        groups = {CODE: self.group} if self.group is not None else {}
        with _told():
            names = Names(groups=groups, topics=topics)
            return Addresses(oneffect=1, dependencies=at, services={}, links={}, names=names)

    def system(self, partitions: Mapping[str, int]) -> System:
        """Return the system, whose topics have these numbers of partitions; UsageError says what is wrong."""
        described = {field: _renamed(value) for field, value in self.described.items()}
        publish, events = described.pop("publish"), described["events"]
        reads = events.get("topics") if isinstance(events, Mapping) else None
        dependencies: dict[str, dict[str, object]] = {
            name: {"config": {"requirepass": password}} if (password := _password(name, part)) else {}
            for name, part in self.parts.items()
        }
        dependencies["kafka"]["topics"] = {named(topic): count for topic, count in partitions.items()}
        with _told():
            effects = Returned.model_validate({**self.effect_fields, "call": self.effects})
            return System.model_validate(
                {
                    "oneffect": 1,
                    "name": NAME,
                    "dependencies": dependencies,
                    "services": {
                        CODE: {
                            "command": "started by the test",
                            "env": {name.upper(): f"{{{name}}}" for name in self.parts},
                            "reads": reads if isinstance(reads, list) else None,
                        }
                    },
                    "load": {"publish": publish},
                    "effects": {CODE: effects},
                    **described,
                }
            )


def named(topic: str) -> str:
    """Return a broker's topic as a system file may call it: ``prod.Orders`` is ``prod-orders``."""
    return re.sub(r"[^a-z0-9_-]", "-", topic.lower())


def _renamed(value: object) -> object:
    """Return a field of the description with the topics that it names as the system calls them."""
    if not isinstance(value, Mapping):
        return value
    renamed = {**value}
    if isinstance(topic := value.get("topic"), str):
        renamed["topic"] = named(topic)
    if isinstance(topics := value.get("topics"), list | tuple):
        renamed["topics"] = [named(topic) if isinstance(topic, str) else topic for topic in topics]
    elif isinstance(topics, Mapping):
        renamed["topics"] = {named(str(topic)): kind for topic, kind in topics.items()}
    if "type" in value:
        renamed["type"] = _renamed(value["type"])
    return renamed


def address_of(name: str, part: object) -> str:
    """Return the host:port of a testcontainers container, or ``part`` if it is text; UsageError for anything else."""
    if isinstance(part, str):
        return part
    if callable(bootstrap := getattr(part, "get_bootstrap_server", None)):
        return str(bootstrap())
    if callable(url := getattr(part, "get_connection_url", None)):
        whole = urlsplit(str(url()))
        return f"{whole.hostname}:{whole.port}"
    host, port = getattr(part, "get_container_host_ip", None), getattr(part, "get_exposed_port", None)
    if callable(host) and callable(port):
        return f"{host()}:{port(getattr(part, 'port', _PORTS[name]))}"
    raise UsageError(
        f"adopt: {name}: {type(part).__name__} is no address and no container of testcontainers'; give one of them, for "
        'example "127.0.0.1:9092"'
    )


_PORTS: Final = {"kafka": 9092, "redis": 6379, "postgres": 5432}
"""Ports inside containers that do not give their own."""


def _password(name: str, part: object) -> str | None:
    """Return the password of a Redis container; None if it has none, and for a plain address."""
    found = getattr(part, "password", None) if name == "redis" and not isinstance(part, str) else None
    return found if isinstance(found, str) and found else None


async def partitions(address: str, topics: Sequence[str]) -> Mapping[str, int]:
    """Ask the broker for the topics' numbers of partitions; StackError if it lacks one of them."""
    from harness.clients.brokers import partitions as ask

    found = await ask(address, topics)
    if missing := sorted(set(topics) - found.keys()):
        raise StackError(f"Kafka at {address} has no topic {missing[0]}; create it before `with oneffect.adopt(…)`")
    return found


_WORDS: Final[Mapping[int | str, str]] = {"call": "effects"}
"""Field of a model -> the parameter of the call that sets it."""


@contextmanager
def _told() -> Iterator[None]:
    """Turn a validation error into a UsageError that names the call's parameters."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        said = str(first.get("ctx", {}).get("error") or first["msg"])
        where = ".".join(_WORDS.get(part, str(part)) for part in first["loc"] if part not in {"load", "dependencies"})
        raise UsageError(": ".join(["adopt", *([where] if where else []), said.removeprefix("load.")])) from error
