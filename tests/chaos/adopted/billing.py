"""A consumer that bills each order once, in SQLite or Postgres: what a suite with testcontainers has. It knows nothing of us.

A database is a file, or what psycopg connects to.

``flaw="setnx"``: it takes a key in Redis for the proof that the order was billed.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import psycopg
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

CLOSING = "closing"
LEAVES_WITHIN = 20.0


def read(value: bytes) -> Any:
    """Read an order: JSON, or JSON written backwards."""
    return orjson.loads(value[::-1] if value.endswith(b"{") else value)


def backwards(order: object) -> bytes:
    """Write an order backwards."""
    return orjson.dumps(order)[::-1]


def prepare(database: Path | str) -> None:
    """Create the tables."""
    if isinstance(database, str):
        with psycopg.connect(database) as connected:
            connected.execute("DROP TABLE IF EXISTS billed, bills")
            connected.execute("CREATE TABLE billed (event_id TEXT PRIMARY KEY)")
            connected.execute("CREATE TABLE bills (number SERIAL PRIMARY KEY, event_id TEXT)")
        return
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE billed (event_id TEXT PRIMARY KEY)")
        connection.execute("CREATE TABLE bills (number INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT)")
        connection.commit()


def bills(database: Path | str) -> list[dict[str, object]]:
    """Every bill: ``id`` is its event's, ``effect`` its own number."""
    with closing(psycopg.connect(database) if isinstance(database, str) else sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT event_id, number FROM bills").fetchall()
    return [{"id": event_id, "effect": number} for event_id, number in rows]


def bill(database: Path | str, event_id: str, *, once: bool) -> None:
    """Write a bill; ``once``: unless the database says that there is one."""
    if isinstance(database, str):
        # A commit that fails leaves psycopg's own block with the connection open.
        with closing(psycopg.connect(database, connect_timeout=2)) as connected, connected:
            done = connected.execute("INSERT INTO billed VALUES (%s) ON CONFLICT DO NOTHING", [event_id])
            if done.rowcount or not once:
                connected.execute("INSERT INTO bills (event_id) VALUES (%s)", [event_id])
        return
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        cursor = connection.execute("INSERT OR IGNORE INTO billed VALUES (?)", [event_id])
        if cursor.rowcount or not once:
            connection.execute("INSERT INTO bills (event_id) VALUES (?)", [event_id])


async def consume(kafka: str, redis: str, topic: str, group: str, *, database: Path | str, flaw: str) -> None:
    """Take part in the group until something fails."""
    host, _, port = redis.rpartition(":")
    store = Redis(host=host, port=int(port), socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0))
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        request_timeout_ms=5000,
        rebalance_timeout_ms=5000,
        session_timeout_ms=6000,
    )
    try:
        await consumer.start()
        async for record in consumer:
            event_id = str(read(record.value or b"")["id"])
            new = await store.set(f"{group}:{event_id}", "billed", nx=True)
            if flaw != "setnx" or new:
                await asyncio.to_thread(bill, database, event_id, once=flaw != "setnx")
            await consumer.commit()
    finally:
        await asyncio.shield(asyncio.create_task(ended(consumer, store), name=CLOSING))


async def ended(consumer: AIOKafkaConsumer, store: Redis) -> None:
    """Close both; neither a cancellation that comes meanwhile nor a broker that is away keeps either open."""
    try:
        async with asyncio.timeout(LEAVES_WITHIN):
            await consumer.stop()
    finally:
        try:
            await consumer._client.close()
        finally:
            await store.aclose()


async def keep_on(*words: str, database: Path | str, flaw: str) -> None:
    """Consume, and begin again after any error, until cancelled."""
    while True:
        with suppress(KafkaError, RedisError, psycopg.Error, OSError):
            await consume(*words, database=database, flaw=flaw)
        await asyncio.sleep(0.1)


@contextmanager
def billing(
    *, kafka: str, redis: str, database: Path | str, topic: str = "orders", group: str = "billing", flaw: str = ""
) -> Iterator[None]:
    """Bill in a thread while the scope lasts."""
    loop = asyncio.new_event_loop()
    work = loop.create_task(keep_on(kafka, redis, topic, group, database=database, flaw=flaw))

    def serve() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(work)
        if closing := [task for task in asyncio.all_tasks(loop) if task.get_name() == CLOSING]:
            loop.run_until_complete(asyncio.wait(closing))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(work.cancel)
        thread.join()


if __name__ == "__main__":
    asyncio.run(keep_on(*sys.argv[1:5], database=Path(sys.argv[5]), flaw=""))
