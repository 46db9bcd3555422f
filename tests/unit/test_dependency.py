"""A server of any kind can be described: how it starts, and how to ask whether it is there."""

import asyncio

import pytest
from pydantic import ValidationError

from harness.clients.probes import Prober
from harness.dependency import Dependency, Ping, octets
from harness.taps import TABLE

PING = {"send": r"version\r\n", "answer": "VERSION"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "tcp"}, r"ping: write what to send and what the answer holds, such as {send: 'version\r\n', "),
        ({"kind": "tcp", "ping": {"send": "x"}}, "Field required"),
        ({"kind": "tcp", "ping": {"answer": ""}}, "write what it must contain"),
        ({"kind": "tcp", "ping": {"answer": "\u20ac"}}, "write bytes beyond ASCII as"),
        ({"kind": "tcp", "ping": {"answer": r"\e"}}, r"\e is no escape"),
        ({"kind": "tcp", "ping": {"answer": "\\"}}, "is no escape"),
        ({"kind": "tcp", "ping": PING, "command": "memcached"}, "it must listen on {port}"),
        ({"kind": "tcp", "ping": PING, "image": "memcached:1.6"}, "it must listen on {port}"),
        ({"kind": "tcp", "ping": PING, "command": "memcached -p {port} {redis}"}, "{redis} is unknown"),
        ({"kind": "tcp", "ping": PING, "command": "memcached '-p {port}"}, "not a command"),
        ({"kind": "tcp", "ping": PING, "config": {"maxmemory": "1mb"}}, "config: a dependency of kind tcp has none"),
        ({"kind": "tcp", "ping": PING, "topics": {"orders": 1}}, "topics: a dependency of kind tcp has none"),
        ({"kind": "redis", "command": "redis-server --port {port}"}, "command: only a dependency of kind tcp"),
        ({"kind": "tcp", "ping": PING, "speaks": "kafka"}, "Input should be 'http', "),
        ({"kind": "redis", "speaks": "redis"}, "speaks: only a dependency of kind tcp"),
        ({"ping": PING}, "ping: only a dependency of kind tcp"),
    ],
)
def test_what_does_not_fit_is_refused(fields, says) -> None:
    with pytest.raises(ValidationError) as refused:
        Dependency.model_validate(fields)
    assert says in str(refused.value)


def test_one_that_runs_elsewhere_needs_a_ping_only() -> None:
    assert Dependency.model_validate({"kind": "tcp", "ping": PING}).ping == Ping(
        send=r"version\r\n", answer="VERSION"
    )


def test_it_may_speak_any_protocol_that_taps_read_but_kafkas() -> None:
    for spoken in TABLE.keys() - {"kafka"}:
        assert Dependency.model_validate({"kind": "tcp", "ping": PING, "speaks": spoken}).speaks == spoken


def test_escapes_are_bytes() -> None:
    assert octets(r"AMQP\0\0\x09\xff\\r\t") == b"AMQP\0\0\t\xff\\r\t"


@pytest.mark.parametrize("fields", [{"topics": {"orders": 1}}, {"config": {"a": "b"}}, {"kind": "tcp", "ping": PING}])
def test_one_that_is_written_with_all_its_fields_is_the_same(fields) -> None:
    dependency = Dependency.model_validate(fields)
    assert Dependency.model_validate(dependency.model_dump()) == dependency


def test_a_ping_that_is_written_and_read_again_is_the_same() -> None:
    ping = Ping(send=r"\xff\\r\n", answer="x")
    assert Ping.model_validate(ping.model_dump()) == ping


async def probed(serve, *, size=0, **ping):
    """The probe of a server that is ``serve(reader, writer)``, and how many connections it took."""
    connections = []

    async def served(reader, writer):
        connections.append(writer)
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        return await Prober(address, "tcp", ping=Ping(**ping)).probe(2.0, size), len(connections)
    finally:
        server.close()
        for writer in connections:
            writer.close()
        await asyncio.sleep(0)


async def echo(reader, writer):
    while data := await reader.read(100):
        writer.write(data)


async def greets(reader, writer):
    writer.write(b"220 ")
    await writer.drain()
    writer.write(b"ready\r\n")
    await reader.read()


async def silent(reader, writer):
    await reader.read()


async def ends(reader, writer):
    await reader.readline()
    writer.write(b"no")


async def test_it_is_there_if_it_answers_and_asked_again_for_more_bytes() -> None:
    probe, connections = await probed(echo, send=r"\x80PING\n", answer=r"\x80PING")
    assert (probe.answered, connections) == (True, 1)
    probe, connections = await probed(echo, send="PING\n", answer="PING", size=1000)
    assert (probe.answered, connections) == (True, 1)


async def test_one_that_speaks_first_is_sent_nothing_and_greets_once_a_connection() -> None:
    probe, connections = await probed(greets, answer="ready")
    assert (probe.answered, connections) == (True, 1)
    probe, connections = await probed(greets, answer="ready", size=30)
    assert (probe.answered, connections) == (True, 3)


@pytest.mark.parametrize(
    ("serve", "error"), [(silent, "no answer within 2 s"), (ends, "without b'PONG'"), (echo, "no answer within 2 s")]
)
async def test_any_other_answer_is_none(serve, error) -> None:
    probe, _ = await probed(serve, send="PING\n", answer="PONG")
    assert not probe.answered
    assert error in probe.error
