"""One Toxiproxy process for the links of one replica."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from harness.clients.toxiproxy import ToxiproxyClient
from harness.stacks.process import Launch, Process
from harness.stacks.toxics import Toxics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_START = 60.0
"""Seconds that a restart may take; generous for a busy machine."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy; ``listen`` and ``upstream`` are host:port."""

    name: str
    listen: str
    upstream: str


class Toxiproxy(Process):
    """A Toxiproxy with a fixed set of proxies, and their ``toxics``.

    Each replica has its own, so that a restart closes no other replica's connections.
    """

    def __init__(self, name: str, binary: Path, address: str, proxies: Sequence[Proxy], launch: Launch) -> None:
        self.config = launch.cwd / f"{name.replace('#', '-')}.json"
        """The file that defines its proxies."""
        self._proxies = {proxy.name: proxy for proxy in proxies}
        self._configure()
        host, _, port = address.rpartition(":")
        command = [str(binary), "-host", host, "-port", port, "-config", str(self.config)]
        super().__init__(name, launch.of(command), self._listening)
        self.address = address
        """host:port of its API."""
        self.toxics = Toxics(address, self._restart)
        self._api = ToxiproxyClient(address)
        self._accepted: defaultdict[str, list[int]] = defaultdict(list)
        self._log_read = 0

    def accepted(self, proxy: str) -> list[int]:
        """Return, from the log, the client ports of the connections that a proxy accepted since the last call."""
        with self._launch.log.open("rb") as log:
            log.seek(self._log_read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._log_read += len(line)
                if b'"Accepted client"' in line:
                    entry = orjson.loads(line)
                    self._accepted[entry["name"]].append(int(entry["client"].rpartition(":")[2]))
        return self._accepted.pop(proxy, [])

    async def lead(self, proxy: str, upstream: str) -> None:
        """Point a proxy at ``upstream`` (host:port), also after a restart; its connections end."""
        self._proxies[proxy] = replace(self._proxies[proxy], upstream=upstream)
        self._configure()
        await self._api.lead(proxy, upstream)

    def _configure(self) -> None:
        proxies = self._proxies.values()
        self.config.write_bytes(
            orjson.dumps([{"name": p.name, "listen": p.listen, "upstream": p.upstream} for p in proxies])
        )

    async def _listening(self, timeout: float) -> bool:
        async with asyncio.timeout(timeout):
            proxies = await self._api.proxies()
        return all(
            name in proxies and (proxies[name]["enabled"] or self.toxics.refuses(name)) for name in self._proxies
        )

    async def _restart(self) -> None:
        await self.kill()
        await self.start()
        await self.ready(_START)
