"""Kafka, Redis or Valkey, Postgres, Toxiproxy and the services as local processes, all from package registries."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections import defaultdict
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from harness.clients import sql
from harness.clients.probes import prober_of
from harness.errors import PlanRefused, StackError
from harness.stack import (
    Detour,
    Fields,
    Forgetful,
    Killable,
    Link,
    Pausable,
    RunNames,
    ServiceHandle,
    Stoppable,
    Tapping,
)
from harness.stacks.link import proxy_name
from harness.stacks.native.kafka import Kafka, listeners
from harness.stacks.native.kept import DATA, SERVICES, STORES, copy
from harness.stacks.native.link import NativeLink
from harness.stacks.native.other import OtherServer
from harness.stacks.native.parts import Parts, require
from harness.stacks.native.ports import Ports
from harness.stacks.native.postgres import USER, PostgresServer
from harness.stacks.native.redis import RedisServer
from harness.stacks.native.service import NativeService, Place
from harness.stacks.native.toxiproxy import Proxy, Toxiproxy
from harness.stacks.process import Launch, Process
from harness.stacks.reaper import VARIABLE
from harness.stacks.workspace import Workspace
from harness.wiring import is_broker, upstream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.system import System

_START = 60.0
"""Seconds to wait for a broker, a store, a proxy or a service to answer."""

_KINDS = ("kafka", "redis", "postgres", "tcp")
_OFFERS = (Link, ServiceHandle, Killable, Stoppable, Pausable, Forgetful, Tapping)


class NativeStack:
    """Implements ``harness.stack.Stack`` for one system; brokers, stores and proxies log to ``folder``.

    It may serve several runs, one after the other. Services start in ``working_directory``, the system file's folder.
    Raises PlanRefused if the system needs something that this stack does not have.
    """

    name = "native"

    def __init__(self, system: System, folder: Path, working_directory: Path | None = None) -> None:
        self._check(system)
        self._system = system
        self._logs = folder.absolute()
        self._cwd = (working_directory or Path.cwd()).absolute()
        self._ports = Ports()
        self._workspace: Workspace | None = None
        self._files: Path | None = None
        self._left: Path | None = None
        self.keeps = False
        self.unkept: list[str] = []
        self._databases: list[tuple[str, str]] = []
        self._parts: Parts | None = None
        self._addresses: dict[str, str] = {}
        self.toxiproxies: list[Toxiproxy] = []
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, defaultdict[str, asyncio.Lock]] = (
            WeakKeyDictionary()
        )
        self.services: dict[str, NativeService] = {}
        self.dependencies: dict[str, Process] = {}
        self.links: dict[str, NativeLink] = {}
        self._detours: dict[str, Detour] = {}
        self._upstreams: dict[str, str] = {}

    async def start(self) -> None:
        """Start brokers, stores and proxies in parallel, and wait until each answers."""
        self._parts = await asyncio.to_thread(self._require)
        self._workspace = await asyncio.to_thread(Workspace)
        try:
            (self._workspace.folder / "tmp").mkdir(mode=0o700)
            self._logs.mkdir(parents=True, exist_ok=True)
            self._addresses = {
                name: self._address() for name in [*self._system.dependencies, *self._system.replicas()]
            }
            self._make(self._parts)
            await _up([*self.dependencies.values(), *self.toxiproxies])
        except BaseException:
            await self.stop()
            raise

    def _make(self, parts: Parts) -> None:
        """Create the processes, with a proxy for each link and a listener for each link to a broker."""
        upstreams: dict[tuple[str, str], str] = {}
        proxies: dict[tuple[str, str], str] = {}
        for pair in self._system.links():
            proxies[pair] = self._address()
            kafka = is_broker(self._system, pair[1])
            upstreams[pair] = self._address() if kafka else self.direct(upstream(self._system, *pair))
        self._upstreams = {f"{replica}->{target}": to for (replica, target), to in upstreams.items()}
        for name in self._system.dependencies:
            joined = [(upstreams[pair], proxies[pair]) for pair in proxies if pair[1] == name]
            self.dependencies[name] = self._dependency(name, parts, joined)
        for replica in self._system.replicas():
            if pairs := [pair for pair in proxies if pair[0] == replica]:
                configured = [Proxy(proxy_name(*pair), proxies[pair], upstreams[pair]) for pair in pairs]
                toxiproxy = self._toxiproxy(f"toxiproxy-{replica}", parts, configured)
                self.toxiproxies.append(toxiproxy)
                for pair in pairs:
                    prober = prober_of(self._system, pair[1], proxies[pair])
                    link = NativeLink(*pair, toxiproxy=toxiproxy, address=proxies[pair], prober=prober)
                    self.links[link.name] = link

    @staticmethod
    def _check(system: System) -> None:
        for name, service in system.services.items():
            if service.command is None:
                raise PlanRefused(f"services.{name} is an image without a command; the native stack starts commands")
        for name, dependency in system.dependencies.items():
            if (kind := system.kind(name)) not in _KINDS:
                raise PlanRefused(
                    f"dependencies.{name}: the native stack starts {', '.join(_KINDS[:-1])}, and no {kind}; write kind: tcp, "
                    "a command that starts it, and how to ping it"
                )
            if kind == "tcp" and dependency.command is None:
                raise PlanRefused(f"dependencies.{name} has no command; the native stack starts commands")

    def _require(self) -> Parts:
        return require()

    def _toxiproxy(self, name: str, parts: Parts, proxies: list[Proxy]) -> Toxiproxy:
        return Toxiproxy(name, parts.toxiproxy, self._address(), proxies, self._launch(name))

    def _replica(self, place: Place) -> NativeService:
        return NativeService(place)

    def _dependency(self, name: str, parts: Parts, joined: list[tuple[str, str]]) -> Process:
        kind, config = self._system.kind(name), self._system.dependencies[name].config
        folder, address, launch = self.workspace.folder / name, self.direct(name), self._launch(name)
        folder.mkdir()
        files = folder / "files"
        if kind == "kafka":
            return Kafka(name, parts.java, folder, listeners(self._address(), address, joined), launch)
        if kind == "postgres":
            return PostgresServer(name, parts.postgres, address, folder=files, config=config, launch=launch)
        if kind == "tcp":
            launch = dataclasses.replace(launch, cwd=self._cwd)
            return OtherServer(name, self._system.dependencies[name], address, folder=files, launch=launch)
        return RedisServer(name, parts.redis, address, folder=files, config=config, launch=launch)

    def names(self, run: str) -> RunNames:
        """Return names of this run's own: the next run on this stack gets others."""
        return RunNames(run)

    async def start_services(self, names: RunNames, folder: Path | str, variant: str | None) -> None:
        """Start every service for one run in parallel, and wait until each is ready.

        Logs go to ``folder/logs``, data to ``data(service)``, which lies where the reaper removes it at the latest.
        """
        (self.workspace.folder / "data").mkdir(mode=0o700, exist_ok=True)
        self._files = self.workspace.folder / "data" / names.run
        self._databases = [
            (f"postgresql://{USER}@{self.direct(server)}/postgres", names.database(service))
            for service in self._system.services
            for server in self._system.servers(service)
        ]
        for server, database in self._databases:
            await sql.create(server, database)
        for link in self.links.values():
            link.begin()
        env = {VARIABLE: self.workspace.token, "TMPDIR": str(self.workspace.folder / "tmp")}
        run_folder = await asyncio.to_thread(Path(folder).absolute)
        self._left = run_folder / DATA
        for replica in self._system.replicas():
            addresses = {link.dependency: link.address for link in self.links.values() if link.service == replica}
            self.services[replica] = self._replica(
                Place(
                    system=self._system,
                    replica=replica,
                    address=self.direct(replica),
                    addresses=addresses,
                    names=names,
                    folder=run_folder,
                    files=self._files,
                    variant=variant,
                    env=env,
                    cwd=self._cwd,
                )
            )
        try:
            await _up(self.services.values())
        except BaseException:
            await self.stop_services()
            raise

    async def stop_services(self) -> None:
        """Kill the run's services (SIGKILL is quick) and remove their data.

        If the stack ``keeps`` data, it copies their files first, and databases stay until the stack stops.
        """
        services = list(self.services.values())
        self.services.clear()
        await _down(services, graceful=False)
        if self._files is not None:
            if services:
                await self._keep(SERVICES, self._files)
            await asyncio.to_thread(shutil.rmtree, self._files, ignore_errors=True)
        databases, self._databases = self._databases, []
        if self.keeps:
            return
        for server, database in databases:
            with suppress(StackError):  # if the server is down, the database stays until the stack stops
                await sql.drop(server, database)

    def data(self, service: str) -> Path:
        """Return the folder that a service's replicas share in this run; raises StackError before services start."""
        if self._files is None:
            raise StackError("no services were started")
        return self._files / service

    async def stop(self) -> None:
        """End everything that this stack started and remove its temporary files; may be called twice."""
        try:
            await self.stop_services()
            if self.keeps:
                await self._keep_stores()
            await _down([*self.toxiproxies, *self.dependencies.values()], graceful=False)
        finally:
            workspace, self._workspace = self._workspace, None
            if workspace is not None:
                await asyncio.to_thread(workspace.close)
            self.toxiproxies.clear()
            self.dependencies.clear()
            self.links.clear()
            self._detours.clear()
            self._ports.close()

    async def _keep_stores(self) -> None:
        """Stop the stores gracefully, so that their files are consistent, and copy the files."""
        # Not a broker's: it preallocates its files, so a copy would be far larger than the records in it.
        brokers = {name for name in self.dependencies if self._system.kind(name) == "kafka"}
        self.unkept += [f"{name}: the history holds what was read from its topics" for name in sorted(brokers)]
        stores = {name: store for name, store in self.dependencies.items() if name not in brokers}
        await _down(stores.values(), graceful=True)
        for name in stores:
            await self._keep(f"{STORES}/{name}", self.workspace.folder / name / "files")

    async def _keep(self, name: str, files: Path) -> None:
        if self.keeps and self._left is not None:
            problem = await asyncio.to_thread(copy, files, self._left / name)
            self.unkept += [f"{name}: {problem}"] if problem else []

    def direct(self, name: str) -> str:
        """Return a host:port, bypassing the proxies, of a dependency, a replica or a service's first replica."""
        addresses = self._addresses
        if name not in addresses and f"{name}#1" not in addresses:
            raise StackError(
                f"the stack has no {name!r}; it has {', '.join(sorted(addresses)) or 'nothing: start it first'}"
            )
        return addresses.get(name) or addresses[f"{name}#1"]

    def detour(self, link: str) -> Detour:
        """Return where a link's tap listens, and its upstream; the port is the same in every run."""
        if link not in self._detours:
            self._detours[link] = Detour(self._address(), self._upstreams[link])
        return self._detours[link]

    async def lead(self, link: str, to: str | None) -> None:
        """Point a link's proxy at ``to`` (host:port), or at its original upstream; its connections end."""
        await self.links[link].lead(to or self._upstreams[link])

    def turn(self, name: str) -> AbstractAsyncContextManager[object]:
        """Return the lock to hold while stopping or starting a replica or a dependency."""
        # A lock serves one event loop only, and a warm stack may see several.
        locks = self._turns.setdefault(asyncio.get_running_loop(), defaultdict(asyncio.Lock))
        return locks[name]

    def lacks(self, need: type, on: str | None = None) -> str | None:  # noqa: ARG002 - the same for every target
        """Return why this stack cannot offer a capability, or None."""
        if need in _OFFERS:
            return None
        return f"it offers {', '.join(offer.__name__ for offer in _OFFERS)}, and no {need.__name__}"

    def versions(self) -> Fields:
        """Return the versions of the parts."""
        return dict(self._parts.versions) if self._parts is not None else {}

    def pids(self) -> Mapping[str, int]:
        """Return the ids of the running processes, by name."""
        processes = [*self.dependencies.values(), *self.toxiproxies, *self.services.values()]
        return {process.name: pid for process in processes if (pid := process.pid) is not None}

    @property
    def workspace(self) -> Workspace:
        if self._workspace is None:
            raise StackError("the stack is not running; start it first")
        return self._workspace

    def _address(self) -> str:
        return f"127.0.0.1:{self._ports.take()}"

    def _launch(self, name: str) -> Launch:
        """Return how to start a part of the stack, without its command."""
        workspace = self.workspace
        env = {
            VARIABLE: workspace.token,
            "TMPDIR": str(workspace.folder / "tmp"),
            "LANG": "C.UTF-8",
            "LOG_LEVEL": "info",
        }
        return Launch((), env, workspace.folder, self._logs / f"{name.replace('#', '-')}.log")


async def _up(processes: Iterable[Process]) -> None:
    """Start all in parallel and wait until each is ready; raises the first failure."""

    async def up(process: Process) -> None:
        await process.start()
        await process.ready(_START)

    try:
        async with asyncio.TaskGroup() as tasks:
            for process in processes:
                tasks.create_task(up(process))
    except* StackError as group:
        raise group.exceptions[0] from None


async def _down(processes: Iterable[Process], *, graceful: bool) -> None:
    running = [process for process in processes if process.pid is not None]
    await asyncio.gather(*(process.stop() if graceful else process.kill() for process in running))
