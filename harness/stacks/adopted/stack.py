"""Implements ``harness.stack.Stack`` for a broker and stores that already run; it starts only the proxies."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.addresses import Addresses, Commands
from harness.clients.brokers import brokers
from harness.clients.probes import prober_of
from harness.errors import FaultError, StackError
from harness.stack import Detour, Link, RunNames, ServiceHandle, Tapping
from harness.stacks import broker_proxy
from harness.stacks.adopted.code import Code
from harness.stacks.broker_proxy import BrokerProxy
from harness.stacks.external.handle import ExternalHandle
from harness.stacks.external.names import FixedNames
from harness.stacks.link import proxy_name
from harness.stacks.native.link import NativeLink
from harness.stacks.native.parts import TOXIPROXY, Java, Parts, Postgres, cache_folder, find_toxiproxy
from harness.stacks.native.stack import NativeStack
from harness.stacks.native.toxiproxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from harness.system import System

ANSWERS_WITHIN: Final = 30.0
"""Seconds to wait for a broker or store to answer: it should already run."""

_AGAIN: Final = 0.05
"""Seconds between looks at the links."""


class AdoptedNames(FixedNames):
    """The names that the test gave; its code starts within the run."""

    @property
    def begins_later(self) -> bool:
        """True: once the code starts, it may read whatever its group has not passed."""
        return True


class AdoptedStack(NativeStack):
    """One Toxiproxy with a proxy for each link of the code under test; ``given`` has the other addresses.

    The harness sees only the code's connections, and can break only its links.
    """

    name = "adopted"

    def __init__(self, system: System, given: Addresses, folder: Path) -> None:
        super().__init__(system, folder)
        self._given = given
        self._brokers: Mapping[int, str] = {}
        self._broker_proxies: dict[str, list[BrokerProxy]] = {}

    @staticmethod
    def _check(system: System) -> None:
        """Accept every system: this stack starts no part of it."""

    def _require(self) -> Parts:
        part = find_toxiproxy(cache_folder())
        if part.path is None:
            raise StackError(f"{part.name}: {part.missing}; run: {part.mend}")
        nowhere = Path()
        return Parts(
            Java(nowhere, "", None), part.path, nowhere, Postgres(nowhere, nowhere), {"toxiproxy": TOXIPROXY}
        )

    def _make(self, parts: Parts) -> None:
        self._addresses = dict(self._given.dependencies)
        pairs = {pair: self._address() for pair in self._system.links()}
        self._upstreams = {f"{code}->{target}": self.direct(target) for code, target in pairs}
        proxies = [Proxy(proxy_name(*pair), at, self.direct(pair[1])) for pair, at in pairs.items()]
        for pair in pairs if len(self._brokers) > 1 else ():
            if pair[1] in self._system.of_kind("kafka"):
                self._broker_proxies["->".join(pair)] = [
                    BrokerProxy(
                        broker_proxy.proxy_name(proxy_name(*pair), number), self._address(), self._address(), broker
                    )
                    for number, broker in self._brokers.items()
                ]
        proxies += [Proxy(one.name, one.address, one.tap) for some in self._broker_proxies.values() for one in some]
        toxiproxy = self._toxiproxy("toxiproxy", parts, proxies)
        self.toxiproxies.append(toxiproxy)
        for pair, at in pairs.items():
            link = NativeLink(*pair, toxiproxy=toxiproxy, address=at, prober=prober_of(self._system, pair[1], at))
            link.lead_also({one.name: one.address for one in self._broker_proxies.get(link.name, [])})
            self.links[link.name] = link

    async def start(self) -> None:
        """Start the proxies; raises StackError if a broker or store does not answer."""
        handles = {}
        for name, address in self._given.dependencies.items():
            prober = prober_of(self._system, name, address)
            handles[name] = ExternalHandle(name, Commands(), prober.probe, _no_command)
            await self._there(handles[name])
        # Clients would follow the addresses that the brokers advertise past their link, so each needs a proxy.
        (broker,) = self._system.of_kind("kafka")
        self._brokers = await brokers(self._given.dependencies[broker])
        await super().start()
        self.dependencies.update(handles)  # type: ignore[arg-type]  # this stack neither starts nor ends them

    async def _there(self, handle: ExternalHandle) -> None:
        try:
            await handle.ready(ANSWERS_WITHIN)
        except StackError as error:
            raise StackError(
                f"{error}, at {self._given.dependencies[handle.name]}; start it first, or correct the address"
            ) from error

    @property
    def rerouted(self) -> Collection[str]:
        """The links to the broker, which has no listeners for them."""
        brokers_ = self._system.of_kind("kafka")
        return [name for name, link in self.links.items() if link.dependency in brokers_]

    def detour(self, link: str) -> Detour:
        """Return where a link's tap belongs; on a link to the broker it leads clients back to the link."""
        if link not in self._detours:
            of = self.links[link]
            proxies = self._broker_proxies.get(link, [])
            self._detours[link] = Detour(
                self._address(),
                self.direct(of.dependency),
                broker_proxy.routes(of.address, self._brokers, proxies) if link in self.rerouted else None,
                {one.tap: one.broker for one in proxies},
            )
        return self._detours[link]

    def names(self, run: str) -> RunNames:
        """Return the test's own names."""
        return AdoptedNames(run, self._given.names)

    async def start_services(self, names: RunNames, folder: Path | str, variant: str | None) -> None:  # noqa: ARG002
        """Begin to count connections: from now on the code under test may start."""
        for link in self.links.values():
            link.begin()
        code = Code(self.links[next(iter(self.rerouted))])
        self.services[code.name] = code  # type: ignore[assignment]  # this stack neither starts nor ends it

    async def unused(self) -> Collection[str]:
        """Return the links on which the code under test has never connected."""
        looks = {name: await link.traffic() for name, link in self.links.items()}
        return [name for name, seen in looks.items() if not seen.connections and not seen.accepted]

    async def used(self, links: Collection[str], within: float) -> None:
        """Wait until the code under test has connected on each of these links, ``within`` seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not set(links).isdisjoint(await self.unused()):
                    await asyncio.sleep(_AGAIN)

    def lacks(self, need: type, on: str | None = None) -> str | None:  # noqa: ARG002 - the same for every target
        """Return why it cannot offer a capability: it breaks links and nothing else."""
        if need in {Link, ServiceHandle, Tapping}:
            return None
        return (
            "the code under test and what it talks to belong to the test, so only links can be broken, and records "
            "published; for an outage of a store take its link down: net.down"
        )


async def _no_command(text: str, what: str) -> None:  # noqa: ARG001 - there is none
    await asyncio.sleep(0)
    raise FaultError(f"{what}: there are no commands here")
