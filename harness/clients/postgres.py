"""Synchronous Postgres client: reads rows in one read-only transaction, and executes single statements."""

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
"""Seconds to wait for a connection, and for each answer on it."""

_CANCEL_TIMEOUT = 1.0
"""Seconds to wait for a query's cancellation, without which the server would keep running it."""


def rows(url: str, query: str, at_once: int) -> Generator[Row, None, None]:
    """Yield every row as column -> value, all from one snapshot, fetching ``at_once`` at a time.

    The query is sent verbatim, so a ``%`` stands for itself. Raises StackError if the rows cannot be read.
    """
    with connected(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield from connection.cursor(row_factory=dict_row).stream(query.encode(), size=at_once)


def execute(url: str, statement: str) -> None:
    """Execute a statement outside any transaction; raises StackError if it fails."""
    with connected(url) as connection:
        connection.autocommit = True
        connection.execute(statement.encode())


class _Connection(psycopg.Connection[Any]):
    """A connection whose waits time out, which then cancels its query and closes."""

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
def connected(url: str) -> Iterator[_Connection]:
    """Connect for as long as the scope lasts; StackError for any error of the server's or the connection's within it."""
    place = _place(url)
    try:
        with closing(_Connection.connect(url, connect_timeout=_TIMEOUT, client_encoding="UTF8")) as connection:
            for kind, loader in _LOADERS.items():
                connection.adapters.register_loader(kind, loader)
            yield connection
    except (OSError, psycopg.Error) as error:
        raise StackError(f"{place}: {_told(error)}") from error


def _place(url: str) -> str:
    """Return HOST:PORT/NAME, the parts of a URL that a message may show.

    Raises StackError if a part of the password may have ended up in them.
    """
    try:
        parts = {"port": "5432", **conninfo_to_dict(url)}
    except psycopg.ProgrammingError:  # its message repeats the URL
        parts = {"port": ""}
    host, port, name = (str(parts.get(part, "")) for part in ("host", "port", "dbname"))
    if "@" in host + name or not port.replace(",", "").isdigit():
        raise StackError(
            "the URL of a Postgres cannot be parsed; write postgresql://USER:PASSWORD@HOST:PORT/NAME, with "
            "special characters percent-encoded"
        )
    return f"{host}:{port}/{name}"


def _told(error: Exception) -> str:
    """Return the server's message, else the client's, on one line."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        parts = (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint)
        return "; ".join(part for part in parts if part)
    return " ".join(str(error).split())


def _lenient(of: type[Loader]) -> type[Loader]:
    """Wrap a loader: times with a zone become UTC, and values that Python lacks (infinity) stay Postgres's text."""

    class Lenient(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._strict = of(oid, context)

        def load(self, data: Buffer) -> object:
            try:
                value = self._strict.load(data)
            except (psycopg.DataError, NotImplementedError):
                return bytes(data).decode()
            return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value

    return Lenient


_LOADERS: Mapping[str, type[Loader]] = {
    "json": TextLoader,  # a digest may cover the text, which parsing and serializing would change
    "jsonb": TextLoader,
    "date": _lenient(DateLoader),
    "interval": _lenient(IntervalLoader),
    "timestamp": _lenient(TimestampLoader),
    "timestamptz": _lenient(TimestamptzLoader),
}
