"""The native stack's parts in containers of their public images, and the services in the system file's images.

Containers share the host's network, so links, proxies, faults and the evidence that they bit need no code of their own.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from harness.clients.probes import Prober
from harness.errors import PlanRefused
from harness.stacks.docker.container import Box, Contained
from harness.stacks.docker.engine import Engine
from harness.stacks.native.kafka import Kafka, listeners
from harness.stacks.native.other import OtherServer
from harness.stacks.native.parts import Java, Parts, Postgres
from harness.stacks.native.postgres import USER
from harness.stacks.native.redis import RedisServer
from harness.stacks.native.service import NativeService, Place
from harness.stacks.native.stack import NativeStack
from harness.stacks.native.toxiproxy import Proxy, Toxiproxy
from harness.stacks.process import Launch, Process

if TYPE_CHECKING:
    from harness.dependency import Dependency
    from harness.system import System

IMAGES = {
    "kafka": "apache/kafka:4.4.0",
    "postgres": "postgres:15",
    "redis": "redis:7-alpine",
    "toxiproxy": "ghcr.io/shopify/toxiproxy:2.12.0",
}
"""Kind of part -> image."""

_JAVA = Java(Path("/opt/java/openjdk/bin/java"), "/opt/kafka/libs/*", None)
_POSTGRES = {"fsync": "on", "max_connections": "400", "autovacuum": "off", "dynamic_shared_memory_type": "mmap"}


class ContainedKafka(Contained, Kafka):
    """The broker in a container."""


class ContainedRedis(Contained, RedisServer):
    """The store in a container."""


class ContainedServer(Contained, OtherServer):
    """A server of any other kind in a container."""


class ContainedToxiproxy(Contained, Toxiproxy):
    """One replica's proxies in a container."""


class ContainedService(Contained, NativeService):
    """One replica of a service in a container."""


class ContainedPostgres(Contained):
    """The database server in a container, with its files in an anonymous volume."""

    def __init__(self, name: str, address: str, config: dict[str, str], launch: Launch) -> None:
        self.address = address
        host, _, port = address.rpartition(":")
        words = ["postgres"]
        for key, value in {**_POSTGRES, **config, "listen_addresses": host, "port": port}.items():
            words += ["-c", f"{key}={value}"]
        env = {
            "POSTGRES_USER": USER,
            "POSTGRES_DB": "postgres",
            "POSTGRES_HOST_AUTH_METHOD": "trust",
            "LANG": "C.UTF-8",
        }
        super().__init__(name, Launch(words, env, launch.cwd, launch.log), Prober(address, "postgres").answers)


def images(system: System) -> list[str]:
    """Return every image that a stack for this system needs."""
    named = {service.image for service in system.services.values()}
    named |= {dependency.image for dependency in system.dependencies.values()}
    return [*_parts(system).values(), *sorted(image for image in named if image is not None)]


def _parts(system: System) -> dict[str, str]:
    """Return kind -> image for everything a system needs besides what it names an image for."""
    kinds = {"toxiproxy", *map(system.kind, system.dependencies)} - {"tcp"}
    return {kind: IMAGES[kind] for kind in sorted(kinds)}


class DockerStack(NativeStack):
    """Implements ``harness.stack.Stack`` with containers; raises PlanRefused if a service has no image."""

    name = "docker"

    @staticmethod
    def _check(system: System) -> None:
        for name, service in system.services.items():
            if service.image is None:
                raise PlanRefused(f"services.{name} has no image; the docker stack needs `image: NAME:VERSION` there")
        for name, dependency in system.dependencies.items():
            if (kind := system.kind(name)) not in {*IMAGES, "tcp"}:
                raise PlanRefused(
                    f"dependencies.{name}: the docker stack starts no {kind}; write kind: tcp, an image, and how to ping it"
                )
            if kind == "tcp" and dependency.image is None:
                raise PlanRefused(
                    f"dependencies.{name} has no image; the docker stack needs `image: NAME:VERSION` there"
                )

    def _require(self) -> Parts:
        self._engine = Engine()
        used = _parts(self._system)
        self._engine.require(images(self._system))
        versions = {
            "docker": self._engine.version,
            **{kind: image.rpartition(":")[2] for kind, image in used.items()},
        }
        return Parts(_JAVA, Path("/toxiproxy"), Path("redis-server"), Postgres(Path(), Path()), versions)

    def _box(self, image: str, *places: Path, run: str = "", trusted: bool = False) -> Box:
        return Box(self._engine, self.workspace.token, image, (self.workspace.folder / "tmp", *places), run, trusted)

    def _make(self, parts: Parts) -> None:
        self._engine.entrust(self.workspace.folder)
        super()._make(parts)

    def _toxiproxy(self, name: str, parts: Parts, proxies: list[Proxy]) -> Toxiproxy:
        toxiproxy = ContainedToxiproxy(name, parts.toxiproxy, self._address(), proxies, self._launch(name))
        toxiproxy.contain(self._box(IMAGES["toxiproxy"], toxiproxy.config))
        return toxiproxy

    def _dependency(self, name: str, parts: Parts, joined: list[tuple[str, str]]) -> Process:
        kind, config = self._system.kind(name), self._system.dependencies[name].config
        folder, address, launch = self.workspace.folder / name, self.direct(name), self._launch(name)
        folder.mkdir()
        if kind == "tcp":
            return self._other(name, self._system.dependencies[name], launch)
        server: ContainedKafka | ContainedPostgres | ContainedRedis
        if kind == "kafka":
            server = ContainedKafka(name, parts.java, folder, listeners(self._address(), address, joined), launch)
        elif kind == "postgres":
            server = ContainedPostgres(name, address, dict(config), launch)
        else:
            server = ContainedRedis(name, parts.redis, address, folder=folder / "files", config=config, launch=launch)
        server.contain(self._box(IMAGES[kind], folder, trusted=kind == "postgres"))
        return server

    def _other(self, name: str, dependency: Dependency, launch: Launch) -> Process:
        folder = self.workspace.folder / name
        other = ContainedServer(
            name,
            dependency,
            self.direct(name),
            folder=folder / "files",
            launch=launch,
            passed_on=(),
            python="python",
        )
        other.contain(self._box(str(dependency.image), folder))
        return other

    def _replica(self, place: Place) -> NativeService:
        service = ContainedService(dataclasses.replace(place, passed_on=(), python="python"))
        service.contain(self._box(str(self._system.services[place.service].image), place.data, run=place.names.run))
        return service

    async def stop_services(self) -> None:
        """End the run's services and remove their containers and data."""
        runs = {service.run for service in self.services.values() if isinstance(service, ContainedService)}
        await super().stop_services()
        for run in runs:
            await asyncio.to_thread(self._engine.remove, self.workspace.token, f"oneffect.run={run}")

    async def stop(self) -> None:
        """End everything this stack started and remove its containers; may be called twice."""
        token = self._workspace.token if self._workspace is not None else None
        try:
            await super().stop()
        finally:
            if token is not None:
                # In case the reaper could not reach the engine.
                await asyncio.to_thread(self._engine.remove, token)
