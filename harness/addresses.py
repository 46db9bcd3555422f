"""The addresses file: where each part of a stack is that runs already, and how the user's own commands break it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from harness.errors import FileError, nearest
from harness.files import line_of, load
from harness.system import Blobs, Model, Name, System

if TYPE_CHECKING:
    from harness.stack import RunNames, Stack

_HOST_PORT = re.compile(r"[A-Za-z0-9._-]+:[0-9]{1,5}")


def _host_port(value: object) -> object:
    if (
        not isinstance(value, str)
        or not _HOST_PORT.fullmatch(value)
        or int(value.rpartition(":")[2]) not in range(1, 65536)
    ):
        message = f"{value!r} is no address; write host:port, for example 127.0.0.1:9092"
        raise ValueError(message)
    return value


Address = Annotated[
    str,
    BeforeValidator(_host_port),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_HOST_PORT.pattern}$", "title": "host:port", "examples": ["127.0.0.1:9092"]}
    ),
]


def _words(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError:
        words = []
    if not words:
        message = "no command; write a program and its arguments, with quotes that end"
        raise ValueError(message)
    return value


Command = Annotated[str, AfterValidator(_words)]


class LinkAddress(Model):
    """One link's proxy: where the service reaches it, and its name in which Toxiproxy."""

    listen: Address
    """As the harness reaches it, for its probes."""
    api: Address | None = None
    """That Toxiproxy's API; the file's ``toxiproxy`` when not given."""
    proxy: str | None = None
    """Its name there; the link's own when not given."""


class Commands(Model):
    """The user's own commands for one replica or dependency; each runs without a shell and ends within a minute.

    For example ``kill: kubectl delete pod billing-0 --grace-period=0 --force``. Without ``start`` what was killed or
    stopped must come back by itself.
    """

    kill: Command | None = Field(default=None, repr=False)
    """Ends it at once, as SIGKILL does."""
    stop: Command | None = Field(default=None, repr=False)
    """Asks it to end, as SIGTERM does."""
    start: Command | None = Field(default=None, repr=False)
    """Starts it again after ``kill`` or ``stop``."""
    pause: Command | None = Field(default=None, repr=False)
    """Holds it where it is, as SIGSTOP does."""
    resume: Command | None = Field(default=None, repr=False)
    """Lets it go on after ``pause``, as SIGCONT does."""
    forget: Command | None = Field(default=None, repr=False)
    """Takes a store's files away while it is down."""

    def texts(self) -> list[str]:
        """Every command that there is."""
        return [text for text in self.model_dump().values() if text is not None]


class LoginAs(Model):
    """How the harness logs in at a Redis."""

    password: Annotated[str, Field(min_length=1, repr=False)]
    """It is left out of all that is written."""
    user: Annotated[str, Field(min_length=1)] | None = None
    """Whose password it is; without one that of the user whom every connection begins as."""

    def config(self) -> dict[str, str]:
        """As the server's own configuration says it to a replica of it."""
        if self.user is None:
            return {"requirepass": self.password}
        return {"masteruser": self.user, "masterauth": self.password}


class Names(Model):
    """What the running system calls things, where it is not as the system file (a group: as its service)."""

    topics: dict[Name, str] = {}
    """By topic of the system file, for example ``{orders: prod.orders}``."""
    groups: dict[Name, str] = {}
    """Consumer groups by service, for example ``{billing: billing-v2}``."""
    databases: dict[Name, str] = {}
    """What ``{database}`` is by service, for example ``{billing: billing_prod}``."""


class Addresses(Model):
    """A whole addresses file. Dependencies and services are host:port that no fault touches."""

    oneffect: Literal[1]
    """The version of this format: 1."""
    toxiproxy: Address | None = None
    """The API of the Toxiproxy that holds every proxy which names no other, for example ``10.0.0.5:8474``."""
    dependencies: dict[Name, Address]
    """By dependency, for example ``{kafka: "10.0.0.6:9092", redis: "10.0.0.7:6379"}``."""
    logins: dict[Name, LoginAs] = Field(default={}, repr=False)
    """By dependency of kind redis, where it is not the system file's ``requirepass``."""
    services: dict[str, Address]
    """By replica (``essay_lifecycle#1``), or by service where one address serves all of its replicas."""
    links: dict[str, LinkAddress]
    """By replica and dependency, for example ``billing#1->redis: {listen: "10.0.0.5:9102"}``."""
    names: Names = Names()
    """Where the running system has other names than the system file."""
    data: dict[Name, str] = {}
    """What ``{data}`` is in a service's ``effects.sql.url``, for example ``{billing: /srv/billing}``."""
    effects: dict[Name, str] = Field(default={}, repr=False)
    """URLs to read effects at, in place of the system file's, for example ``{billing: "postgresql://reader@10.0.0.11/billing"}``."""
    blobs: str | None = None
    """In place of the system file's ``blobs.get``, for example ``http://10.0.0.8:8000/blobs/{id}``."""
    commands: dict[str, Commands] = {}
    """By replica or dependency: how it is broken."""
    versions: dict[str, str] = {}
    """Of the parts, for the history's header, for example ``{kafka: 4.1.0}``."""

    def laid_over(self, system: System) -> System:
        """The system, read where this file says."""
        effects = {
            name: one.model_copy(update={"sql": one.sql.model_copy(update={"url": self.effects[name]})})
            if name in self.effects
            else one
            for name, one in system.effects.items()
        }
        blobs = Blobs(get=self.blobs) if self.blobs is not None else system.blobs
        dependencies = {
            name: one.model_copy(update={"config": self.logins[name].config()}) if name in self.logins else one
            for name, one in system.dependencies.items()
        }
        return system.model_copy(update={"effects": effects, "blobs": blobs, "dependencies": dependencies})

    def service(self, replica: str) -> str:
        """The address of a replica."""
        return self.services.get(replica) or self.services[replica.partition("#")[0]]

    def api(self, link: str) -> str:
        """The API of the Toxiproxy that a link's proxy is in."""
        return self.links[link].api or self.toxiproxy or ""


def described(system: System, stack: Stack, names: RunNames) -> Addresses:
    """What a stack that the harness started, with its services, looks like to somebody who did not start it."""
    links = {name: LinkAddress(listen=link.address, api=link.api) for name, link in stack.links.items()}
    return Addresses(
        oneffect=1,
        dependencies={name: stack.direct(name) for name in system.dependencies},
        services={name: stack.direct(name) for name in stack.services},
        links=links,
        names=Names(
            topics={name: names.topic(name) for name in system.topics()},
            groups={name: names.group(name) for name in system.services},
            databases={name: names.database(name) for name in system.services},
        ),
        data={name: str(stack.data(name)) for name, one in system.effects.items() if "{data}" in one.sql.url},
    )


def written(addresses: Addresses) -> str:
    """As an addresses file."""
    text: str = yaml.safe_dump(addresses.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    return text


def load_addresses(path: Path, system: System) -> Addresses:
    """The file at ``path``, checked against the system that it shall serve; FileError says what is off, and where."""
    found = load(path, Addresses)
    for field, message in _amiss(found, system):
        raise FileError(message, path=str(path), line=line_of(path, field), field=".".join(field))
    return found


def _amiss(found: Addresses, system: System) -> Iterator[tuple[tuple[str, ...], str]]:
    replicas, services, links = system.replicas(), list(system.services), [f"{a}->{b}" for a, b in system.links()]
    yield from _unknown("dependencies", found.dependencies, system.dependencies)
    yield from _unknown("logins", found.logins, system.of_kind("redis"))
    yield from _unknown("services", found.services, [*replicas, *services])
    yield from _unknown("links", found.links, links)
    yield from _unknown("commands", found.commands, [*replicas, *system.dependencies])
    yield from _unknown("data", found.data, services)
    yield from _unknown("effects", found.effects, system.effects)
    yield from _unknown("names.topics", found.names.topics, system.topics())
    yield from _unknown("names.groups", found.names.groups, services)
    yield from _unknown("names.databases", found.names.databases, services)
    for name in system.dependencies:
        if name not in found.dependencies:
            yield ("dependencies",), f"{name} is missing; write its host:port"
    for replica in replicas:
        if replica not in found.services and replica.partition("#")[0] not in found.services:
            yield ("services",), f"{replica} is missing; write its host:port"
    for link in links:
        if link not in found.links:
            yield ("links",), f"{link} is missing; write {{listen: host:port}} of its proxy"
        elif not found.api(link):
            yield ("links", link), "no Toxiproxy; write api: host:port here, or toxiproxy: host:port for all"
    for name, effects in found.laid_over(system).effects.items():
        if "{data}" in effects.sql.url and name not in found.data:
            yield (
                ("data",),
                f"{name} is missing: its effects are read in {{data}}; write the folder, or effects.{name}",
            )


def _unknown(field: str, names: Collection[str], known: Collection[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name in names:
        if name not in known:
            yield (
                (*field.split("."), name),
                f"the system has no such one{nearest(name, known)}; known are {', '.join(sorted(known)) or 'none'}",
            )
