"""A COPY by the extended protocol, whose first Sync the server ignores if it reads it as one of the COPY's messages."""

from __future__ import annotations

import pytest

from harness.taps.message import NotUnderstood
from harness.taps.postgres import PostgresParser
from tests.unit.taps.postgres_frames import (
    BOUND,
    COPIED,
    COPIES,
    FLUSH,
    READY,
    START,
    STARTED,
    SYNC,
    Server,
    answer,
    done,
    error,
    extended,
    frame,
    query,
)
from tests.unit.taps.wired import tapped, trigger

DATA, WRONG, END, FAIL = frame("d", b"row\n"), frame("d", b"wrong\n"), frame("c"), frame("f", b"why\0")
COPY = extended("COPY a FROM STDIN")
BEGUN = frame("1") + BOUND + frame("n") + COPIES


async def ask(end, data, until=READY):
    reader, writer = end
    writer.write(data)
    return await reader.readuntil(until)


@pytest.mark.parametrize(
    ("copy", "data", "kind"),
    [
        pytest.param(COPY, DATA + DATA + END + SYNC, "COPY", id="data"),
        pytest.param(COPY, END + SYNC, "COPY", id="no data"),
        pytest.param(COPY, DATA + END + FLUSH + SYNC, "COPY", id="a Flush behind its end"),
        pytest.param(COPY + FLUSH, DATA + END + SYNC, "COPY", id="a Flush behind its Sync"),
        pytest.param(COPY.removesuffix(SYNC) + FLUSH, DATA + END + SYNC, "COPY", id="one Sync, behind its end"),
        pytest.param(COPY, DATA + FAIL + SYNC, "error 57014", id="given up"),
        pytest.param(COPY, FAIL + SYNC, "error 57014", id="given up at once"),
        pytest.param(COPY, DATA + WRONG + DATA + END + SYNC, "error 22P02", id="wrong data"),
        pytest.param(COPY, WRONG + SYNC, "error 22P02", id="wrong data, and no end"),
        pytest.param(query("COPY a FROM STDIN"), DATA + END, "COPY", id="a simple query"),
        pytest.param(query("COPY a FROM STDIN"), DATA + FAIL, "error 57014", id="a simple query, given up"),
    ],
)
async def test_behind_a_copy_each_reply_answers_its_own_request(copy, data, kind) -> None:
    async with tapped(Server(), "postgres", trigger(pattern="NEVER *")) as (notes, connect, tap):
        end = await connect()
        await ask(end, START)
        for _ in range(2):
            await ask(end, copy, COPIES)
            await ask(end, data)
            assert (
                await ask(end, extended("SELECT 1 FROM b"))
                == frame("1") + BOUND + frame("n") + done("SELECT") + READY
            )
            await ask(end, query("BEGIN"))
        assert not tap.plain
    assert [(one["command"], one["kind"]) for _, one in notes.records[1:]] == [
        ("COPY", kind),
        ("SELECT", "SELECT"),
        ("BEGIN", "BEGIN"),
    ] * 2


async def test_a_sync_that_is_ignored_answers_nothing_though_requests_follow_at_once() -> None:
    async with tapped(Server(), "postgres") as (notes, connect, tap):
        end = await connect()
        await ask(end, START)
        await ask(end, COPY, COPIES)
        await ask(end, DATA + END + SYNC + query("BEGIN") + SYNC + query("END"), done("END") + READY)
        assert not tap.plain
    assert [one["command"] for _, one in notes.records[1:]] == ["COPY", "BEGIN", "Sync", "END"]


@pytest.mark.parametrize("table", ["refused", "guarded"])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_copy_that_fails_before_it_reads_has_both_its_syncs_answered(table, waits) -> None:
    """Such as by a trigger, or where a service sends the data without waiting to be asked for them."""
    copy = extended(f"COPY {table} FROM STDIN")
    async with tapped(Server(), "postgres") as (notes, connect, tap):
        end = await connect()
        await ask(end, START)
        if waits:
            await ask(end, copy)
            assert await ask(end, DATA + END + SYNC) == READY
        else:
            await ask(end, copy + DATA + END + SYNC, READY + READY)
        await ask(end, query("BEGIN"))
        assert not tap.plain
    told = [(one["command"], one["kind"]) for _, one in notes.records[1:]]
    assert told[0][0] == "COPY"
    assert told[0][1].startswith("error")
    assert told[1:] == ([("Sync", "ok")] if waits else []) + [("BEGIN", "BEGIN")]


def parsed(*pieces):
    """What a parser makes of bytes that come by turns, from the service first."""
    parser = PostgresParser()
    parser.requests.feed(START)
    parser.replies.feed(STARTED)
    for at, data in enumerate(pieces):
        (parser.replies if at % 2 else parser.requests).feed(data)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((COPY + query("BEGIN"), BEGUN), id="a request behind a COPY that awaits data"),
        pytest.param((COPY + SYNC, BEGUN), id="a Sync behind a COPY that awaits data"),
        pytest.param((COPY, BEGUN, DATA + END + query("BEGIN")), id="data without a Sync behind them"),
        pytest.param((COPY, BEGUN, DATA + SYNC + END + SYNC), id="Syncs between data"),
        pytest.param((COPY, BEGUN + error(b"57014"), query("BEGIN"), READY), id="a request behind a failed COPY"),
        pytest.param(
            (COPY, BEGUN, FAIL + SYNC + SYNC, error(b"57014") + READY + READY), id="a bare Sync behind a failed COPY"
        ),
    ],
)
def test_where_it_cannot_be_known_which_sync_counts_it_is_not_guessed(pieces) -> None:
    with pytest.raises(NotUnderstood, match="COPY"):
        parsed(*pieces)


def test_a_copy_that_a_tap_refuses_is_not_waited_for() -> None:
    parser = PostgresParser()
    parser.requests.feed(START)
    parser.replies.feed(STARTED)
    (refused,) = parser.requests.feed(COPY)
    parser.took(refused)
    parser.requests.feed(SYNC + query("COPY a FROM STDIN"))
    parser.replies.feed(READY)
    assert not parser.replies.feed(COPIES), "it is the last request"
    assert [message.kind for message in parser.replies.feed(answer(COPIED))] == ["COPY"]
