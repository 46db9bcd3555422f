"""Reads rows out of a Postgres, in one read-only transaction; makes and drops databases there. Nothing here awaits."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer, PQGen
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.datetime import DateLoader, IntervalLoader, TimestampLoader, TimestamptzLoader
from psycopg.types.string import TextLoader

from harness.errors import StackError

Row = dict[str, object]

_TIMEOUT = 10
"""Seconds that a connection, or each answer on it, may take."""

_CANCEL_TIMEOUT = 1.0
"""Seconds that are given to a query's cancellation: the server would go on with it, though nobody listens."""


def rows(url: str, query: str, at_once: int) -> Generator[Row, None, None]:
    """Every row, as column -> value, ``at_once`` fetched at a time. StackError if they cannot be read.

    Every row is of one moment. The query goes out as it is, so a ``%`` in it stands for itself.
    """
    with _connected(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield from connection.cursor(row_factory=dict_row).stream(query.encode(), size=at_once)


def execute(url: str, statement: str) -> None:
    """Execute a statement outside any transaction. StackError if it fails."""
    with _connected(url) as connection:
        connection.autocommit = True
        connection.execute(statement.encode())


class _Connection(psycopg.Connection[Any]):
    """One whose waits end; then it is closed, and its query cancelled."""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401 - psycopg's
        try:
            return super().wait(gen, interval, _TIMEOUT if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=_CANCEL_TIMEOUT)
            self.close()
            raise TimeoutError("no answer in time") from error


@contextmanager
def _connected(url: str) -> Iterator[_Connection]:
    place = _place(url)
    try:
        with closing(_Connection.connect(url, connect_timeout=_TIMEOUT, client_encoding="UTF8")) as connection:
            for kind, loader in _LOADERS.items():
                connection.adapters.register_loader(kind, loader)
            yield connection
    except (OSError, psycopg.Error) as error:
        raise StackError(f"{place}: {_told(error)}") from error


def _place(url: str) -> str:
    """Host, port and database: what may be said of a URL. StackError if a piece of its password may be in them."""
    try:
        known = {"port": "5432", **conninfo_to_dict(url)}
    except psycopg.ProgrammingError:  # its words repeat the URL
        known = {"port": ""}
    host, port, name = (str(known.get(part, "")) for part in ("host", "port", "dbname"))
    if "@" in host + name or not port.replace(",", "").isdigit():
        raise StackError(
            "the URL of a Postgres cannot be read; known is postgresql://USER:PASSWORD@HOST:PORT/NAME, in which "
            "special characters are percent-encoded"
        )
    return f"{host}:{port}/{name}"


def _told(error: Exception) -> str:
    """What the server says, or else the client, in one line."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        said = (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint)
        return "; ".join(part for part in said if part)
    return " ".join(str(error).split())


def _lenient(of: type[Loader]) -> type[Loader]:
    """Times with a zone are in UTC; what Python has no value for, as infinity, is given as Postgres writes it."""

    class Lenient(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._strict = of(oid, context)

        def load(self, data: Buffer) -> object:
            try:
                found = self._strict.load(data)
            except (psycopg.DataError, NotImplementedError):
                return bytes(data).decode()
            return found.astimezone(UTC) if isinstance(found, datetime) and found.tzinfo is not None else found

    return Lenient


_LOADERS: Mapping[str, type[Loader]] = {
    "json": TextLoader,  # a digest may be over it, and read into objects and written again it is another text
    "jsonb": TextLoader,
    "date": _lenient(DateLoader),
    "interval": _lenient(IntervalLoader),
    "timestamp": _lenient(TimestampLoader),
    "timestamptz": _lenient(TimestamptzLoader),
}
