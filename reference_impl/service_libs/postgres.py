"""Postgres through psycopg: concurrent transactions, bounded waits, synced commits."""

import select
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")

_MIGRATING = 7_063_101_951_422_170_989
"""Key of the advisory lock that a migrating process holds."""

_ANSWER_SECONDS = 1.0
"""How long to wait for an answer beyond the server's own time-out."""

_LENT = "was lent before"

_RECYCLE_SECONDS = 300
"""Age at which a connection is replaced: a middlebox may have dropped one that was idle for longer."""


class Postgres:
    """Implements ``database.Store`` on a server.

    ``busy_seconds`` bounds the wait for a connection and for a lock; a statement, and a transaction that stands idle,
    may take twice as long. Anything longer is an error, and its connection is closed, never reused.
    """

    writers = 8
    readers = 2

    def __init__(self, url: URL, busy_seconds: float) -> None:
        bound = int(2000 * busy_seconds)
        longest = 2 * busy_seconds + _ANSWER_SECONDS
        settings = {
            "lock_timeout": int(1000 * busy_seconds),
            "statement_timeout": bound,
            "idle_in_transaction_session_timeout": bound,
        }

        def connect(_dialect: object, _record: object, arguments: list[Any], named: dict[str, Any]) -> _Connection:
            connection = _Connection.connect(*arguments, **named)
            connection.longest = longest
            return connection

        self.writing = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={
                "connect_timeout": max(1, round(busy_seconds)),
                "tcp_user_timeout": int(1000 * longest),
                "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            },
            pool_size=self.writers + self.readers,
            pool_recycle=_RECYCLE_SECONDS,
            hide_parameters=True,  # parameters hold essays, and errors are logged
        )
        event.listen(self.writing, "do_connect", connect)
        event.listen(self.writing, "checkout", _on_checkout)
        self.reading: Engine = self.writing.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def begin_migrating(self, transaction: Connection) -> None:
        """Let one process at a time migrate; refuse a server that may lose commits."""
        for setting in ("fsync", "synchronous_commit"):
            if transaction.exec_driver_sql(f"SHOW {setting}").scalar() == "off":
                raise ValueError(f"DATABASE_URL: {setting} is off on the server, so it may lose commits; turn it on")
        transaction.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")


def _on_checkout(_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Replace a connection that ended while idle, without the round trip of a ping: a sound idle one is silent.

    If the end has not arrived yet, the user of the connection gets an error, and retries.
    """
    if not record.info.get(
        _LENT
    ):  # fresh; refusing several fresh ones would raise something other than a DBAPI error
        record.info[_LENT] = True
        return
    driver, idle = record.driver_connection, select.poll()
    if driver is None or driver.closed:
        raise DisconnectionError
    idle.register(driver.fileno(), select.POLLIN)
    if idle.poll(0):
        raise DisconnectionError


class _Connection(psycopg.Connection[Any]):
    """A connection whose waits time out: the server's own time-outs do not help if its answer does not arrive."""

    longest: float
    """Longest wait, in seconds."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.longest if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:  # an answer is half read: never reuse it
                self.close()
            raise
