"""What is on the proxies of one Toxiproxy now: put on, taken off, and put back after a restart."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from harness.clients.toxiproxy import ToxiproxyClient
from harness.errors import OneffectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping

PREFIX: Final = "oneffect-"
"""Names of the harness's toxics begin so: what a harness that was killed left on a proxy is known by it."""


class Toxics:
    """The toxics and switches of one Toxiproxy, whose API is at ``address``.

    The API can hang on a proxy whose peer does not read. Taking a toxic off then falls back to ``restart``, which
    starts the server anew, with every proxy on and clear, and returns once it answers.
    """

    def __init__(self, address: str, restart: Callable[[], Awaitable[None]]) -> None:
        self._api = ToxiproxyClient(address)
        self._restart = restart
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

    def refuses(self, proxy: str) -> bool:
        """Whether a scope keeps a proxy off now."""
        return proxy in self._refusing

    async def types(self, proxy: str) -> Collection[str]:
        """What the server itself says is on a proxy, ``down`` if it is off; FaultError, OSError or TimeoutError."""
        told = (await self._api.proxies())[proxy]
        return {toxic["type"] for toxic in told["toxics"]} | (set() if told["enabled"] else {"down"})

    @asynccontextmanager
    async def toxic(self, proxy: str, kind: str, stream: str, attributes: Mapping[str, int]) -> AsyncIterator[None]:
        """A toxic on a proxy while the scope lasts."""
        name = f"{PREFIX}{kind}-{stream}-{next(self._numbers)}"
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
                await self._anew()

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
                await self._anew()

    async def _anew(self) -> None:
        refusing, self._refusing = self._refusing, []
        await self._restart()
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
