"""A real server on its own: as whom it runs, how it ends, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from harness.clients import postgres, sql
from harness.clients.probes import Prober
from harness.errors import StackError
from harness.stacks.native import parts
from harness.stacks.native.install import install
from harness.stacks.native.ports import Ports
from harness.stacks.native.postgres import USER, PostgresServer, initialize
from harness.stacks.process import Launch
from harness.stacks.reaper import VARIABLE, servers
from harness.stacks.workspace import Workspace


def memory() -> set[str]:
    """Ids of the shared memory that the kernel holds, and what lies in /dev/shm."""
    held = {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}
    return held | {path.name for path in Path("/dev/shm").glob("PostgreSQL*")}


def memory_of(family: list[int]) -> set[str]:
    """What of ``memory`` these processes made or use: other tests' servers, beside this one, have some too."""
    made = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    used = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in family if Path(f"/proc/{pid}").exists())
    return {row[1] for row in made if int(row[4]) in family} | {name for name in memory() if f"/{name}" in used}


def within(seconds: float, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def gone(pids: list[int]) -> None:
    """Waits until none of them lives; what nobody has reaped yet is dead."""

    def dead(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    within(20, lambda: all(map(dead, pids)))


@pytest.fixture(scope="module")
def template():
    install()
    return parts.require().postgres


@pytest.fixture
def workspace():
    workspace = Workspace()
    yield workspace
    workspace.close()


@pytest.fixture
def ports():
    ports = Ports()
    yield ports
    ports.close()


@pytest.fixture
async def server(template, workspace, ports, tmp_path) -> AsyncIterator[PostgresServer]:
    server = make(template, workspace, ports, tmp_path)
    yield server
    if server.pid is not None:
        await server.kill()


def make(template, workspace, ports, tmp_path) -> PostgresServer:
    folder = workspace.folder / "postgres"
    folder.mkdir(mode=0o711)
    launch = Launch((), {VARIABLE: workspace.token, "LANG": "C.UTF-8"}, workspace.folder, tmp_path / "log")
    address = f"127.0.0.1:{ports.take()}"
    return PostgresServer("postgres", template, address, folder=folder / "files", config={}, launch=launch)


async def started(server: PostgresServer) -> str:
    """The URL of its first database."""
    await server.start()
    await server.ready(60)
    return f"postgresql://{USER}@{server.address}/postgres"


async def test_it_syncs_and_listens_on_loopback_alone(server) -> None:
    url = await started(server)
    [found] = await sql.rows(
        url,
        "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,"
        " current_setting('full_page_writes') AS pages, current_setting('listen_addresses') AS host,"
        " current_setting('unix_socket_directories') AS sockets",
    )
    assert found == {"fsync": "on", "commit": "on", "pages": "on", "host": "127.0.0.1", "sockets": ""}
    assert psutil.Process(server.pid).uids().real != 0
    assert await server.stop() == 0


async def test_what_was_committed_is_there_after_a_kill(server, workspace) -> None:
    url = await started(server)
    await sql.create(url, "shop")
    family = servers(workspace.folder)
    assert server.pid in family
    assert len(family) > 1
    assert await server.kill() == -9
    assert servers(workspace.folder) == []
    gone(family)
    await started(server)
    names = await sql.rows(url, "SELECT datname AS name FROM pg_database")
    assert {"name": "shop"} in names
    await sql.drop(url, "shop")
    await sql.drop(url, "shop")
    assert {"name": "shop"} not in await sql.rows(url, "SELECT datname AS name FROM pg_database")


async def test_a_pause_stops_every_child(server, workspace) -> None:
    url = await started(server)
    asked = asyncio.create_task(sql.rows(url, "SELECT pg_sleep(0.5)"))
    await server.pause()
    async with asyncio.timeout(20):
        while any(psutil.Process(pid).status() != psutil.STATUS_STOPPED for pid in servers(workspace.folder)):
            await asyncio.sleep(0.005)
    assert not (await Prober(server.address, "postgres").probe(0.3)).answered
    await server.resume()
    assert len(await asked) == 1
    assert (await Prober(server.address, "postgres").probe(20)).answered


async def test_closing_its_workspace_leaves_nothing_even_of_one_that_is_paused(template, ports, tmp_path) -> None:
    workspace = Workspace()
    server = make(template, workspace, ports, tmp_path)
    await started(server)
    family = servers(workspace.folder)
    held = memory_of(family)
    assert held
    await server.pause()
    workspace.close()
    assert await server.exited() == -9
    gone(family)
    assert not memory() & held
    assert not workspace.folder.exists()


async def test_a_probe_asks_for_as_many_bytes_as_it_is_told(server) -> None:
    await started(server)
    prober = Prober(server.address, "postgres")
    assert (await prober.probe(20, 300_000)).answered
    assert len(prober.own) == 1


async def test_a_starting_server_that_refuses_is_not_ready(server) -> None:
    """It takes connections before it takes questions."""

    async def refuse(_reader, writer) -> None:
        writer.write(b"E\0\0\0\x09nope\0")
        await writer.drain()
        writer.close()

    host, _, port = server.address.rpartition(":")
    async with await asyncio.start_server(refuse, host, int(port)):
        probe = await Prober(server.address, "postgres").probe(20)
    assert not probe.answered
    assert "nope" in probe.error


@pytest.mark.parametrize(
    ("first", "answered"),
    [
        (b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", True),
        (b"E\0\0\0\x1bSFATAL\0C28000\0Mno role\0\0", True),
        (b"E\0\0\0\x1cSFATAL\0C57P03\0Mstarting\0\0", False),
    ],
    ids=["password", "no role", "starting"],
)
async def test_a_server_that_wants_to_know_who_asks_is_there(server, first: bytes, answered: bool) -> None:
    async def serve(_reader, writer) -> None:
        writer.write(first)
        await writer.drain()
        writer.close()

    host, _, port = server.address.rpartition(":")
    async with await asyncio.start_server(serve, host, int(port)):
        probe = await Prober(server.address, "postgres").probe(20)
        more = await Prober(server.address, "postgres").probe(20, 1000)
    assert (probe.answered, more.answered) == (answered, False)


async def test_an_observer_cannot_write(server) -> None:
    url = await started(server)
    with pytest.raises(StackError, match="read-only transaction"):
        await sql.rows(url, "CREATE TABLE x ()")


async def test_a_query_goes_out_as_it_is_written(server) -> None:
    url = await started(server)
    query = "SELECT 'a%sb' AS id, '100%' AS effect, '$1' AS carries, 5 % 3 AS rest WHERE 'abc' LIKE '%b%'"
    assert await sql.rows(url, query) == [{"id": "a%sb", "effect": "100%", "carries": "$1", "rest": 2}]


async def test_values_are_the_same_whatever_the_server_is_set_to(server) -> None:
    """Their text is an effect's name: it must not depend on where the harness, or the server, stands."""
    url = await started(server)
    await sql.create(url, "shop")
    shop = url.replace("/postgres", "/shop")
    postgres.execute(shop, "ALTER DATABASE shop SET timezone = 'Europe/Stockholm'")
    [row] = await sql.rows(
        shop,
        """
        SELECT '{"b": 1.10, "a": [1]}'::json AS json, '{"b": 1.10, "a": [1]}'::jsonb AS jsonb, 1.10::numeric AS numeric,
          'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid AS uuid, decode('00ff', 'hex') AS bytes, true AS bool, 7 AS whole,
          '2026-07-01 12:00:00.5+02'::timestamptz AS at, '2026-07-01 12:00:00'::timestamp AS local,
          '2026-07-01'::date AS day, 'infinity'::timestamptz AS never, '-infinity'::date AS ever,
          '1 day 2 hours'::interval AS long, ARRAY['x', 'y'] AS many, NULL AS nothing
        """,
    )
    assert row == {
        "json": '{"b": 1.10, "a": [1]}',
        "jsonb": '{"a": [1], "b": 1.10}',
        "numeric": Decimal("1.10"),
        "uuid": UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        "bytes": b"\x00\xff",
        "bool": True,
        "whole": 7,
        "at": datetime(2026, 7, 1, 10, 0, 0, 500_000, tzinfo=UTC),
        "local": datetime(2026, 7, 1, 12),  # noqa: DTZ001 - as Postgres has it
        "day": date(2026, 7, 1),
        "never": "infinity",
        "ever": "-infinity",
        "long": timedelta(days=1, hours=2),
        "many": ["x", "y"],
        "nothing": None,
    }
    assert str(row["at"]) == "2026-07-01 10:00:00.500000+00:00"


async def test_every_row_is_of_one_moment(server) -> None:
    url = await started(server)
    postgres.execute(url, "CREATE TABLE n AS SELECT generate_series(1, 2000) AS x")
    given: list[int] = []

    def take(some) -> None:
        given.extend(row["x"] for row in some)
        postgres.execute(url, "INSERT INTO n VALUES (0)")

    await sql.each(url, "SELECT x, pg_sleep(0) FROM n", take)
    assert given == list(range(1, 2001))


async def test_who_takes_the_rows_may_refuse_them(server) -> None:
    def refuse(some) -> None:
        raise StackError(f"not {some[0]['x']}")

    with pytest.raises(StackError, match=r"^not 1$"):
        await sql.each(await started(server), "SELECT generate_series(1, 100000) AS x", refuse)


async def test_what_is_wrong_with_a_query_is_said_in_one_line(server) -> None:
    url = await started(server)
    postgres.execute(url, "CREATE TABLE shop (total int)")
    with pytest.raises(StackError) as refused:
        await sql.rows(url, "SELECT totl AS id FROM shop")
    assert str(refused.value) == (
        f'{server.address}/postgres: column "totl" does not exist; '
        'Perhaps you meant to reference the column "shop.total".'
    )
    with pytest.raises(StackError, match="cannot insert multiple commands"):
        await sql.rows(url, "SELECT 1; COMMIT; DROP TABLE shop")


async def test_a_server_that_says_nothing_is_not_waited_for_for_ever(server, monkeypatch) -> None:
    """Nor does it go on with what nobody waits for."""
    url = await started(server)
    monkeypatch.setattr(postgres, "_TIMEOUT", 1)
    with pytest.raises(StackError, match=f"{server.address}/postgres: no answer in time"):
        await sql.rows(url, "SELECT 'here', pg_sleep(3600)")
    here = "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE '%''here''%' AND pid <> pg_backend_pid()"
    async with asyncio.timeout(20):
        while (await sql.rows(url, here))[0]["n"]:
            await asyncio.sleep(0.05)
    asked = asyncio.create_task(sql.rows(url, "SELECT pg_sleep(0.5)"))
    await server.pause()
    with pytest.raises(StackError, match=server.address):
        await asked
    await server.resume()


async def test_who_no_longer_asks_is_given_no_more(tmp_path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE n (x)")
        made.executemany("INSERT INTO n VALUES (?)", [(one,) for one in range(5000)])
        made.commit()
    given, begun, go_on = [], threading.Event(), threading.Event()

    def take(some) -> None:
        given.append(len(some))
        begun.set()
        go_on.wait(20)

    asked = asyncio.create_task(sql.each(f"sqlite:///{path}", "SELECT x FROM n", take))
    await asyncio.to_thread(begun.wait, 20)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    go_on.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert given == [1000]


async def test_many_rows_are_read_some_at_a_time(server, tmp_path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE n (x)")
        made.executemany("INSERT INTO n VALUES (?)", [(one,) for one in range(1, 2501)])
        made.commit()
    for url, query in (
        (await started(server), "SELECT generate_series(1, 2500) AS x"),
        (f"sqlite:///{path}", "SELECT x FROM n"),
    ):
        given: list[list[dict]] = []
        await sql.each(url, query, given.append)
        assert [len(some) for some in given] == [1000, 1000, 500]
        assert [row["x"] for some in given for row in some] == list(range(1, 2501))


async def test_what_cannot_be_read_is_said_without_the_password(ports) -> None:
    address = f"127.0.0.1:{ports.take()}"
    with pytest.raises(StackError, match=address) as refused:
        await sql.rows(f"postgresql://one:secret@{address}/shop", "SELECT 1")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("password", ["sec/ret", "sec@ret", "sec%ret"])
async def test_a_url_that_cannot_be_read_is_not_repeated(password: str) -> None:
    with pytest.raises(StackError, match="percent-encoded") as refused:
        await sql.rows(f"postgresql://one:{password}@127.0.0.1/shop", "SELECT 1")
    told = "".join(traceback.format_exception(refused.value))
    assert "sec" not in told.replace("secrets", "")
    assert "ret@" not in told


def test_its_programs_may_lie_where_only_root_can_go(tmp_path) -> None:
    shut, package = tmp_path / "shut", parts.postgres_binaries().parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, shut / folder.name, symlinks=True)
    shut.chmod(0o700)
    initialize(shut / package.name / "pginstall" / "bin", shut / "template")
    assert (shut / "template" / "PG_VERSION").is_file()


HARNESS = """
import asyncio, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from harness.stacks.native import parts
from harness.stacks.workspace import Workspace
from harness.stacks.native.ports import Ports
from test_postgres import make, started
workspace = Workspace()
asyncio.run(started(make(parts.require().postgres, workspace, Ports(), Path({folder!r}))))
print(workspace.folder, flush=True)
sys.stdin.read()
"""


def test_a_harness_that_is_killed_leaves_nothing(template, tmp_path) -> None:
    code = HARNESS.format(here=str(Path(__file__).parent), folder=str(tmp_path))
    harness = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    folder = Path(harness.stdout.readline().strip())
    assert folder.is_relative_to(tempfile.gettempdir())
    family = servers(folder)
    held = memory_of(family)
    assert family
    assert held
    os.kill(harness.pid, signal.SIGKILL)
    harness.communicate()
    gone(family)
    within(20, lambda: not folder.exists())
    assert not memory() & held
