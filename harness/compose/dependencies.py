"""What a system file says of the brokers and stores of a compose file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from harness.compose.file import Container
from harness.compose.images import EXTENDED, kind, last
from harness.compose.variables import UNKNOWN, said
from harness.files.todo import todo

_SERVERS: Final = ("redis-server", "valkey-server", "keydb-server")
_OWN: Final = re.compile(
    r"port|bind|dir|daemonize|logfile|loglevel|pidfile|unixsocket.*|include|loadmodule|protected-mode|supervised|tls-.*"
    r"|cluster-.*|replicaof|slaveof|listen_addresses|data_directory|.*_file|ssl.*|shared_preload_libraries|log_.*"
)
"""Settings that the harness makes itself, or that make no sense in its server."""


def described(name: str, container: Container) -> dict[str, Any]:
    """Return a store's fields: its kind if the name does not say it, and the settings from its command."""
    of = kind(container.image) or ""
    settings = dict(_settings(container))
    for variable in ("REDIS_PASSWORD", "VALKEY_PASSWORD") if of == "redis" else ():
        if variable in container.env:
            settings["requirepass"] = container.env[variable]
    config = {
        key: todo(f"the compose file has {said(value)} here, whose value is not known; write it", "not-a-real-secret")
        if UNKNOWN.search(value)
        else value
        for key, value in settings.items()
    }
    return {**({"kind": of} if name != of else {}), **({"config": config} if config else {})}


def notes(container: Container) -> Iterator[str]:
    """Yield a note on each part of a broker or store that the system file leaves out."""
    if last(container.image) in EXTENDED:
        yield f"{container.image} has extensions that oneffect's Postgres lacks"
    if any("docker-entrypoint-initdb.d" in mount for mount in container.mounts):
        yield "its first scripts are not run: each service finds an empty database of its own, and makes its tables"
    if kind(container.image) == "redis" and re.search(r"\S+\.conf\b", container.command):
        yield "its configuration file is not read: write what matters of it as `config: {…}`"
    elif (
        kind(container.image) in {"redis", "postgres"} and "-" in container.command and not dict(_settings(container))
    ):
        yield "its command is not read: write what matters of it as `config: {…}`"


def partitions(topics: Mapping[str, int | None], brokers: Iterable[Container]) -> dict[str, Any]:
    """Return the number of partitions of each topic, or a TODO."""
    default = next(
        (
            one.env[key]
            for one in brokers
            for key in ("KAFKA_NUM_PARTITIONS", "KAFKA_CFG_NUM_PARTITIONS")
            if key in one.env
        ),
        "",
    )
    known = int(default) if re.fullmatch(r"[1-9]\d?", default) else None
    return {name: count or known or todo("how many partitions this topic has", "4") for name, count in topics.items()}


def _settings(container: Container) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(container.command)
    except ValueError:
        return
    if kind(container.image) == "postgres":
        for option, value in pairwise(words):
            key, equals, setting = value.partition("=")
            if option == "-c" and equals and re.fullmatch(r"[a-z_.]+", key) and not _OWN.fullmatch(key):
                yield key, setting
        return
    server = next((at for at, word in enumerate(words) if word.rpartition("/")[2] in _SERVERS), None)
    key, values = "", []
    for word in [*words[server + 1 :], "--"] if server is not None else ():
        if not word.startswith("--"):
            values.append(word)
            continue
        if re.fullmatch(r"[a-z][a-z-]*", key) and values and not _OWN.fullmatch(key):
            yield key, " ".join(values)
        key, values = word[2:].lower(), []
