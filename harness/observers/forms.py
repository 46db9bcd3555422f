"""The forms in which a system file locates effects or sums, and the reader of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.clients import sql
from harness.effects import Effects, Returned, Total, forms
from harness.observers.command_lines import CommandLines
from harness.observers.decoded import decoded
from harness.observers.folder_files import FolderFiles
from harness.observers.http_list import Http, HttpList
from harness.observers.redis_keys import RedisKeys, Store
from harness.observers.sources import Database, Function, Output, Reader, Source


@dataclass(frozen=True, slots=True)
class Reach:
    """How an observer reaches what a system file names, past the proxies."""

    filled: Callable[[str, str | None], str]
    """``filled(text, service)`` fills in placeholders."""
    environment: Callable[[str], Mapping[str, str]] = lambda _service: {}
    """The environment of a service's commands."""
    folder: Path = Path()
    """The system file's folder, where commands run."""
    store: Callable[[str, int], Store] | None = None
    """``store(dependency, database)`` opens a database of a Redis."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to read: the effects or the total of one service."""

    service: str
    read: Effects | Total
    reach: Reach
    stores: Sequence[str]
    """The dependencies of kind redis."""
    http: Http
    opened: Callable[[str], Awaitable[Reader]]
    """Opens a topic, to read it from its first record."""
    settled: Callable[[str], Awaitable[None]]
    """Raises StackError while a transaction is open on a topic."""

    def filled(self, text: str) -> str:
        """Fill in placeholders."""
        return self.reach.filled(text, self.service)


def _sql(asked: Asked, described: Any) -> Source:  # noqa: ANN401 - each row of FORMS knows its own model
    return Database(asked.filled(described.url), described.query, sql.each)


def _topic(asked: Asked, described: Any) -> Source:  # noqa: ANN401 - the same
    async def opened() -> Reader:
        return await decoded(await asked.opened(described.name), described.decode, asked.reach.folder)

    return Output(described, opened, lambda: asked.settled(described.name))


def _command(asked: Asked, described: Any) -> Source:  # noqa: ANN401 - the same
    environment = asked.reach.environment(asked.service)
    return CommandLines(described, asked.filled, environment, asked.reach.folder)


def _redis(asked: Asked, described: Any) -> Source:  # noqa: ANN401 - the same
    assert asked.reach.store is not None  # noqa: S101 - a run's reach always has one
    store = asked.reach.store(described.on or asked.stores[0], described.database)
    return RedisKeys(store, described, asked.filled, sums=isinstance(asked.read, Total))


def _http(asked: Asked, described: Any) -> Source:  # noqa: ANN401 - the same
    return HttpList(asked.http, described, asked.filled(described.url), sums=isinstance(asked.read, Total))


def _files(asked: Asked, described: Any) -> Source:  # noqa: ANN401 - the same
    return FolderFiles(described, Path(asked.filled(described.folder)))


FORMS: Final[Mapping[str, Callable[[Asked, Any], Source]]] = {
    "sql": _sql,
    "topic": _topic,
    "command": _command,
    "redis": _redis,
    "http": _http,
    "files": _files,
}
"""Field of ``Effects`` or ``Total`` -> function that makes its reader."""


def source(asked: Asked) -> Source:
    """Return the reader of the effects or sums that ``asked`` describes."""
    if isinstance(asked.read, Returned):
        return Function(asked.read.call)
    ((name, described),) = forms(asked.read).items()
    return FORMS[name](asked, described)
