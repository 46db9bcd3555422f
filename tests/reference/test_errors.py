from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError, ProgrammingError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from reference_impl.service_libs.errors import ContentMissing, KafkaUnavailable, is_dependency_error


def sqlite(code):
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    return OperationalError("q", {}, error)


def postgres(sqlstate, kind=DBAPIError):
    error: Any = Exception("x")
    error.sqlstate = sqlstate
    return kind("q", {}, error)


@pytest.mark.parametrize(
    "error",
    [
        *(sqlite(code) for code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_LOCKED)),
        *(sqlite(code) for code in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)),
        *(
            postgres(state)
            for state in ("08006", "40001", "40P01", "53300", "55P03", "57P01", "57014", "25P03", "25P04")
        ),
        InterfaceError("q", {}, Exception("connection is closed")),
        OperationalError("COMMIT", {}, Exception("no answer")),
        PoolTimeoutError(),
        KafkaUnavailable(),
        ConnectionResetError(),
    ],
    ids=repr,
)
def test_what_may_pass_is_a_dependencys(error):
    assert is_dependency_error(error)


@pytest.mark.parametrize(
    "error",
    [
        *(sqlite(code) for code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_MISMATCH)),
        *(postgres(state) for state in ("22001", "23505", "42P01", "25P02")),
        postgres(None, DataError),
        postgres(None, ProgrammingError),
        StatementError("x", "q", {}, ValueError("a bind parameter")),
        ContentMissing(),
        ZeroDivisionError(),
    ],
    ids=repr,
)
def test_what_stays_is_the_handlers_own(error):
    assert not is_dependency_error(error)


@pytest.mark.parametrize("query", ["SELECT * FROM nowhere", "SELEKT", "SELECT nothing FROM inbox"])
async def test_a_query_that_is_wrong_spends_attempts(database, query):
    with pytest.raises(DBAPIError) as raised:
        await database.write(lambda transaction: transaction.exec_driver_sql(query))
    assert not is_dependency_error(raised.value)
