"""A tap on real sockets: what comes in goes out, and one message can be met."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import FaultError
from harness.taps import connection
from harness.taps.kafka import MOST_PLACES
from tests.unit.taps.wired import (
    GET,
    SET,
    commit,
    committed,
    kafka,
    produce,
    produced,
    received,
    redis,
    tapped,
    trigger,
)

COMMIT, COMMITTED, PRODUCE = commit(), committed(), produce()

chunks = st.lists(st.binary(max_size=300), max_size=6)
likely = st.lists(
    st.sampled_from(
        [
            SET,
            GET,
            SET[:9],
            GET[7:],
            b"+OK\r\n",
            b"$5\r\nab",
            b"*2\r\n",
            b"\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"$99999999999999\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"Content-Length: 3\r\n\r\n",
            b"Transfer-Encoding: x\r\n",
            b"\0\0\0\x08\x04\xd2\x16\x2f",
            b"\0\0\0\x0b\0\x03\0\0a\0\0",
            b"Q\0\0\0\x0bCOMMIT\0",
            b"S\0\0\0\x04",
            b"Z\0\0\0\x05T",
            b"N\0\0\0\x09",
            b"P\0\0\0\x08\0\0\0\0D\0\0\0\x06S\0",
            b"H\0\0\0\x04",
            b"1\0\0\0\x04T\0\0",
            b"\0\x06\0\0",
            b"G\0\0\0\x04",
            b"d\0\0\0\x05xc\0\0\0\x04",
            b"\0\0\0\x08\0\3\0\0",
            COMMIT,
            COMMIT[:11],
            COMMIT[11:],
            COMMITTED,
            COMMITTED[:6],
            PRODUCE,
            PRODUCE[:60],
            b"\x00\x00\x00",
            b"\x7f\xff\xff\xff",
        ]
    ),
    max_size=8,
)


@pytest.mark.parametrize("protocol", ["redis", "http", "kafka", "postgres"])
@pytest.mark.parametrize("armed", [False, True])
@settings(max_examples=60)
@given(up=chunks | likely, down=chunks | likely)
def test_whatever_comes_in_goes_out_byte_for_byte(protocol, armed, up, down) -> None:
    async def both_ways():
        got = []

        async def serve(reader, writer):
            for chunk in down:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0)
            writer.write_eof()
            got.append(await reader.read(-1))

        never = trigger(pattern="NEVER *") if armed else None
        async with tapped(serve, protocol, never) as (_, connect, _tap):
            reader, writer = await connect()
            for chunk in up:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0)
            writer.write_eof()
            assert await reader.read(-1) == b"".join(down)
            while not got:
                await asyncio.sleep(0)
            assert got == [b"".join(up)]

    asyncio.run(both_ways())


async def test_a_parser_that_fails_makes_a_plain_pipe_and_says_so_once() -> None:
    async def echo(reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)

    async with tapped(echo) as (notes, connect, _):
        for _ in range(2):
            reader, writer = await connect()
            writer.write(b"*x\r\n no redis at all")
            assert await reader.readexactly(20) == b"*x\r\n no redis at all"
    assert [phase for phase, _ in notes.records] == ["plain"]
    assert "no Redis length" in notes.records[0][1]["error"]


async def test_a_mistake_of_the_taps_own_is_recorded_and_ends_the_connection(monkeypatch) -> None:
    """A system that met it met something that no fault did: the run is unknown."""

    def wrong(*_):
        raise AssertionError("no exchange")

    monkeypatch.setattr(connection.Connection, "_request", wrong)
    async with tapped(redis) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(SET)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read(1) == b""
        while not notes.records:
            await asyncio.sleep(0.01)
    assert [(phase, fields["error"]) for phase, fields in notes.records] == [
        ("failed", "AssertionError: no exchange")
    ]


async def test_a_message_of_64_mib_passes_in_bounded_memory(kept) -> None:
    size, got = 64 << 20, 0

    async def serve(reader, writer):
        nonlocal got
        while data := await reader.read(1 << 20):
            got += len(data)
            await asyncio.sleep(0)
            if got > size:
                writer.write(b"+OK\r\n")

    head = b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" % size
    async with tapped(serve, trigger=trigger(pattern="NEVER")) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(head)
        for _ in range(64):
            writer.write(bytes(1 << 20))
            await writer.drain()
        writer.write(b"\r\n")
        assert await reader.readexactly(5) == b"+OK\r\n"
    assert max(kept) < 1 << 20
    (told,) = [fields for phase, fields in notes.records if phase == "answered"]
    assert (told["command"], told["key"], told["size"]) == ("SET", "big", len(head) + size + 2)


async def test_a_server_that_does_not_read_stops_the_client() -> None:
    stop = asyncio.Event()

    async def serve(reader, writer):
        await stop.wait()

    async with tapped(serve) as (_, connect, _tap):
        _, writer = await connect()
        sent = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while True:
                    writer.write(b"x" * (1 << 16))
                    await writer.drain()
                    sent += 1 << 16
        stop.set()
    assert sent < 64 << 20


async def test_what_passed_is_recorded_without_values() -> None:
    async with tapped(redis) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(SET + GET)
        assert await reader.readexactly(12) == b"+OK\r\n$1\r\nv\r\n"
    assert notes.told() == [("answered", "SET", "claim"), ("answered", "GET", "k")]
    assert [fields["kind"] for _, fields in notes.records] == ["OK", "bulk"]
    assert "v" not in notes.records[1][1].values()


async def test_whether_a_claim_was_taken_and_given_back_is_recorded() -> None:
    """The number of any other reply is a value, and is not."""

    async def serve(reader, writer):
        await reader.readuntil(b";")
        writer.write(b"+OK\r\n:1\r\n:0\r\n:42\r\n")
        await reader.read()

    async with tapped(serve) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(b"SET k v nx ex 60\r\nDEL k\r\nUNLINK k\r\nINCR ;\r\n")
        await reader.readexactly(18)
        while len(notes.records) < 4:
            await asyncio.sleep(0.01)
    assert [(one["command"], one["options"], one["changed"]) for _, one in notes.records] == [
        ("SET", "NX EX", None),
        ("DEL", None, 1),
        ("UNLINK", None, 0),
        ("INCR", None, None),
    ]


async def test_at_a_reply_the_dependency_has_answered_and_the_service_has_not_seen_it() -> None:
    answered = asyncio.Event()

    async def serve(reader, writer):
        await reader.readexactly(len(GET))
        writer.write(b"$1\r\nv\r\n")
        await reader.readexactly(len(SET))
        writer.write(b"+OK\r\n")
        answered.set()
        await reader.read(1)

    met = trigger("reply")
    async with tapped(serve, trigger=met) as (_, connect, _tap):
        reader, writer = await connect()
        writer.write(GET + SET)
        held = await met.met()
        assert (held.what, held.link, held.waiting) == ("the reply to SET claim", "consumer#1->redis", True)
        await answered.wait()
        assert await reader.readexactly(7) == b"$1\r\nv\r\n", "what stands before it has passed"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        held.release()
        assert await reader.readexactly(5) == b"+OK\r\n"


async def test_at_a_request_the_dependency_has_not_got_it() -> None:
    got = b""

    async def serve(reader, writer):
        nonlocal got
        while data := await reader.read(100):
            got += data

    met = trigger()
    async with tapped(serve, trigger=met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(GET + SET)
        held = await met.met()
        await asyncio.sleep(0.2)
        assert got == GET
        held.release()
        while got != GET + SET:
            await asyncio.sleep(0.01)


async def test_while_a_reply_is_held_no_request_of_its_connection_moves_and_others_do() -> None:
    got = b""

    async def serve(reader, writer):
        nonlocal got
        while data := await reader.read(1000):
            got += data
            writer.write(b"+OK\r\n")

    met = trigger("reply", nth=1)
    async with tapped(serve, trigger=met) as (_, connect, _tap):
        reader, writer = await connect()
        writer.write(SET)
        held = await met.met()
        writer.write(GET)
        other, others = await connect()
        others.write(b"PING\r\n")
        assert await other.readexactly(5) == b"+OK\r\n"
        assert got == SET + b"PING\r\n"
        held.release()
        assert await reader.readexactly(10) == b"+OK\r\n+OK\r\n"
    assert got == SET + b"PING\r\n" + GET


async def test_a_request_whose_key_is_still_to_come_waits_only_while_a_trigger_is_armed() -> None:
    got = b""

    async def serve(reader, writer):
        nonlocal got
        while data := await reader.read(1000):
            got += data

    async with tapped(serve, trigger=trigger()) as (_, connect, tap):
        _, writer = await connect()
        writer.write(GET + SET[:20])
        await asyncio.sleep(0.2)
        assert got == GET
        tap.triggers = ()
        writer.write(SET[20:])
        while got != GET + SET:
            await asyncio.sleep(0.01)
        writer.write(SET[:20])
        while got != GET + SET + SET[:20]:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("asked", [True, False])
async def test_a_reply_of_the_taps_own_does_not_stand_inside_of_another(asked) -> None:
    go_on = asyncio.Event()
    begins, ends = (b"$4\r\nab", b"cd\r\n") if asked else (b">1\r\n$4\r\nab", b"cd\r\n")

    async def serve(reader, writer):
        if asked:
            await reader.readexactly(len(GET))
        writer.write(begins)
        await go_on.wait()
        writer.write(ends)
        await reader.read(1)

    met = trigger()
    async with tapped(serve, trigger=met) as (_, connect, _tap):
        reader, writer = await connect()
        if asked:
            writer.write(GET)
        assert await reader.readexactly(len(begins)) == begins
        writer.write(SET)
        (await met.met()).refuse("OOM")
        await asyncio.sleep(0.1)
        go_on.set()
        assert await reader.readexactly(len(ends)) == ends
        assert (await reader.readline()).startswith(b"-OOM ")


async def test_it_is_said_that_the_service_has_given_up() -> None:
    met = trigger("reply")
    async with tapped(redis, trigger=met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(SET)
        held = await met.met()
        writer.close()
        while held.waiting:
            await asyncio.sleep(0.01)
        held.release()


@pytest.mark.parametrize("side", ["request", "reply"])
async def test_it_is_known_at_once_that_the_service_has_given_up(side) -> None:
    """Though the tap reads nothing of a connection on which it holds a request, or has not had its turn."""
    met = trigger(side)
    async with tapped(redis, trigger=met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(SET)
        held = await met.met()
        assert held.waiting
        writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        assert not held.waiting, "the loop that both run in has done nothing since"
        held.release()


@pytest.mark.parametrize("close", [True, False])
async def test_a_lost_reply_was_executed_and_is_never_heard(close) -> None:
    met = trigger("reply")
    async with tapped(redis, trigger=met) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(GET + SET + GET)
        (await met.met()).lose(close=close)
        assert await reader.readexactly(7) == b"$1\r\nv\r\n"
        if close:
            assert await reader.read() == b""
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
    assert ("lost_reply", "SET", "claim") in notes.told()


@pytest.mark.parametrize("close", [True, False])
async def test_a_lost_request_was_never_executed_and_those_before_it_are_answered(close) -> None:
    got = b""

    async def serve(reader, writer):
        nonlocal got
        while data := await reader.read(1000):
            got += data
            await asyncio.sleep(0.2)
            writer.write(b"$1\r\nv\r\n")

    met = trigger()
    async with tapped(serve, trigger=met) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(GET + SET + GET)
        (await met.met()).lose(close=close)
        assert await reader.readexactly(7) == b"$1\r\nv\r\n"
        if close:
            assert await reader.read() == b""
        else:
            writer.write(GET)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
    assert got == GET
    assert notes.told()[:2] == [("answered", "GET", "k"), ("lost_request", "SET", "claim")]


@pytest.mark.parametrize("whole", [True, False])
async def test_an_error_stands_in_the_order_of_the_replies(whole) -> None:
    got = b""

    async def serve(reader, writer):
        nonlocal got
        for _ in range(2):
            got += await reader.readexactly(len(GET))
            await asyncio.sleep(0.1)
            writer.write(b"$1\r\nv\r\n")

    met = trigger()
    async with tapped(serve, trigger=met) as (notes, connect, _):
        reader, writer = await connect()
        if whole:
            writer.write(GET + SET + GET)
        else:
            writer.write(GET + SET[:-4])
        held = await met.met()
        held.refuse("READONLY")
        if not whole:
            writer.write(SET[-4:] + GET)
        assert (await reader.readexactly(7)) == b"$1\r\nv\r\n"
        assert (await reader.readline()).startswith(b"-READONLY ")
        assert (await reader.readexactly(7)) == b"$1\r\nv\r\n"
    assert got == GET + GET
    assert ("refused", "SET", "claim") in notes.told()


async def test_an_error_stands_before_a_reply_of_which_only_the_beginning_has_come() -> None:
    """The reply before it and the beginning of the one behind it come in the same bytes."""
    go_on = asyncio.Event()

    async def serve(reader, writer):
        await reader.readexactly(2 * len(GET))
        writer.write(b"$1\r\nv\r\n$")
        await go_on.wait()
        writer.write(b"1\r\nw\r\n")
        await reader.read(1)

    met = trigger()
    async with tapped(serve, trigger=met) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(GET + SET + GET)
        (await met.met()).refuse("OOM")
        assert await reader.readexactly(7) == b"$1\r\nv\r\n"
        assert (await reader.readline()).startswith(b"-OOM ")
        go_on.set()
        assert await reader.readexactly(7) == b"$1\r\nw\r\n"
    assert [phase for phase, _ in notes.records] == ["answered", "refused", "answered"]


async def test_a_request_that_had_begun_to_pass_when_a_trigger_was_armed_is_not_its_own() -> None:
    """To refuse it would leave the dependency with half a request, and the next one behind it."""
    got = b""

    async def serve(reader, writer):
        nonlocal got
        while data := await reader.read(1000):
            got += data
            if got.endswith(SET):
                writer.write(b"+OK\r\n")

    met = trigger()
    async with tapped(serve) as (notes, connect, tap):
        reader, writer = await connect()
        writer.write(SET[:20])
        while got != SET[:20]:
            await asyncio.sleep(0.01)
        tap.triggers = (met,)
        writer.write(SET[20:])
        assert await reader.readexactly(5) == b"+OK\r\n"
        writer.write(SET)
        (await met.met()).refuse("OOM")
        assert (await reader.readline()).startswith(b"-OOM ")
        assert met.counted == 1
    assert got == SET
    assert [phase for phase, _ in notes.records] == ["answered", "refused"]


async def test_a_reply_that_had_begun_to_pass_when_a_trigger_was_armed_is_not_its_own() -> None:
    """An error behind the beginning of another reply is none."""
    go_on = asyncio.Event()

    async def serve(reader, writer):
        await reader.readexactly(len(SET))
        writer.write(b"+O")
        await go_on.wait()
        writer.write(b"K\r\n")
        await reader.readexactly(len(SET))
        writer.write(b"+OK\r\n")
        await reader.read()

    met = trigger("reply")
    async with tapped(serve) as (notes, connect, tap):
        reader, writer = await connect()
        writer.write(SET)
        assert await reader.readexactly(2) == b"+O"
        tap.triggers = (met,)
        go_on.set()
        assert await reader.readexactly(3) == b"K\r\n"
        writer.write(SET)
        (await met.met()).refuse("OOM")
        assert (await reader.readline()).startswith(b"-OOM ")
    assert [phase for phase, _ in notes.records] == ["answered", "refused_reply"]


async def test_a_reply_is_replaced_by_an_error() -> None:
    met = trigger("reply")
    async with tapped(redis, trigger=met) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(SET + GET)
        (await met.met()).refuse("LOADING")
        assert (await reader.readline()).startswith(b"-LOADING ")
        assert (await reader.readexactly(7)) == b"$1\r\nv\r\n"
    assert ("refused_reply", "SET", "claim") in notes.told()


async def test_an_http_request_is_refused_and_the_connection_goes_on() -> None:
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    met = trigger(pattern="POST /v1/*")
    async with tapped(serve, "http", met) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(b"POST /v1/content HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        (await met.met()).refuse("503")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        writer.write(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert notes.told() == [("refused", "POST", "/v1/content"), ("answered", "GET", "/a")]


async def test_a_tap_answers_in_the_place_of_one_whose_successor_is_answered_at_once() -> None:
    """The reply to what stands behind a refused request comes in the same bytes as the one before it."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\naa" * 2)

    met = trigger(pattern="HEAD *")
    async with tapped(serve, "http", met) as (notes, connect, tap):
        reader, writer = await connect()
        ask = b"%b / HTTP/1.1\r\nHost: h\r\n\r\n"
        writer.write(ask % b"GET" + ask % b"HEAD" + ask % b"GET")
        (await met.met()).refuse("503")
        for status in (b"200", b"503", b"200"):
            assert status in await reader.readuntil(b"\r\n\r\n")
            if status == b"200":
                assert await reader.readexactly(2) == b"aa"
        assert not tap.plain
    assert [phase for phase, _ in notes.records] == ["answered", "refused", "answered"]


async def test_behind_a_subscription_nothing_is_an_answer() -> None:
    subscribe = b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n"

    async def serve(reader, writer):
        await reader.readexactly(len(subscribe) + 6)
        writer.write(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n")
        await reader.read(1)

    async with tapped(serve) as (notes, connect, tap):
        reader, writer = await connect()
        writer.write(subscribe + b"PING\r\n")
        await reader.readuntil(b"m\r\n")
        assert not tap.plain
        writer.write(b"PING\r\n")
        writer.close()
        while len(notes.records) < 3:
            await asyncio.sleep(0.01)
    became = [("answered", "SUBSCRIBE", "c"), ("sent", "PING", None), ("unanswered", "PING", None)]
    assert notes.told() == became, "the message answers no PING"


async def test_a_dependency_that_is_down_ends_the_connection() -> None:
    async with tapped(redis) as (_, connect, tap):
        tap._upstream = "127.0.0.1:1"
        reader, _ = await connect()
        with suppress(OSError):
            assert await reader.read() == b""


async def test_a_connection_that_is_reset_is_reset_on_the_other_side() -> None:
    lost = asyncio.Event()

    async def serve(reader, writer):
        await reader.readexactly(len(SET))
        writer.transport.abort()
        lost.set()

    async with tapped(serve) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(SET)
        await lost.wait()
        with suppress(OSError):
            assert await reader.read() == b""
        writer.close()
        while not notes.records:
            await asyncio.sleep(0.01)
    assert notes.told() == [("unanswered", "SET", "claim")]


async def test_what_passes_of_kafka_is_recorded() -> None:
    async with tapped(kafka, "kafka") as (notes, connect, _):
        reader, writer = await connect()
        writer.write(commit(1) + produce(2, acks=0) + produce(3))
        assert await reader.readexactly(len(committed() + produced())) == committed(1) + produced(3)
    sent, commits, answered = notes.records
    assert notes.told() == [
        ("sent", "Produce", "essays"),
        ("answered", "OffsetCommit", "essay_lifecycle"),
        ("answered", "Produce", "essays"),
    ]
    assert commits[1]["places"] == [("essays", 0, 5), ("essays", 1, 5)]
    assert [fields["kind"] for _, fields in (sent, commits, answered)] == [None, "ok", "ok"]


async def test_a_commit_of_nothing_is_told_from_one_of_which_nothing_is_known() -> None:
    async with tapped(kafka, "kafka") as (notes, connect, _):
        reader, writer = await connect()
        writer.write(commit(1, partitions=0) + commit(2, partitions=MOST_PLACES))
        await reader.readexactly(2 * len(committed()))
    assert [fields["places"] for _, fields in notes.records] == [[], None]


@pytest.mark.parametrize("side", ["request", "reply"])
async def test_an_error_of_kafka_answers_that_very_request(side) -> None:
    met = trigger(side, "OffsetCommit essay_lifecycle", nth=2)
    async with tapped(kafka, "kafka", met) as (notes, connect, tap):
        reader, writer = await connect()
        writer.write(b"".join(map(commit, range(1, 5))))
        (await met.met()).refuse("NOT_COORDINATOR")
        answers = [await received(reader, "OffsetCommit", 8) for _ in range(4)]
        assert not tap.plain
    assert [number for number, _ in answers] == [1, 2, 3, 4]
    said = [
        [(part.partition_index, part.error_code) for topic in entity.topics for part in topic.partitions]
        for _, entity in answers
    ]
    assert said == [[], [(0, 16), (1, 16)], [], []]
    became = "refused" if side == "request" else "refused_reply"
    assert sorted(phase for phase, _ in notes.records) == ["answered"] * 3 + [became]


async def test_an_error_waits_for_the_rest_of_a_produce() -> None:
    got = b""

    async def serve(reader, writer):
        nonlocal got
        while data := await reader.read(1 << 16):
            got += data
            writer.write(committed(3))

    met = trigger(pattern="Produce essays")
    async with tapped(serve, "kafka", met) as (notes, connect, tap):
        reader, writer = await connect()
        data = produce(2, records=b"x" * (3 << 20))
        writer.write(data[:1000])
        (await met.met()).refuse("NOT_LEADER_OR_FOLLOWER")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        writer.write(data[1000:])
        number, entity = await received(reader, "Produce", 9)
        assert (number, [part.error_code for part in entity.responses[0].partition_responses]) == (2, [6, 6])
        writer.write(commit(3))
        assert await reader.readexactly(len(committed())) == committed(3)
        assert not tap.plain
    assert got == commit(3), "the broker has seen nothing of it"
    assert ("refused", "Produce", "essays") in notes.told()


async def test_a_produce_of_64_mib_passes_in_bounded_memory(kept) -> None:
    got, data = 0, produce(2, records=bytes(32 << 20))

    async def serve(reader, writer):
        nonlocal got
        while chunk := await reader.read(1 << 20):
            got += len(chunk)
            if got == len(data):
                writer.write(produced(2))

    async with tapped(serve, "kafka", trigger(pattern="EndTxn")) as (notes, connect, _):
        reader, writer = await connect()
        for at in range(0, len(data), 1 << 20):
            writer.write(data[at : at + (1 << 20)])
            await writer.drain()
        assert await reader.readexactly(len(produced(2))) == produced(2)
    assert max(kept) < 1 << 20
    assert notes.told() == [("answered", "Produce", "essays")]


async def test_a_produce_that_nobody_answers_cannot_be_refused() -> None:
    met = trigger(pattern="Produce *")
    async with tapped(kafka, "kafka", met) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(produce(1, acks=0) + commit(2))
        held = await met.met()
        with pytest.raises(FaultError, match="acks=0"):
            held.refuse("NOT_LEADER_OR_FOLLOWER")
        held.release()
        assert await reader.readexactly(len(committed())) == committed(2)
    assert notes.told()[0] == ("sent", "Produce", "essays")


async def test_a_lost_commit_was_executed_and_those_before_it_are_answered() -> None:
    met = trigger("reply", "OffsetCommit *", nth=2)
    async with tapped(kafka, "kafka", met) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(commit(1) + commit(2) + commit(3))
        (await met.met()).lose(close=True)
        assert await reader.read() == committed(1)
    assert [phase for phase, _ in notes.records] == ["answered", "lost_reply", "unanswered"]


async def test_a_lost_produce_that_nobody_answers_ends_its_connection() -> None:
    met = trigger(pattern="Produce *")
    async with tapped(kafka, "kafka", met) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(commit(1) + produce(2, acks=0) + commit(3))
        (await met.met()).lose(close=True)
        assert await reader.read() == committed(1)
    assert notes.told()[1] == ("lost_request", "Produce", "essays")
