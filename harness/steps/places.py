"""Where the parts of a system that is up listen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

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

    front_door: str
    """The URL that uploads are posted to."""
    addresses: Mapping[str, str]
    """host:port of each dependency and replica, past the proxies."""
    proxies: Mapping[str, Proxy]
    """By the link's name: ``shop#1->redis``."""

    @classmethod
    def of(cls, live: LiveSystem) -> Self:
        """Return those of a system that is up."""
        stack = live.stack
        return cls(
            live.front_door(),
            {name: stack.direct(name) for name in (*stack.dependencies, *stack.services)},
            {name: Proxy(link.api, link.proxy, link.address) for name, link in stack.links.items()},
        )
