"""Implements ``harness.stack.Stack`` for a stack that already runs; the harness neither starts nor ends any of it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import defaultdict
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.addresses import Commands, load_addresses
from harness.clients.brokers import brokers
from harness.clients.commands import execute
from harness.clients.probes import prober_of, readiness
from harness.clients.toxiproxy import ToxiproxyClient
from harness.errors import FaultError, PlanRefused, StackError
from harness.redaction import Redaction
from harness.stack import Detour, Fields, Link, Probe, RunNames, ServiceHandle, Tapping
from harness.stacks.broker_proxy import BrokerProxy, left_behind, proxy_name, routes
from harness.stacks.external.handle import NEEDS, ExternalHandle
from harness.stacks.external.led import Led
from harness.stacks.external.link import ExternalLink
from harness.stacks.external.names import FixedNames
from harness.stacks.native.ports import Ports
from harness.stacks.toxics import PREFIX, Toxics
from harness.wiring import upstream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from contextlib import AbstractAsyncContextManager

    from harness.system import System

ANSWERS_WITHIN = 10.0
"""Seconds to wait for a part to answer: it should already run."""

ATTEMPTS = 20
"""Ports to try for a proxy at a Toxiproxy that may be on another machine."""

STARTS_WITHIN = 60.0
"""Seconds to wait for a service that may have been started again."""


class ExternalStack:
    """The stack that an addresses file describes. A lock on that file admits one run at a time.

    Raises FileError if the file does not fit the system.
    """

    name = "external"

    def __init__(self, system: System, addresses: Path) -> None:
        self._path = addresses
        self._given = load_addresses(addresses, system)
        self._system = system = self._given.laid_over(system)
        self._lock = -1
        self._versions: dict[str, str] = {}
        self._ports = Ports()
        self._led = Led(addresses)
        self._upstreams: dict[str, str] = {}
        """Where each link's proxy leads without a tap."""
        self._detours: dict[str, Detour] = {}
        self._brokers: dict[str, Mapping[int, str]] = {}
        self._broker_proxies: dict[str, list[BrokerProxy]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        texts = [text for commands in self._given.commands.values() for text in commands.texts()]
        self._hide = Redaction(system, os.environ, texts).text
        self.links = self._make_links()
        self.dependencies = {
            name: self._handle(name, prober_of(system, name, self.direct(name)).probe) for name in system.dependencies
        }
        self.services = {
            replica: self._handle(
                replica,
                partial(readiness, self.direct(replica), self._path_of(replica)),
            )
            for replica in system.replicas()
        }

    def _path_of(self, replica: str) -> str:
        service = replica.partition("#")[0]
        if path := self._system.services[service].path:
            return path
        raise PlanRefused(
            f"services.{service}.ready: what it prints is not seen on a stack that runs already; write a path, such as /readyz"
        )

    def _handle(self, name: str, look: Callable[[float], Awaitable[Probe]]) -> ExternalHandle:
        run = partial(execute, cwd=self._path.absolute().parent, hide=self._hide)
        return ExternalHandle(name, self._given.commands.get(name, Commands()), look, run)

    def _make_links(self) -> dict[str, ExternalLink]:
        toxics: dict[str, Toxics] = {}
        links = {}
        for service, target in self._system.links():
            name = f"{service}->{target}"
            given, api = self._given.links[name], self._given.api(name)
            if api not in toxics:
                toxics[api] = Toxics(api, partial(self._clear, api, anew=True))
            links[name] = ExternalLink(
                service,
                target,
                toxics=toxics[api],
                proxy=given.proxy or name,
                address=given.listen,
                api=api,
                prober=prober_of(self._system, target, given.listen),
            )
        return links

    async def start(self) -> None:
        """Check that every part answers, and remove the toxics that a killed harness left on the proxies.

        Raises StackError for the first part that does not answer, or if another run has this stack.
        """
        self._take()
        try:
            await asyncio.gather(
                *(self._clear(api, anew=False) for api in {link.api for link in self.links.values()})
            )
            await asyncio.gather(
                *(self._there(f"dependencies.{name}", handle) for name, handle in self.dependencies.items()),
                *(self._there(f"services.{name}", handle) for name, handle in self.services.items()),
            )
            for link in self.rerouted:
                await self._open(self.links[link])
        except BaseException:
            await self.stop()
            raise

    async def _open(self, link: ExternalLink) -> None:
        """Read the addresses that the brokers advertise; in a cluster, create a proxy to each broker on this link."""
        if link.dependency not in self._brokers:
            self._brokers[link.dependency] = await brokers(self.direct(link.dependency))
        found = self._brokers[link.dependency]
        if len(found) == 1:
            return
        host = link.address.rpartition(":")[0]
        try:
            for number, broker in found.items():
                tap = f"{self._given.taps}:{self._ports.take()}"
                name, port = proxy_name(link.proxy, number), await self._create(link, number, tap)
                self._broker_proxies.setdefault(link.name, []).append(
                    BrokerProxy(name, f"{host}:{port}", tap, broker)
                )
        except (OSError, EOFError, ValueError, FaultError) as error:
            raise StackError(
                f"links.{link.name}: the Toxiproxy at {link.api} makes no proxy for each broker: {error}"
            ) from error
        link.lead_also({one.name: one.address for one in self._broker_proxies[link.name]})

    async def _create(self, link: ExternalLink, broker: int, tap: str) -> int:
        """Create a broker's proxy beside a link's own, on the same interface; return its port."""
        client = ToxiproxyClient(link.api)
        host = str((await client.proxies())[link.proxy]["listen"]).rpartition(":")[0]
        for attempt in range(1, ATTEMPTS + 1):
            port = self._ports.take()
            try:
                await client.create(proxy_name(link.proxy, broker), f"{host}:{port}", tap)
                break
            except FaultError:
                # What is free on this machine may be taken on Toxiproxy's.
                if attempt == ATTEMPTS:
                    raise
        return port

    async def _close(self) -> None:
        """Delete the proxies that ``_open`` created."""
        for name, proxies in self._broker_proxies.items():
            link = self.links[name]
            link.lead_also({})
            # If Toxiproxy has gone, so have they; if it hangs, the next run deletes them.
            with suppress(OSError, EOFError, ValueError, FaultError):
                for one in proxies:
                    await ToxiproxyClient(link.api).delete(one.name)
        self._broker_proxies.clear()

    def _take(self) -> None:
        self._lock = os.open(self._path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = -1
            raise StackError(f"another run is using the stack of {self._path}; wait until it ends") from None

    async def _there(self, field: str, handle: ExternalHandle) -> None:
        try:
            await handle.ready(ANSWERS_WITHIN)
        except StackError as error:
            raise StackError(f"{error}; start it, or fix {field} in {self._path}") from error

    async def _clear(self, api: str, *, anew: bool) -> None:
        """Enable this stack's proxies at ``api`` and remove the harness's toxics; ``anew`` also closes connections."""
        client = ToxiproxyClient(api)
        try:
            proxies = await client.proxies()
            self._versions["toxiproxy"] = await client.version()
            for link in self.links.values():
                if link.api != api:
                    continue
                if link.proxy not in proxies:
                    raise StackError(
                        f"links.{link.name}: the Toxiproxy at {api} has no proxy {link.proxy!r}; fix {self._path}"
                    )
                link.listens(str(proxies[link.proxy]["listen"]))
                if not anew:
                    for left in left_behind(link.proxy, proxies):
                        await client.delete(left)
                    await self._lead_back(client, link, str(proxies[link.proxy]["upstream"]))
                for proxy in link.proxies:
                    await self._clear_one(client, link, proxy, proxies[proxy], anew=anew)
        except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, FaultError) as error:
            raise StackError(
                f"Toxiproxy at {api} does not answer: {error or type(error).__name__}; start it, or fix {self._path}"
            ) from error

    async def _lead_back(self, client: ToxiproxyClient, link: ExternalLink, leads: str) -> None:
        """Restore the upstream of a proxy that a killed harness left on its tap, and remember that upstream."""
        key = f"{link.api} {link.proxy}"
        self._upstreams[link.name] = self._led.before().get(key, leads)
        if self._upstreams[link.name] != leads:
            await client.lead(link.proxy, self._upstreams[link.name])
        self._led.over(key)

    @property
    def rerouted(self) -> Collection[str]:
        """The links to brokers, if the addresses file has ``taps``."""
        targets = set(self._system.of_kind("kafka")) if self._given.taps is not None else set()
        return [name for name, link in self.links.items() if link.dependency in targets]

    def detour(self, link: str) -> Detour:
        """Return where a link's tap listens, and its upstream: the address that the harness itself uses."""
        if link not in self._detours:
            of = self.links[link]
            known, proxies = self._brokers.get(of.dependency), self._broker_proxies.get(link, [])
            self._detours[link] = Detour(
                f"{self._given.taps}:{self._ports.take()}",
                self.direct(upstream(self._system, of.service, of.dependency)),
                None if known is None else routes(of.address, known, proxies),
                {one.tap: one.broker for one in proxies},
            )
        return self._detours[link]

    async def lead(self, link: str, to: str | None) -> None:
        """Point a link's proxy at ``to`` (host:port), or at its original upstream; its connections end."""
        of = self.links[link]
        client, key = ToxiproxyClient(of.api), f"{of.api} {of.proxy}"
        if to is not None:
            self._led.keep(key, self._upstreams[link])
        await client.lead(of.proxy, to or self._upstreams[link])
        if to is None:
            self._led.over(key)

    @staticmethod
    async def _clear_one(
        client: ToxiproxyClient, link: ExternalLink, proxy: str, now: Mapping[str, Any], *, anew: bool
    ) -> None:
        if anew:
            await client.enable(proxy, enabled=False)
        for name in [str(toxic["name"]) for toxic in now["toxics"]]:
            if name.startswith(PREFIX):
                await client.remove(proxy, name)
            elif not anew:
                raise StackError(
                    f"links.{link.name}: its proxy already has a toxic, {name!r}; remove it, and run again"
                )
        if anew or not now["enabled"]:
            await client.enable(proxy, enabled=True)

    async def stop(self) -> None:
        """Delete what it made in Toxiproxy, and release the lock; everything else keeps running."""
        await self._close()
        self._ports.close()
        self._detours.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def names(self, run: str) -> RunNames:
        """Return the system's own topics, groups and databases, the same for every run."""
        return FixedNames(run, self._given.names)

    async def start_services(self, names: RunNames, folder: Path, variant: str | None) -> None:  # noqa: ARG002 - they run
        """Wait until every service answers; the plan has refused any variant.

        Services with links that need a tap restart first: the broker addresses that they know lead past it.
        """
        anew = sorted({self.links[link].service for link in self.rerouted})
        try:
            await asyncio.gather(*(self.services[replica].restart() for replica in anew))
        except FaultError as error:
            raise StackError(f"{error}; its clients would go on past their links") from error
        await asyncio.gather(*(handle.ready(STARTS_WITHIN) for handle in self.services.values()))

    async def stop_services(self) -> None:
        """Do nothing: the services keep running."""

    def data(self, service: str) -> Path:
        """Return the folder that ``data:`` names for a service; raises StackError if it names none."""
        if service not in self._given.data:
            raise StackError(f"data.{service}: {self._path} names no folder")
        return Path(self._given.data[service])

    def turn(self, name: str) -> AbstractAsyncContextManager[object]:
        """Return the lock to hold while stopping or starting a replica or a dependency."""
        return self._turns[name]

    def direct(self, name: str) -> str:
        """Return a host:port, bypassing the proxies, of a dependency, a replica or a service's first replica."""
        if name in self._given.dependencies:
            return self._given.dependencies[name]
        return self._given.service(name if "#" in name else f"{name}#1")

    def lacks(self, need: type, on: str | None = None) -> str | None:
        """Return which command a target lacks for a capability; without a target, whether commands could offer it."""
        if need in {Link, ServiceHandle}:
            return None
        if need is Tapping:
            return (
                None
                if self._given.taps is not None
                else f"there is no place for taps; write taps: HOST in {self._path}"
            )
        if need not in NEEDS:
            return f"it offers what links and commands can do, and no {need.__name__}"
        handles = {**self.services, **self.dependencies}
        for name, handle in handles.items():
            if on in {name, name.partition("#")[0]} and (missing := handle.lacks(need)):
                return f"there is no command for it; write commands: {{{name}: {{{missing}: …}}}} in {self._path}"
        return None

    def versions(self) -> Fields:
        """Return the versions in the addresses file, and Toxiproxy's own answer."""
        return {**self._versions, **self._given.versions}
