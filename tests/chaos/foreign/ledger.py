"""A consumer of the shop's orders that names no event: each order leaves something else behind, by what it KEEPS.

    rows       a row in a table, with the order's number and a number of its own
    records    a record on a topic, in Avro, with the order's number as its key
    elements   an element of a list in Redis: the order's number
    files      a file in FOLDER, whose name has the order's number and something of its own
    balance    nothing but a sum: the order's amount is added to its account

What a row or a balance is kept for is one transaction with the inbox; the rest follows it. FLAW ``forgets`` leaves the inbox
out, so that an order that comes again is one more order. Without a PORT it is a worker that has no HTTP endpoint.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sqlite3
from contextlib import AsyncExitStack, suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError
from order_avro import encode  # type: ignore[import-not-found]  # beside this file, where it is run
from redis.asyncio import Redis

KEEPS, FLAW = os.environ["KEEPS"], os.environ["FLAW"]
store = Redis.from_url(f"redis://{os.environ.get('REDIS', '')}")
FOLDER = Path(os.environ.get("FOLDER", "."))
FOLDER.mkdir(exist_ok=True)
TABLES = """
CREATE TABLE IF NOT EXISTS inbox (event TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS bills (number INTEGER PRIMARY KEY AUTOINCREMENT, order_number TEXT);
CREATE TABLE IF NOT EXISTS accounts (account TEXT PRIMARY KEY, cents INTEGER);
INSERT OR IGNORE INTO accounts VALUES ('acc-1', 100000), ('acc-2', -50);
"""


async def answer(database: sqlite3.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer any request with all bills."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        await reader.readuntil(b"\r\n\r\n")
        bills = [
            {"number": number, "order": order}
            for number, order in database.execute("SELECT number, order_number FROM bills")
        ]
        body = json.dumps({"count": len(bills), "bills": bills}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
        await writer.drain()
    writer.close()


async def keep(database: sqlite3.Connection, producer: AIOKafkaProducer, event) -> None:
    """Leave behind what an order leaves, once."""
    order = event["data"]
    with database as change:
        if (
            FLAW != "forgets"
            and not change.execute("INSERT OR IGNORE INTO inbox VALUES (?)", (event["id"],)).rowcount
        ):
            return
        if KEEPS == "rows":
            change.execute("INSERT INTO bills (order_number) VALUES (?)", (order["order"],))
        elif KEEPS == "balance":
            change.execute("INSERT OR IGNORE INTO accounts VALUES (?, 0)", (order["account"],))
            added = int(Decimal(str(order["amount"])) * 100)
            change.execute("UPDATE accounts SET cents = cents + ? WHERE account = ?", (added, order["account"]))
    if KEEPS == "elements":
        await store.rpush(os.environ["BILLS"], order["order"])
    if KEEPS == "files":
        bill = FOLDER / f"{order['order']}.{uuid4()}.part"
        bill.write_text("paid")
        bill.rename(bill.with_suffix(".txt"))
    if KEEPS == "records":
        await producer.send_and_wait(os.environ["BILLED"], encode(event), key=order["order"].encode())


async def main() -> None:
    """Work until SIGTERM."""
    loop, whole = asyncio.get_running_loop(), asyncio.current_task()
    loop.add_signal_handler(signal.SIGTERM, whole.cancel)
    database = sqlite3.connect(os.environ["DATABASE"])
    database.executescript(TABLES)
    consumer = AIOKafkaConsumer(
        os.environ["ORDERS"],
        bootstrap_servers=os.environ["KAFKA"],
        group_id=os.environ["GROUP"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=250,
    )
    async with AsyncExitStack() as works:
        producer = await works.enter_async_context(AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA"]))
        await works.enter_async_context(consumer)
        if port := os.environ.get("PORT"):
            serving = asyncio.start_server(partial(answer, database), "127.0.0.1", int(port))
            await works.enter_async_context(await serving)
        logging.getLogger("ledger").warning("reading %s", os.environ["ORDERS"])
        async for record in consumer:
            await keep(database, producer, json.loads(record.value))
            with suppress(CommitFailedError):  # it was taken away, and comes again
                await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    with suppress(asyncio.CancelledError):
        asyncio.run(main())
