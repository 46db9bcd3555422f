"""Taps: proxies between a link's Toxiproxy proxy and the dependency, which understand what passes and can act on it.

A protocol is one file and one row in the table.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.system import System
    from harness.taps.message import Parser

TABLE: Final[Mapping[str, str]] = {
    "http": "harness.taps.http:HttpParser",
    "postgres": "harness.taps.postgres:PostgresParser",
    "kafka": "harness.taps.kafka:KafkaParser",
    "redis": "harness.taps.redis:RedisParser",
}
"""Protocol -> ``module:class`` of its parser."""


def protocol(system: System, target: str) -> str:
    """Return the protocol of the links to a dependency or service, which may be one that no tap understands."""
    if target in system.services:
        return "http"
    return system.dependencies[target].speaks or system.kind(target)


def parser_type(name: str) -> type[Parser]:
    """Return the class of a protocol's parser; an instance follows one connection. LookupError if there is none."""
    module, _, attribute = TABLE[name].partition(":")
    found: type[Parser] = getattr(import_module(module), attribute)
    return found


__all__ = ["TABLE", "parser_type", "protocol"]
