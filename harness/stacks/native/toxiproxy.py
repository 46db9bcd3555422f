"""One Toxiproxy process, for the links of one replica."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from harness.clients.toxiproxy import ToxiproxyClient
from harness.errors import OneffectError
from harness.stacks.native.process import Launch, Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
    from pathlib import Path

_START = 10.0
"""Seconds that a restart may take."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy: ``listen`` and ``upstream`` are host:port."""

    name: str
    listen: str
    upstream: str


class Toxiproxy(Process):
    """A Toxiproxy with fixed proxies; knows what is on them now, so that a restart can put it back.

    Its API can hang on a proxy whose peer does not read. Taking a toxic off then falls back to a restart of this
    process, which closes every connection of the replica's links and of no other's.
    """

    def __init__(self, name: str, binary: Path, address: str, proxies: Sequence[Proxy], launch: Launch) -> None:
        config = launch.cwd / f"{name.replace('#', '-')}.json"
        config.write_bytes(
            orjson.dumps([{"name": p.name, "listen": p.listen, "upstream": p.upstream} for p in proxies])
        )
        host, _, port = address.rpartition(":")
        command = [str(binary), "-host", host, "-port", port, "-config", str(config)]
        super().__init__(name, Launch(command, launch.env, launch.cwd, launch.log), self._listening)
        self._api = ToxiproxyClient(address)
        self._proxies = {proxy.name for proxy in proxies}
        self._accepted: defaultdict[str, list[int]] = defaultdict(list)
        self._log_read = 0
        self._numbers = itertools.count(1)
        self._toxics: dict[str, tuple[str, Mapping[str, object]]] = {}
        self._refusing: list[str] = []
        self._lock: tuple[asyncio.Lock, asyncio.AbstractEventLoop | None] = (asyncio.Lock(), None)

    def _changes(self) -> asyncio.Lock:
        """One change at a time; a lock serves one event loop only, and a warm stack may see several."""
        loop = asyncio.get_running_loop()
        if self._lock[1] is not loop:
            self._lock = (asyncio.Lock(), loop)
        return self._lock[0]

    def accepted(self, proxy: str) -> list[int]:
        """Client ports of the connections that a proxy accepted since it was last asked, as its log says."""
        with self._launch.log.open("rb") as log:
            log.seek(self._log_read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._log_read += len(line)
                if b'"Accepted client"' in line:
                    words = orjson.loads(line)
                    self._accepted[words["name"]].append(int(words["client"].rpartition(":")[2]))
        return self._accepted.pop(proxy, [])

    async def _listening(self, timeout: float) -> bool:
        async with asyncio.timeout(timeout):
            found = await self._api.proxies()
        return all(name in found and (found[name]["enabled"] or name in self._refusing) for name in self._proxies)

    @asynccontextmanager
    async def toxic(self, proxy: str, kind: str, stream: str, attributes: Mapping[str, int]) -> AsyncIterator[None]:
        """A toxic on a proxy while the scope lasts."""
        name = f"{kind}-{stream}-{next(self._numbers)}"
        toxic = {"name": name, "type": kind, "stream": stream, "toxicity": 1.0, "attributes": dict(attributes)}
        try:
            async with self._changes():
                self._toxics[name] = (proxy, toxic)
                await self._api.add(proxy, toxic)
            yield
        finally:
            await _whatever_happens(self._remove(proxy, name))

    async def _remove(self, proxy: str, name: str) -> None:
        async with self._changes():
            self._toxics.pop(name, None)
            try:
                await self._api.remove(proxy, name)
            except (OSError, EOFError, ValueError, TimeoutError, OneffectError):
                await self._restart()

    @asynccontextmanager
    async def refusing(self, proxy: str) -> AsyncIterator[None]:
        """A proxy is off while the scope lasts; of scopes that overlap the last one puts it back on."""
        try:
            async with self._changes():
                self._refusing.append(proxy)
                await self._api.enable(proxy, enabled=False)
            yield
        finally:
            await _whatever_happens(self._restore(proxy))

    async def _restore(self, proxy: str) -> None:
        async with self._changes():
            if proxy in self._refusing:
                self._refusing.remove(proxy)
            if proxy in self._refusing:
                return
            try:
                await self._api.enable(proxy, enabled=True)
            except (OSError, EOFError, ValueError, TimeoutError, OneffectError):
                await self._restart()

    async def _restart(self) -> None:
        await self.kill()
        await self.start()
        refusing, self._refusing = self._refusing, []
        await self.ready(_START)
        self._refusing = refusing
        for proxy in set(refusing):
            await self._api.enable(proxy, enabled=False)
        for proxy, toxic in self._toxics.values():
            await self._api.add(proxy, toxic)


async def _whatever_happens(healing: Coroutine[object, object, None]) -> None:
    """Finish healing also when this task is being cancelled, then let the cancellation go on."""
    task = asyncio.create_task(healing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
