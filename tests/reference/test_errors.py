from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
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
        MemoryError(),
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
        RuntimeError("a bug"),
    ],
    ids=repr,
)
def test_what_stays_is_the_handlers_own(error):
    assert not is_dependency_error(error)


NO_THREAD = """
import resource, threading
from reference_impl.service_libs.errors import is_dependency_error

threading.stack_size(1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    threading.Thread().start()
except RuntimeError as error:
    print(is_dependency_error(error))
"""


def test_a_thread_that_cannot_be_started_is_the_machines_fault():
    told = subprocess.run(
        [sys.executable, "-c", NO_THREAD], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert told.stdout == "True\n"


@pytest.mark.parametrize("query", ["SELECT * FROM nowhere", "SELEKT", "SELECT nothing FROM inbox"])
async def test_a_query_that_is_wrong_spends_attempts(database, query):
    with pytest.raises(DBAPIError) as raised:
        await database.write(lambda transaction: transaction.exec_driver_sql(query))
    assert not is_dependency_error(raised.value)
