"""The proxies of a link to a cluster: one for each broker, besides the one through which clients find the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class BrokerProxy:
    """One broker's way on a link, from a client to the broker: the proxy, the tap, the broker. Addresses are host:port."""

    name: str
    """Its name in Toxiproxy."""
    address: str
    """Where clients reach it."""
    tap: str
    """Where the link's tap listens for it."""
    broker: str
    """The address that the broker advertises."""


def proxy_name(link: str, broker: int) -> str:
    """Return the name of a broker's proxy on the link whose own proxy has the name ``link``."""
    return f"oneffect-{link}-{broker}"


def left_behind(link: str, proxies: Iterable[str]) -> list[str]:
    """Return those of ``proxies`` that a killed harness made for this link."""
    prefix = proxy_name(link, 0).removesuffix("0")
    return [name for name in proxies if name.startswith(prefix) and name.removeprefix(prefix).isdecimal()]


def routes(address: str, brokers: Mapping[int, str], proxies: Iterable[BrokerProxy]) -> dict[str, str]:
    """Return, for each address that a broker advertises, the one that leads there through a link at ``address``."""
    return {**dict.fromkeys(brokers.values(), address), **{one.broker: one.address for one in proxies}}
