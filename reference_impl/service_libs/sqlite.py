"""SQLite in WAL mode: one writer at a time, synced commits."""

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

_READ_ONLY = "reads only"


class Sqlite:
    """Implements ``database.Store`` on a file; ``busy_seconds`` bounds the wait for another process's lock."""

    writers = 1
    """Transactions of one process queue fairly for one thread instead of polling the file's lock."""
    readers = 2

    def __init__(self, url: URL, busy_seconds: float) -> None:
        def on_connect(connection: DBAPIConnection, _record: object) -> None:
            connection.isolation_level = None  # the driver must not begin transactions: _on_begin does
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={int(busy_seconds * 1000)}")
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

        self.writing = create_engine(
            url.set(drivername="sqlite+pysqlite"),
            connect_args={"timeout": busy_seconds},
            hide_parameters=True,  # parameters hold essays, and errors are logged
        )
        self.reading: Engine = self.writing.execution_options(**{_READ_ONLY: True})
        event.listen(self.writing, "connect", on_connect)
        event.listen(self.writing, "begin", _on_begin)

    def begin_migrating(self, transaction: Connection) -> None:
        """Do nothing: the transaction already holds the file's only write lock."""


def _on_begin(connection: Connection) -> None:
    """Take the write lock first: a transaction that reads and then writes could fail at once with BUSY_SNAPSHOT."""
    reads_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
