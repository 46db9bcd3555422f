"""Replaces other containers' addresses in a text with placeholders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.compose.file import Compose, Container
from harness.compose.images import TOXIPROXY, last

_POSTGRES: Final = r"(jdbc:)?([a-z][a-z0-9+]*://)(?:[^\s/'\"@]*@)?\{{({})\}}(?:/[\w.\ue000\ue001-]*)?"
"""A Postgres URL, whose login and database the harness replaces with its own."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where each host name leads: ``names`` to a part of the system file, ``out`` to what is left out of it, and why."""

    names: Mapping[str, str]
    out: Mapping[str, str]
    proxies: Mapping[tuple[str, str], str]
    """``host:port`` that a Toxiproxy leads to, by its own host and port."""
    postgres: frozenset[str]

    def filled(self, text: str) -> str:
        """Return a text with placeholders for the addresses in it; ValueError if one leads to what is left out."""
        text = _pattern({host for host, _ in self.proxies}).sub(self._behind, text) if self.proxies else text
        text = _pattern(self.names).sub(self._placeholder, text)
        text = re.sub(r"(\{[a-z0-9_-]+\})(?:\s*,\s*(?:\w+://)?\1)+", r"\1", text)
        if gone := _pattern(self.out).search(text):
            raise ValueError(f"{gone[0]} is left out ({self.out[_host(gone)]})")
        return text

    def databases(self, text: str) -> str:
        """Return the text with oneffect's own login and database in its Postgres URLs."""
        if not self.postgres:
            return text
        servers = "|".join(map(re.escape, sorted(self.postgres)))
        # A JDBC driver takes no login before the host.
        return re.sub(
            _POSTGRES.format(servers),
            lambda match: f"{match[1] or ''}{match[2]}{'' if match[1] else 'oneffect@'}{{{match[3]}}}/{{database}}",
            text,
        )

    def _placeholder(self, match: re.Match[str]) -> str:
        return f"{{{self.names[_host(match)]}}}"

    def _behind(self, match: re.Match[str]) -> str:
        return self.proxies.get((_host(match), match["port"] or ""), match[0])


def _pattern(hosts: Iterable[str]) -> re.Pattern[str]:
    """Match ``host:port``, and a host alone within a URL; a login before an @ is not a host."""
    either = "|".join(map(re.escape, sorted(hosts, key=len, reverse=True))) or r"(?!)"
    return re.compile(
        rf"(?<![\w.-])(?P<host>{either}):(?P<port>\d{{1,5}})(?![\w.@-])"
        rf"|(?:(?<=://)|(?<=@))(?P<alone>{either})(?![\w.:@-])"
    )


def _host(match: re.Match[str]) -> str:
    return str(match["host"] or match["alone"])


def behind(compose: Compose, containers: Iterable[Container]) -> dict[tuple[str, str], str]:
    """Return the upstream of each Toxiproxy proxy that the file configures."""
    found: dict[tuple[str, str], str] = {}
    for container in containers:
        if last(container.image) != TOXIPROXY:
            continue
        sources = [one.partition(":")[0] for one in container.mounts if ".json" in one.partition(":")[0]]
        texts = [*map(compose.config, container.configs), *map(compose.beside, sources)]
        for proxy in (proxy for text in texts for proxy in _proxies(text)):
            port = str(proxy.get("listen")).rpartition(":")[2]
            found |= {(host, port): str(proxy.get("upstream")) for host in container.hosts}
    return found


def published(containers: Iterable[Container]) -> dict[tuple[str, str], str]:
    """Return where each published address leads, named as containers on the machine's own network name it."""
    return {
        (host, address.rpartition(":")[2]): f"{container.name}:{port}"
        for container in containers
        for port, address in container.published.items()
        for host in ("localhost", "127.0.0.1", "host.docker.internal")
    }


def _proxies(text: str) -> list[dict[str, Any]]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [one for one in read if isinstance(one, dict)] if isinstance(read, list) else []
