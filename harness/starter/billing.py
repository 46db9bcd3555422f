"""The consumer: bills each order once, however often its event is delivered."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError

TABLES = """
CREATE TABLE IF NOT EXISTS inbox (event_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS bills (number INTEGER PRIMARY KEY, event_id TEXT);
"""


class Ready(BaseHTTPRequestHandler):
    """Answers requests for readiness."""

    def do_GET(self) -> None:
        """Say that the consumer is ready."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing for a request."""


def bill(database: sqlite3.Connection, event: dict[str, Any]) -> None:
    """Write an order's bill, unless it has one: both rows are written in one transaction, or neither."""
    with suppress(sqlite3.IntegrityError), database:
        database.execute("INSERT INTO inbox VALUES (?)", (event["id"],))  # the dedupe line: delete it, and run again
        database.execute("INSERT INTO bills (event_id) VALUES (?)", (event["id"],))


async def consume(database: sqlite3.Connection) -> None:
    """Bill each order, and commit its offset only then: a consumer that dies in between gets it again."""
    consumer = AIOKafkaConsumer(
        os.environ["ORDERS"],
        bootstrap_servers=os.environ["KAFKA"],
        group_id=os.environ["GROUP"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=2000,
        heartbeat_interval_ms=500,
    )
    async with consumer:
        async for record in consumer:
            bill(database, json.loads(record.value))
            with suppress(CommitFailedError):  # another replica has the partition now, and gets the record again
                await consumer.commit(_after(record))


def _after(record: ConsumerRecord[Any, Any]) -> dict[TopicPartition, int]:
    return {TopicPartition(record.topic, record.partition): record.offset + 1}


async def main() -> None:
    """Consume until SIGTERM."""
    database = sqlite3.connect(os.environ["DATABASE"], timeout=30)
    database.executescript(TABLES)
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ready)
    Thread(target=server.serve_forever, daemon=True).start()
    work = asyncio.create_task(consume(database))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with suppress(asyncio.CancelledError):
        await work


if __name__ == "__main__":
    asyncio.run(main())
