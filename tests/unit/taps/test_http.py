"""HTTP messages are found wherever the bytes are cut."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.taps.http import HttpParser
from harness.taps.message import NotUnderstood
from tests.unit.taps.spans import cut, seen
from tests.unit.taps.wired import tapped, trigger

EXCHANGES = [
    (
        b"GET /a?token=x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET",
        "/a",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "200",
    ),
    (
        b"POST /v1/content HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /",
        "POST",
        "/v1/content",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHTTP/\r\n0\r\n\r\n",
        "201",
    ),
    (
        b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "PUT",
        "/c",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        "204",
    ),
    (b"HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD", "/b", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", "200"),
]


@given(
    st.lists(st.sampled_from(EXCHANGES), max_size=6),
    st.lists(st.integers(0), max_size=12),
    st.lists(st.integers(0), max_size=12),
)
def test_messages_are_found_however_they_are_cut(exchanges, one, other) -> None:
    parser = HttpParser()
    asked = b"".join(each[0] for each in exchanges)
    requests = seen(parser.requests, cut(asked, one))
    assert [(message.command, message.key) for message in requests] == [(each[1], each[2]) for each in exchanges]
    assert [message.size for message in requests] == [len(each[0]) for each in exchanges]
    replies = seen(parser.replies, cut(b"".join(each[3] for each in exchanges), other))
    assert [message.kind for message in replies] == [each[4] for each in exchanges]
    assert [message.size for message in replies] == [len(each[3]) for each in exchanges]


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_arbitrary_bytes_are_read_or_refused(chunks) -> None:
    parser = HttpParser()
    for scanner in (parser.requests, parser.replies):
        try:
            for chunk in chunks:
                scanner.feed(chunk)
            scanner.finish()
        except NotUnderstood:
            continue


def test_an_interim_response_answers_nothing() -> None:
    parser = HttpParser()
    parser.requests.feed(EXCHANGES[0][0])
    interim, answer = parser.replies.feed(b"HTTP/1.1 100 Continue\r\n\r\n" + EXCHANGES[0][3])
    assert (interim.unasked, interim.kind) == (True, "100")
    assert (answer.unasked, answer.kind) == (False, "200")


def test_a_response_may_end_with_its_connection() -> None:
    parser = HttpParser()
    parser.requests.feed(EXCHANGES[0][0])
    (begun,) = parser.replies.feed(b"HTTP/1.1 200 OK\r\n\r\nwhat ")
    assert begun.end is None
    assert parser.replies.feed(b"follows") == []
    assert parser.replies.finish() == [begun]
    assert begun.size == len(b"HTTP/1.1 200 OK\r\n\r\nwhat follows")


@pytest.mark.parametrize("other", [b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", b"X" * 100_000])
def test_what_is_not_http_is_refused(other) -> None:
    with pytest.raises(NotUnderstood):
        HttpParser().requests.feed(other)


def test_another_protocol_behind_an_upgrade_is_refused() -> None:
    parser = HttpParser()
    parser.requests.feed(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    with pytest.raises(NotUnderstood):
        parser.replies.feed(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")


def in_time(work):
    """What ``work`` returns; in a thread, since a parser that never returns would stop the tests."""
    came = Future()

    def run():
        try:
            came.set_result(work())
        except Exception as error:  # noqa: BLE001 - the test gets it, whatever it is
            came.set_exception(error)

    Thread(target=run, daemon=True).start()
    return came.result(20)


CONNECT = b"CONNECT db:5432 HTTP/1.1\r\nHost: db\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


def test_a_tunnel_is_refused_and_a_refused_one_is_an_answer() -> None:
    parser = HttpParser()
    parser.requests.feed(CONNECT)
    with pytest.raises(NotUnderstood, match="another protocol"):
        in_time(lambda: parser.replies.feed(b"HTTP/1.1 200 Connection established\r\n\r\n"))
    parser = HttpParser()
    parser.requests.feed(CONNECT)
    (answer,) = parser.replies.feed(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
    assert (answer.kind, answer.end is not None) == ("502", True)


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        (CONNECT, b"HTTP/1.1 200 Connection established\r\n\r\n"),
        (UPGRADE, b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    ],
    ids=["a tunnel", "an upgrade"],
)
def test_what_follows_a_switch_of_protocols_passes_as_it_is(asked, agreed) -> None:
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(agreed)
        writer.write(await reader.readexactly(4))

    async def switched():
        async with tapped(serve, "http", trigger(pattern="NEVER")) as (notes, connect, _):
            reader, writer = await connect()
            writer.write(asked)
            assert await reader.readexactly(len(agreed)) == agreed
            writer.write(b"\0\1\2\3")
            assert await reader.readexactly(4) == b"\0\1\2\3"
        return [phase for phase, _ in notes.records]

    assert in_time(lambda: asyncio.run(switched()))[0] == "plain"


def test_a_refused_request_is_no_longer_waited_for() -> None:
    parser = HttpParser()
    refused, _ = parser.requests.feed(EXCHANGES[3][0] + EXCHANGES[0][0])
    parser.took(refused)
    (answer,) = parser.replies.feed(EXCHANGES[0][3])
    assert answer.size == len(EXCHANGES[0][3]), "the body is that of a GET, not of the HEAD before it"


@pytest.mark.parametrize("status", ["500", "502", "503", "429"])
def test_a_refusal_is_a_whole_response(status) -> None:
    parser = HttpParser()
    (request,) = parser.requests.feed(EXCHANGES[0][0])
    (answer,) = parser.replies.feed(parser.refusal(request, status)() or b"")
    assert (answer.kind, answer.end is not None) == (status, True)
