"""Where the parts of a system that is up listen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from harness.stack import Adopting

if TYPE_CHECKING:
    from harness.session.live import LiveSystem


@dataclass(frozen=True, slots=True)
class Proxy:
    """The Toxiproxy proxy of one link, as any client of Toxiproxy addresses it."""

    api: str
    """host:port of its Toxiproxy's HTTP API."""
    name: str
    """Its name there, which needs no quoting in a URL."""
    address: str
    """host:port that it listens at."""


@dataclass(frozen=True, slots=True)
class Places:
    """The addresses of one run."""

    front_door: str | None
    """The URL that uploads are posted to; None if nothing is uploaded over HTTP."""
    addresses: Mapping[str, str]
    """host:port of each dependency and replica, past the proxies; code that a test starts has none."""
    proxies: Mapping[str, Proxy]
    """By the link's name: ``shop#1->redis``."""

    @classmethod
    def of(cls, live: LiveSystem) -> Self:
        """Return the addresses of a system that is up."""
        stack = live.stack
        services = () if isinstance(stack, Adopting) else stack.services
        return cls(
            live.front_door() if live.system.load.upload is not None else None,
            {name: stack.direct(name) for name in (*stack.dependencies, *services)},
            {name: Proxy(link.api, link.proxy, link.address) for name, link in stack.links.items()},
        )
