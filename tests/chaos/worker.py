"""Talks to Redis, Kafka and a peer all the time while it is busy, and holds no connection while it is idle.

It is busy while the file BUSY is there. Any GET says that it is ready. Every part starts again after any error.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

PAUSE = 0.02
EFFECTS = Path(os.environ["BUSY"]).with_name("effects")
"""A line for each record that was consumed, written before its offset is committed: its partition and offset."""


async def redis(busy: asyncio.Event) -> None:
    """SET and GET over one connection."""
    host, _, port = os.environ["REDIS"].partition(":")
    client = Redis(
        host=host, port=int(port), socket_timeout=1, single_connection_client=True, retry=Retry(NoBackoff(), 0)
    )
    try:
        while busy.is_set():
            await client.set("worker", "busy")
            await client.get("worker")
            await asyncio.sleep(PAUSE)
    finally:
        await client.aclose()


async def produce(busy: asyncio.Event) -> None:
    """Publish one record after the other."""
    producer = AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA"], request_timeout_ms=2000)
    try:
        await producer.start()
        # In a container every process has the same id, and a replica is busy more than once.
        number, own = 0, os.urandom(6).hex().encode()
        while busy.is_set():
            number += 1
            value = b'{"event_id": "%s-%d", "event_type": "work"}' % (own, number)
            await producer.send_and_wait(os.environ["TOPIC"], value, partition=number % 4)
            await asyncio.sleep(PAUSE)
    finally:
        await producer.stop()


async def consume(busy: asyncio.Event) -> None:
    """Take part in the group and commit after each batch."""
    consumer = AIOKafkaConsumer(
        os.environ["TOPIC"],
        bootstrap_servers=os.environ["KAFKA"],
        group_id=os.environ["GROUP"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=1500,
        heartbeat_interval_ms=300,
        request_timeout_ms=2000,
        rebalance_timeout_ms=3000,
        fetch_max_wait_ms=250,
    )
    try:
        await consumer.start()
        while busy.is_set():
            if batches := await consumer.getmany(timeout_ms=100):
                lines = [f"{at.partition} {one.offset}\n" for at, batch in batches.items() for one in batch]
                with EFFECTS.open("ab", buffering=0) as effects:  # at once, beside the other worker's
                    effects.write("".join(lines).encode())
                await consumer.commit()
    finally:
        await consumer.stop()


async def ask(busy: asyncio.Event) -> None:
    """GET over one connection that is kept."""
    host, _, port = os.environ["PEER"].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        while busy.is_set():
            writer.write(b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n")
            async with asyncio.timeout(1):
                await reader.readuntil(b"ok\n")
            await asyncio.sleep(PAUSE)
    finally:
        writer.close()


async def for_ever(part, busy: asyncio.Event) -> None:
    """A part, again and again while there is work."""
    while True:
        await busy.wait()
        with suppress(OSError, EOFError, TimeoutError, RedisError, KafkaError):
            await part(busy)
        await asyncio.sleep(PAUSE)


async def switch(file: Path, busy: asyncio.Event) -> None:
    """Work while the file is there."""
    while True:
        if await asyncio.to_thread(file.exists):
            busy.set()
        else:
            busy.clear()
        await asyncio.sleep(PAUSE)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
        await writer.drain()
    writer.close()


async def main() -> None:
    """Listen for ever."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]))
    busy = asyncio.Event()
    async with server, asyncio.TaskGroup() as tasks:
        for part in (redis, produce, consume, ask):
            tasks.create_task(for_ever(part, busy))
        tasks.create_task(switch(Path(os.environ["BUSY"]), busy))


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(main())
