"""Toxiproxy's HTTP API: one server's proxies and toxics, with a timeout on every request.

For names and units see https://github.com/Shopify/toxiproxy, README, "HTTP API".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from harness.clients.exchange import exchange
from harness.errors import FaultError

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 10.0
"""Seconds, long enough for a busy machine. The API can hang on a proxy whose peer does not read; healing must then
find another way."""


class ToxiproxyClient:
    """The API at ``address`` (host:port). Every method may raise FaultError, OSError or TimeoutError."""

    def __init__(self, address: str, timeout: float = TIMEOUT) -> None:
        self._address = address
        self._timeout = timeout

    async def version(self) -> str:
        """Return the server's version, ``"2.12.0"``."""
        return str((await self._ask("GET", "/version"))["version"])

    async def proxies(self) -> Mapping[str, Any]:
        """Return every proxy by name: listen, upstream, enabled, toxics."""
        proxies: Mapping[str, Any] = await self._ask("GET", "/proxies")
        return proxies

    async def enable(self, proxy: str, *, enabled: bool) -> None:
        """Enable a proxy, or disable it: its connections end and its port refuses new ones."""
        await self._ask("PATCH", f"/proxies/{_path(proxy)}", {"enabled": enabled})

    async def create(self, proxy: str, listen: str, upstream: str) -> None:
        """Create a proxy from ``listen`` to ``upstream`` (host:port), and enable it."""
        await self._ask("POST", "/proxies", {"name": proxy, "listen": listen, "upstream": upstream, "enabled": True})

    async def delete(self, proxy: str) -> None:
        """Delete a proxy, which ends its connections; does nothing if there is none."""
        await self._ask("DELETE", f"/proxies/{_path(proxy)}", allowed=404)

    async def lead(self, proxy: str, upstream: str) -> None:
        """Point a proxy at ``upstream`` (host:port); its connections end."""
        await self._ask("PATCH", f"/proxies/{_path(proxy)}", {"upstream": upstream})

    async def add(self, proxy: str, toxic: Mapping[str, object]) -> None:
        """Add a toxic: name, type, stream, attributes."""
        await self._ask("POST", f"/proxies/{_path(proxy)}/toxics", toxic)

    async def remove(self, proxy: str, name: str) -> None:
        """Remove a toxic by name; does nothing if there is none."""
        await self._ask("DELETE", f"/proxies/{_path(proxy)}/toxics/{_path(name)}", allowed=404)

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, allowed: int | None = None
    ) -> Any:  # noqa: ANN401 - the API's JSON
        encoded = orjson.dumps(body) if body is not None else None
        reply = await exchange(self._address, method, path, body=encoded, timeout=self._timeout)
        if reply.status >= 400 and reply.status != allowed:  # noqa: PLR2004 - HTTP's own border
            raise FaultError(
                f"Toxiproxy refused {method} {path}: {reply.status} {reply.body[:200].decode(errors='replace')}"
            )
        return orjson.loads(reply.body) if reply.body.strip() else {}


def _path(name: str) -> str:
    return quote(name, safe="")
