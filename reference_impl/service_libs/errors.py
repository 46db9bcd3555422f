"""Whose fault an error is: a dependency's, tried again for ever, or the handler's own, which spends attempts."""

import sqlite3

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


class DependencyError(Exception):
    """A dependency did not answer, or not in time. It says nothing about the work itself."""


class RedisUnavailable(DependencyError):
    """Redis did not answer. What was asked of it may have been done all the same."""


class KafkaUnavailable(DependencyError):
    """Kafka did not acknowledge. The record may have been written all the same."""


class KafkaRefused(Exception):
    """Kafka will never take this record: it is larger than the broker allows, or has no legal topic."""


class ContentUnavailable(DependencyError):
    """The content service did not answer, or not with a yes or a no."""


class ContentMissing(Exception):
    """The content service answered that it has no such blob, or its bytes are not those its name says."""


class IllegalTransition(Exception):
    """An event asks for a state that cannot follow the present one."""


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
_POSTGRES_DEPENDENCYS = ("08", "25006", "25P03", "40", "53", "55", "57", "58")
"""SQLSTATEs by their beginnings: connections, a standby, idle too long, serialization, resources, locks, operators,
the system."""


def is_dependency_error(error: BaseException) -> bool:
    """Whether trying again can help: time-outs, connections, locks and commits, but no broken constraint or query."""
    if isinstance(error, DBAPIError):
        return _is_databases(error)
    return isinstance(error, DependencyError | OSError | PoolTimeoutError)


def _is_databases(error: DBAPIError) -> bool:
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return sqlite_code & 0xFF not in _SQLITE_HANDLERS_OWN  # the rest of the code says which kind of the kind
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is not None:
        return str(sqlstate).startswith(_POSTGRES_DEPENDENCYS)
    # Without a code it comes from the driver: a connection that is gone, unless it says what was wrong with the query.
    return not isinstance(error, IntegrityError | ProgrammingError | DataError | NotSupportedError)
