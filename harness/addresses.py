"""The addresses file: where each part of an already running stack is, and the user's commands that break it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from harness.errors import FileError, nearest
from harness.files import line_of, load
from harness.model import Command, Model, Name
from harness.system import System
from harness.system_events import Blobs

if TYPE_CHECKING:
    from harness.stack import RunNames, Stack

_HOST_PORT = re.compile(r"[A-Za-z0-9._-]+:[0-9]{1,5}")


def _host_port(value: object) -> object:
    if (
        not isinstance(value, str)
        or not _HOST_PORT.fullmatch(value)
        or int(value.rpartition(":")[2]) not in range(1, 65536)
    ):
        raise ValueError(f"{value!r} is not an address; write host:port, for example 127.0.0.1:9092")
    return value


Address = Annotated[
    str,
    BeforeValidator(_host_port),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_HOST_PORT.pattern}$", "title": "host:port", "examples": ["127.0.0.1:9092"]}
    ),
]

Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$")]


class LinkAddress(Model):
    """One link's proxy: its address, its Toxiproxy and its name there."""

    listen: Address
    """The proxy's address as the harness reaches it, for its probes."""
    api: Address | None = None
    """Its Toxiproxy's API; by default the file's ``toxiproxy``."""
    proxy: str | None = None
    """Its name in that Toxiproxy; by default the link's name."""


class Commands(Model):
    """The user's commands for one replica or dependency. Each runs without a shell and must end within a minute.

    For example ``kill: kubectl delete pod billing-0 --grace-period=0 --force``. Without ``start``, a killed or stopped
    target must come back by itself.
    """

    kill: Command | None = Field(default=None, repr=False)
    """Ends it at once, as SIGKILL does."""
    stop: Command | None = Field(default=None, repr=False)
    """Asks it to exit, as SIGTERM does."""
    start: Command | None = Field(default=None, repr=False)
    """Starts it again after ``kill`` or ``stop``."""
    pause: Command | None = Field(default=None, repr=False)
    """Freezes it, as SIGSTOP does."""
    resume: Command | None = Field(default=None, repr=False)
    """Resumes it after ``pause``, as SIGCONT does."""
    forget: Command | None = Field(default=None, repr=False)
    """Removes a store's files while it is down."""

    def texts(self) -> list[str]:
        """Return every command that is given."""
        return [text for text in self.model_dump().values() if text is not None]


class LoginAs(Model):
    """How the harness logs in at a Redis."""

    password: Annotated[str, Field(min_length=1, repr=False)]
    """Never written to any output."""
    user: Annotated[str, Field(min_length=1)] | None = None
    """The password's user; by default the user that every connection starts as."""

    def config(self) -> dict[str, str]:
        """Return the login as redis.conf directives."""
        if self.user is None:
            return {"requirepass": self.password}
        return {"masteruser": self.user, "masterauth": self.password}


class Names(Model):
    """The running system's names, where they differ from the system file's (for a group, from its service's)."""

    topics: dict[Name, str] = {}
    """Broker's topic by topic of the system file, for example ``{orders: prod.orders}``."""
    groups: dict[Name, str] = {}
    """Consumer group by service, for example ``{billing: billing-v2}``."""
    databases: dict[Name, str] = {}
    """Value of ``{database}`` by service, for example ``{billing: billing_prod}``."""


class Addresses(Model):
    """A whole addresses file. The addresses of dependencies and services must bypass the proxies."""

    oneffect: Literal[1]
    """The version of this format: 1."""
    toxiproxy: Address | None = None
    """The API of the Toxiproxy of all links without an ``api``, for example ``10.0.0.5:8474``."""
    taps: Host | None = None
    """This machine, as the Toxiproxies reach it, for example ``10.0.0.2``. With it brokers need no listeners for links."""
    dependencies: dict[Name, Address]
    """Address by dependency, for example ``{kafka: "10.0.0.6:9092", redis: "10.0.0.7:6379"}``."""
    logins: dict[Name, LoginAs] = Field(default={}, repr=False)
    """Login by dependency of kind redis, where it is not the system file's ``requirepass``."""
    services: dict[str, Address]
    """Address by replica (``essay_lifecycle#1``), or by service where one address serves all of its replicas."""
    links: dict[str, LinkAddress]
    """Proxy by replica and dependency, for example ``billing#1->redis: {listen: "10.0.0.5:9102"}``."""
    names: Names = Names()
    """Names in the running system that differ from the system file's."""
    data: dict[Name, str] = {}
    """Value of ``{data}`` in what a service's ``effects`` say, for example ``{billing: /srv/billing}``."""
    effects: dict[Name, str] = Field(default={}, repr=False)
    """URLs to read effects from, instead of the system file's, for example ``{billing: "postgresql://reader@10.0.0.11/billing"}``."""
    blobs: str | None = None
    """Replaces the system file's ``blobs.get``, for example ``http://10.0.0.8:8000/blobs/{id}``."""
    commands: dict[str, Commands] = {}
    """Commands that break a target, by replica or dependency."""
    versions: dict[str, str] = {}
    """Versions of the parts, for the history's header, for example ``{kafka: 4.1.0}``."""

    def laid_over(self, system: System) -> System:
        """Return the system with this file's URLs and logins in place of its own."""
        effects = {
            name: described.read_at(self.effects[name]) if name in self.effects else described
            for name, described in system.effects.items()
        }
        blobs = Blobs(get=self.blobs) if self.blobs is not None else system.blobs
        dependencies = {
            name: dependency.model_copy(update={"config": self.logins[name].config()})
            if name in self.logins
            else dependency
            for name, dependency in system.dependencies.items()
        }
        return system.model_copy(update={"effects": effects, "blobs": blobs, "dependencies": dependencies})

    def service(self, replica: str) -> str:
        """Return the address of a replica."""
        return self.services.get(replica) or self.services[replica.partition("#")[0]]

    def api(self, link: str) -> str:
        """Return the API of a link's Toxiproxy."""
        return self.links[link].api or self.toxiproxy or ""


def described(system: System, stack: Stack, names: RunNames) -> Addresses:
    """Describe a stack that the harness started, with its services, as an external one."""
    links = {
        name: LinkAddress(listen=link.address, api=link.api, proxy=link.proxy) for name, link in stack.links.items()
    }
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
        data={
            name: str(stack.data(name))
            for name, effects in system.effects.items()
            if any("{data}" in text for _, text in effects.texts())
        },
    )


def written(addresses: Addresses) -> str:
    """Render as an addresses file."""
    text: str = yaml.safe_dump(addresses.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    return text


def load_addresses(path: Path, system: System) -> Addresses:
    """Load the file at ``path`` and check it against the system; raises FileError with the first problem."""
    addresses = load(path, Addresses)
    for problem in problems(addresses, path, system):
        raise problem
    return addresses


def problems(addresses: Addresses, path: Path, system: System) -> Iterator[FileError]:
    """Yield everything in which the file at ``path`` does not fit the system."""
    for field, message in _problems(addresses, system):
        yield FileError(message, path=str(path), line=line_of(path, field), field=".".join(field))


def _problems(addresses: Addresses, system: System) -> Iterator[tuple[tuple[str, ...], str]]:
    replicas, services, links = system.replicas(), list(system.services), [f"{a}->{b}" for a, b in system.links()]
    yield from _unknown("dependencies", addresses.dependencies, system.dependencies)
    yield from _unknown("logins", addresses.logins, system.of_kind("redis"))
    yield from _unknown("services", addresses.services, [*replicas, *services])
    yield from _unknown("links", addresses.links, links)
    yield from _unknown("commands", addresses.commands, [*replicas, *system.dependencies])
    yield from _unknown("data", addresses.data, services)
    yield from _unknown(
        "effects", addresses.effects, [name for name, effects in system.effects.items() if effects.urls]
    )
    yield from _unknown("names.topics", addresses.names.topics, system.topics())
    yield from _unknown("names.groups", addresses.names.groups, services)
    yield from _unknown("names.databases", addresses.names.databases, services)
    for name in system.dependencies:
        if name not in addresses.dependencies:
            yield ("dependencies",), f"{name} is missing; write its host:port"
    for replica in replicas:
        if replica not in addresses.services and replica.partition("#")[0] not in addresses.services:
            yield ("services",), f"{replica} is missing; write its host:port"
    for link in links:
        if link not in addresses.links:
            yield ("links",), f"{link} is missing; write {{listen: host:port}} of its proxy"
        elif not addresses.api(link):
            yield ("links", link), "no Toxiproxy; write api: host:port here, or toxiproxy: host:port for all"
    yield from _past_links(addresses, system)
    for name, effects in addresses.laid_over(system).effects.items():
        if any("{data}" in text for _, text in effects.texts()) and name not in addresses.data:
            yield (
                ("data",),
                f"{name} is missing: its effects are read in {{data}}; write the folder, or effects.{name}",
            )


def _past_links(addresses: Addresses, system: System) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find the replicas that cannot be restarted, so that their clients keep the broker's own addresses."""
    brokers = system.of_kind("kafka") if addresses.taps is not None else ()
    for replica in {replica: None for replica, target in system.links() if target in brokers}:
        commands = addresses.commands.get(replica, Commands())
        if commands.stop is None and commands.kill is None:
            message = (
                f"{replica} cannot be started again, so its clients would go on past their link; write "
                f"commands: {{{replica}: {{stop: …, start: …}}}}, or leave out taps and give each link a listener"
            )
            yield ("commands",), message


def _unknown(field: str, names: Collection[str], known: Collection[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name in names:
        if name not in known:
            yield (
                (*field.split("."), name),
                f"not in the system{nearest(name, known)}; known are {', '.join(sorted(known)) or 'none'}",
            )
