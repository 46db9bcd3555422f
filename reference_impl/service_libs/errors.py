"""Whose fault an error is: a dependency's, which is retried forever, or the handler's own, which uses up attempts.

Memory and threads are dependencies, too. When they run out, each event in hand fails, and attempts are used up within
seconds: all of them would be set aside. An event that alone needs more memory than there is then holds up its partition,
which the lag shows, and loses nothing.
"""

import sqlite3

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


class DependencyError(Exception):
    """A dependency did not answer in time. This says nothing about the work itself."""


class RedisUnavailable(DependencyError):
    """Redis did not answer. It may have executed the command all the same."""


class KafkaUnavailable(DependencyError):
    """Kafka did not acknowledge. It may have written the record all the same."""


class KafkaRefused(Exception):
    """Kafka will never accept this record: it is larger than the broker allows, or its topic's name is illegal."""


class ContentUnavailable(DependencyError):
    """The content service did not answer, or gave no definite answer."""


class ContentMissing(Exception):
    """The content service has no such blob, or the blob's bytes do not match its name."""


_SQLITE_HANDLERS_OWN = frozenset(
    {
        sqlite3.SQLITE_ERROR,  # no such table or column, a query that cannot be read
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)
_POSTGRES_DEPENDENCYS = ("08", "25006", "25P03", "25P04", "40", "53", "55", "57", "58")
"""SQLSTATE prefixes: connection, standby, idle or open too long, serialization, resources, locks, operator, system."""

_NO_THREAD = "can't start new thread"
"""What Python says at a limit of threads or memory; the error has no class of its own."""


def is_dependency_error(error: BaseException) -> bool:
    """Whether a retry can help: yes for time-outs, connections, locks, commits and memory; no for constraints and queries."""
    if isinstance(error, DBAPIError):
        return _is_databases(error)
    passing = isinstance(error, DependencyError | OSError | PoolTimeoutError | MemoryError)
    return passing or (isinstance(error, RuntimeError) and str(error) == _NO_THREAD)


def _is_databases(error: DBAPIError) -> bool:
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return sqlite_code & 0xFF not in _SQLITE_HANDLERS_OWN  # the higher bits only subdivide the code
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is not None:
        return str(sqlstate).startswith(_POSTGRES_DEPENDENCYS)
    # Without a code the driver raised it: a lost connection, unless the class blames the query.
    return not isinstance(error, IntegrityError | ProgrammingError | DataError | NotSupportedError)
