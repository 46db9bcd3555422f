"""A tap between a client and a server on real sockets, and servers that speak what passes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

from kio.serial import entity_reader

from harness.taps.proxy import Tap
from harness.taps.trigger import Trigger
from tests.standin import StandIn
from tests.unit.taps.kafka_frames import KEYS, kind_of, made, reply, request

LONG = 20.0
SET = b"*3\r\n$3\r\nSET\r\n$5\r\nclaim\r\n$1\r\n1\r\n"
GET = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"


class Notes(StandIn):
    def __init__(self):
        self.records = []

    def now(self):
        return len(self.records)

    def record(self, op, phase, actor, **fields):
        self.records.append((phase, fields))
        return len(self.records)

    def told(self):
        return [(phase, fields.get("command"), fields.get("key")) for phase, fields in self.records]


@asynccontextmanager
async def tapped(serve, protocol="redis", trigger=None):
    """A tap before a server that is ``serve(reader, writer)``; yields its notes and a way to connect."""

    async def served(reader, writer):
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    free = await asyncio.start_server(served, "127.0.0.1", 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    await free.wait_closed()
    notes = Notes()
    upstream = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tap = Tap("consumer#1->redis", protocol, f"127.0.0.1:{port}", upstream, notes)
    tap.triggers = (trigger,) if trigger is not None else ()
    await tap.open()
    ends = []

    async def connect():
        end = await asyncio.open_connection("127.0.0.1", port)
        ends.append(end[1])
        return end

    try:
        async with asyncio.timeout(LONG):
            yield notes, connect, tap
    finally:
        for end in ends:
            end.close()
        await tap.close()
        await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)
        server.close()
        others = [task for task in asyncio.all_tasks() if task.get_coro().__name__ == "served"]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)


def trigger(side="request", pattern="SET *", **more):
    return Trigger(side=side, patterns=[pattern], links=["consumer#1->redis"], **more)


async def redis(reader, writer):
    """Answer each SET with OK and each GET with a bulk string."""
    data = b""
    while chunk := await reader.read(1 << 16):
        data += chunk
        while True:
            if data.startswith(SET):
                data = data.removeprefix(SET)
                writer.write(b"+OK\r\n")
            elif data.startswith(GET):
                data = data.removeprefix(GET)
                writer.write(b"$1\r\nv\r\n")
            else:
                break


def commit(number=1, partitions=2):
    parts = [{"partition_index": one, "committed_offset": 5} for one in range(partitions)]
    topics = [{"name": "essays", "partitions": parts}]
    return request(made("request", "OffsetCommit", 8, group_id="essay_lifecycle", topics=topics), number)


def committed(number=1):
    return reply(made("reply", "OffsetCommit", 8), number)


def produce(number=2, acks=-1, records=b"x" * 100):
    parts = [{"index": 0, "records": records}, {"index": 1, "records": records}]
    return request(
        made("request", "Produce", 9, acks=acks, topic_data=[{"name": "essays", "partition_data": parts}]), number
    )


def produced(number=2):
    return reply(made("reply", "Produce", 9), number)


async def kafka(reader, writer):
    """Answer each request with an empty reply, unless it wants none."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            data = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            key, number = int.from_bytes(data[:2], "big"), int.from_bytes(data[4:8], "big")
            if key != KEYS["Produce"]:
                writer.write(committed(number))
            elif data[15:17] != b"\0\0":  # acks
                writer.write(produced(number))


async def received(reader, api, version):
    """A reply's number, and itself as kio reads it."""
    data = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
    header = 5  # with its tagged fields: none
    return int.from_bytes(data[:4], "big"), entity_reader(kind_of("reply", KEYS[api], version))(data, header)[0]
