"""The toxics on one Toxiproxy's proxies: added, removed, and put back after a restart."""

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
"""Begins the name of each of the harness's toxics, so that a later run can tell what a killed harness left behind."""


class Toxics:
    """The toxics on one Toxiproxy, and the proxies that are disabled; its API is at ``address``.

    The API can hang on a proxy whose peer does not read. Healing then falls back to ``restart``, which restarts the
    server with every proxy enabled and without toxics, and returns once it answers.
    """

    def __init__(self, address: str, restart: Callable[[], Awaitable[None]]) -> None:
        self._api = ToxiproxyClient(address)
        self._restart = restart
        self._numbers = itertools.count(1)
        self._toxics: dict[str, tuple[str, Mapping[str, object]]] = {}
        self._refusing: list[str] = []
        self._lock: tuple[asyncio.Lock, asyncio.AbstractEventLoop | None] = (asyncio.Lock(), None)

    def _changes(self) -> asyncio.Lock:
        """Return the lock that serializes changes. A lock serves one event loop, and a warm stack may see several."""
        loop = asyncio.get_running_loop()
        if self._lock[1] is not loop:
            self._lock = (asyncio.Lock(), loop)
        return self._lock[0]

    def refuses(self, proxy: str) -> bool:
        """Whether some scope keeps the proxy disabled."""
        return proxy in self._refusing

    async def types(self, proxy: str) -> Collection[str]:
        """Ask the server which toxics are on a proxy, ``down`` if it is disabled.

        Raises FaultError, OSError or TimeoutError.
        """
        status = (await self._api.proxies())[proxy]
        return {toxic["type"] for toxic in status["toxics"]} | (set() if status["enabled"] else {"down"})

    @asynccontextmanager
    async def toxic(self, proxy: str, kind: str, stream: str, attributes: Mapping[str, int]) -> AsyncIterator[None]:
        """Put a toxic on a proxy while the scope lasts."""
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
        """Disable a proxy while the scope lasts; of overlapping scopes the last to end enables it again."""
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
    """Finish healing even if this task is cancelled, then let the cancellation continue."""
    task = asyncio.create_task(healing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
