"""Real Kafka, Redis or Valkey, Postgres, Toxiproxy and service processes on loopback, from package registries alone."""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from harness.clients import sql
from harness.clients.probes import prober_of
from harness.errors import PlanRefused, StackError
from harness.stack import Forgetful, Killable, Link, Pausable, RunNames, ServiceHandle, Stoppable
from harness.stacks.native.kafka import Kafka, listeners
from harness.stacks.native.kept import DATA, SERVICES, STORES, copy
from harness.stacks.native.link import NativeLink
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
    from contextlib import AbstractAsyncContextManager

    from harness.stack import Fields
    from harness.system import System

_START = 60.0
"""Seconds until a broker, a store, a proxy or a service that does not answer is given up on."""

_KINDS = ("kafka", "redis", "postgres")
_OFFERS = (Link, ServiceHandle, Killable, Stoppable, Pausable, Forgetful)


class NativeStack:
    """Implements ``harness.stack.Stack`` for one system; ``folder`` is for the logs of brokers, stores and proxies.

    May serve several runs, one after the other. Services start in ``working_directory``, which is the system
    file's folder. PlanRefused if the system needs what this stack has not.
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
        """Give every link its proxy, every broker link its listener, and make the processes."""
        upstreams: dict[tuple[str, str], str] = {}
        proxies: dict[tuple[str, str], str] = {}
        for link in self._system.links():
            proxies[link] = self._address()
            kafka = is_broker(self._system, link[1])
            upstreams[link] = self._address() if kafka else self.direct(upstream(self._system, *link))
        for name in self._system.dependencies:
            joined = [(upstreams[link], proxies[link]) for link in proxies if link[1] == name]
            self.dependencies[name] = self._dependency(name, parts, joined)
        for replica in self._system.replicas():
            if mine := [link for link in proxies if link[0] == replica]:
                wanted = [Proxy(f"{link[0]}->{link[1]}", proxies[link], upstreams[link]) for link in mine]
                toxiproxy = self._toxiproxy(f"toxiproxy-{replica}", parts, wanted)
                self.toxiproxies.append(toxiproxy)
                for link in mine:
                    prober = prober_of(self._system, link[1], proxies[link])
                    made = NativeLink(*link, toxiproxy=toxiproxy, address=proxies[link], prober=prober)
                    self.links[made.name] = made

    @staticmethod
    def _check(system: System) -> None:
        for name, service in system.services.items():
            if service.command is None:
                raise PlanRefused(f"services.{name} is an image without a command; the native stack starts commands")
        for name in system.dependencies:
            if (kind := system.kind(name)) not in _KINDS:
                raise PlanRefused(f"dependencies.{name}: the native stack has {', '.join(_KINDS)}, and no {kind}")

    def _require(self) -> Parts:
        return require()

    def _toxiproxy(self, name: str, parts: Parts, wanted: list[Proxy]) -> Toxiproxy:
        return Toxiproxy(name, parts.toxiproxy, self._address(), wanted, self._launch(name))

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
        return RedisServer(name, parts.redis, address, folder=files, config=config, launch=launch)

    def names(self, run: str) -> RunNames:
        """Of the run alone: the next one on this stack has others."""
        return RunNames(run)

    async def start_services(self, names: RunNames, folder: Path | str, variant: str | None) -> None:
        """Start every service for one run in parallel and wait until each is ready.

        Logs go to ``folder/logs``, data to ``data(service)``, which the reaper removes if nobody else does.
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
        """End the run's services, with SIGKILL, which is quick; their data go too.

        Where data are kept their files are copied first, and databases stay until the stack stops.
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
            with suppress(StackError):  # a server that is down keeps it until the stack ends
                await sql.drop(server, database)

    def data(self, service: str) -> Path:
        """The folder that a service's replicas share in this run; StackError before services were started."""
        if self._files is None:
            raise StackError("no services were started")
        return self._files / service

    async def stop(self) -> None:
        """End everything this stack started and remove its temporary files; may be called twice."""
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
            self._ports.close()

    async def _keep_stores(self) -> None:
        """Ask the stores to leave, so that their files are whole, and copy those."""
        # A broker's files are as large as the room that it takes for them beforehand.
        brokers = {name for name in self.dependencies if self._system.kind(name) == "kafka"}
        self.unkept += [f"{name}: what was read of its topics is in the history" for name in sorted(brokers)]
        stores = {name: one for name, one in self.dependencies.items() if name not in brokers}
        await _down(stores.values(), graceful=True)
        for name in stores:
            await self._keep(f"{STORES}/{name}", self.workspace.folder / name / "files")

    async def _keep(self, name: str, files: Path) -> None:
        if self.keeps and self._left is not None:
            problem = await asyncio.to_thread(copy, files, self._left / name)
            self.unkept += [f"{name}: {problem}"] if problem else []

    def direct(self, name: str) -> str:
        """host:port of a dependency, a replica, or a service's first replica, that no fault touches."""
        known = self._addresses
        if name not in known and f"{name}#1" not in known:
            raise StackError(
                f"the stack has no {name!r}; it has {', '.join(sorted(known)) or 'nothing: start it first'}"
            )
        return known.get(name) or known[f"{name}#1"]

    def turn(self, name: str) -> AbstractAsyncContextManager[object]:
        """Held by the one who may stop and start a replica or a dependency."""
        # A lock serves one event loop only, and a warm stack may see several.
        locks = self._turns.setdefault(asyncio.get_running_loop(), defaultdict(asyncio.Lock))
        return locks[name]

    def lacks(self, need: type, on: str | None = None) -> str | None:  # noqa: ARG002 - it can do all to each
        """Why this stack cannot offer a capability, or None."""
        if need in _OFFERS:
            return None
        return f"it offers {', '.join(offer.__name__ for offer in _OFFERS)}, and no {need.__name__}"

    def versions(self) -> Fields:
        """Versions of the parts."""
        return dict(self._parts.versions) if self._parts is not None else {}

    def pids(self) -> Mapping[str, int]:
        """Ids of the processes that live now, by name."""
        every = [*self.dependencies.values(), *self.toxiproxies, *self.services.values()]
        return {process.name: pid for process in every if (pid := process.pid) is not None}

    @property
    def workspace(self) -> Workspace:
        if self._workspace is None:
            raise StackError("the stack does not run; start it first")
        return self._workspace

    def _address(self) -> str:
        return f"127.0.0.1:{self._ports.take()}"

    def _launch(self, name: str) -> Launch:
        """Where a part of the stack runs and logs; its command is its own."""
        workspace = self.workspace
        env = {
            VARIABLE: workspace.token,
            "TMPDIR": str(workspace.folder / "tmp"),
            "LANG": "C.UTF-8",
            "LOG_LEVEL": "info",
        }
        return Launch((), env, workspace.folder, self._logs / f"{name.replace('#', '-')}.log")


async def _up(processes: Iterable[Process]) -> None:
    """Start all, then wait for all; the first that fails is the error."""

    async def one(process: Process) -> None:
        await process.start()
        await process.ready(_START)

    try:
        async with asyncio.TaskGroup() as tasks:
            for process in processes:
                tasks.create_task(one(process))
    except* StackError as group:
        raise group.exceptions[0] from None


async def _down(processes: Iterable[Process], *, graceful: bool) -> None:
    living = [process for process in processes if process.pid is not None]
    await asyncio.gather(*(process.stop() if graceful else process.kill() for process in living))
