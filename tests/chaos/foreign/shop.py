"""A service that shares no code with the harness or its reference: a front door, and the consumer of its events.

An order is a POST under an Idempotency-Key, or a PUT of JSON that holds its key: the front door keeps the key and the event's
id, publishes the event, and answers 202. The consumer writes its inbox and its effect in one transaction, and commits the
offset last. Each FLAW is one thing that is done in another way, wrong or only unusual:

    no_redis            Redis is never connected to
    never_subscribes    the consumer reads nothing
    own_offsets         the consumer assigns its partitions itself, keeps its offsets in SQLite, and commits none
    own_offsets_skips   the same, and every tenth event is passed over
    forwards_headers    each order is shipped: a follow-up, once whatever comes again, with the headers of its cause
    ships_twice         the same, but what a fault's header marks as published again has a follow-up of its own
    never_json          values have five bytes before their JSON, as schema registries put them
    named_by_order      an effect is named by the order's number, and another one of it takes its place
    uppercase           ids are in upper case on the topic, and in lower case in the table
    slow                the consumer takes a second for each event
    stuck               the consumer stops for ever at the tenth event
    claims_again        an order is claimed with SET NX, which the client sends again if no answer comes; what was not
                        granted is passed over
    releases_anothers   the same, with a client that sends once; and the claim is deleted, whether it was granted or not
    shelf_decides       an event is passed over unless the shelf, a server of another kind, says that it is new
    misplaces           what cannot be read is set aside as the record before it
    on_receipt          the consumer stores each order and commits its offset; a task applies what is stored, every two seconds
    on_receipt_in_mind  the same, but it keeps the orders in memory
    tells_first         each order is shipped and its offset committed before its effect, which at the tenth takes a while
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sqlite3
from contextlib import suppress
from email import message_from_string
from uuid import NAMESPACE_OID, uuid4, uuid5

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError
from order_avro import decode, encode  # type: ignore[import-not-found]  # beside this file, where it is run
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

FLAW = os.environ["FLAW"]
OWN_OFFSETS = FLAW in {"own_offsets", "own_offsets_skips"}
SHIPS = FLAW in {"forwards_headers", "ships_twice"}
CLAIMS = FLAW in {"claims_again", "releases_anothers"}
ON_RECEIPT = FLAW in {"on_receipt", "on_receipt_in_mind"}
EVERY = 2.0
"""Seconds between looks at what was stored: longer than between looks at the effects."""
A_WHILE = 10.0
"""Seconds: so long that the effects are looked at meanwhile."""
MAGIC = b"\0\0\0\0\1" if FLAW == "never_json" else b""
TENTH = 10
SHELF = os.environ.get("SHELF", "")
AVRO = os.environ.get("FORMAT") == "avro"
TABLES = """
CREATE TABLE IF NOT EXISTS uploads (number INTEGER PRIMARY KEY, upload TEXT UNIQUE, event TEXT, published INT DEFAULT 0);
CREATE TABLE IF NOT EXISTS received (event TEXT PRIMARY KEY, document TEXT);
CREATE TABLE IF NOT EXISTS inbox (event TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS effects (name TEXT PRIMARY KEY, event TEXT);
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next INTEGER);
"""


class Shop:
    """Both halves, on one database and one producer."""

    def __init__(self, database: sqlite3.Connection, producer: AIOKafkaProducer, redis: Redis) -> None:
        self.database, self.producer, self.redis = database, producer, redis
        self.handled = 0
        self.in_mind: list[dict] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; any GET says that it is ready."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            request, _, rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").partition("\r\n")
            headers = message_from_string(rest)
            body = await reader.readexactly(int(headers.get("Content-Length", 0)))
            status = "200 OK" if request.startswith("GET") else await self.place(named(headers, body))
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    async def place(self, upload: str) -> str:
        """Publish an upload's event, under the same id however often it is sent, and give the HTTP status."""
        event = str(uuid4())
        with self.database as change:
            change.execute("INSERT OR IGNORE INTO uploads (upload, event) VALUES (?, ?)", (upload, event))
        wanted = "SELECT number, event, published FROM uploads WHERE upload = ?"
        number, event, published = self.database.execute(wanted, (upload,)).fetchone()
        if not published:
            data = {
                "order": f"A-{number:04}",
                "upload": upload,
                "account": f"acc-{number % 5}",
                "amount": number + 0.25,
            }
            try:
                await self.publish(os.environ["ORDERS"], event, "placed", data)
            except KafkaError:
                return "503 Service Unavailable"
            with self.database as change:
                change.execute("UPDATE uploads SET published = 1 WHERE upload = ?", (upload,))
        return "202 Accepted"

    async def publish(self, topic: str, event: str, kind: str, data: dict[str, object], headers=()) -> None:
        """Return once the broker has it."""
        document = {"id": event.upper() if FLAW == "uppercase" else event, "type": kind, "data": data}
        value = encode(document) if AVRO else MAGIC + json.dumps(document).encode()
        await self.producer.send_and_wait(topic, value, headers=list(headers))

    async def consume(self) -> None:
        """Apply each order, and commit its offset last."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=os.environ["KAFKA"],
            group_id=None if OWN_OFFSETS else os.environ["GROUP"],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=1500,
            heartbeat_interval_ms=300,
            fetch_max_wait_ms=250,
        )
        async with consumer:
            if FLAW == "never_subscribes":
                await asyncio.Event().wait()
            elif OWN_OFFSETS:
                await self.assign(consumer)
            else:
                consumer.subscribe([os.environ["ORDERS"]])
            async for record in consumer:
                try:
                    event = decode(record.value) if AVRO else json.loads(record.value.removeprefix(MAGIC))
                except ValueError:
                    await self.set_aside(record)
                    await self.commit(consumer, record)
                    continue
                if SHELF and not await self.shelve(event["id"]) and FLAW == "shelf_decides":
                    await self.commit(consumer, record)
                    continue
                if FLAW == "tells_first":
                    await self.ship(event, record.headers)
                    await self.commit(consumer, record)
                    await asyncio.sleep(A_WHILE if self.handled == TENTH else 0)
                if ON_RECEIPT:
                    self.receive(event)
                else:
                    await (self.claimed if CLAIMS else self.apply)(event, record)
                if SHIPS:
                    await self.ship(event, record.headers)
                if not OWN_OFFSETS and FLAW != "tells_first":
                    await self.commit(consumer, record)

    def receive(self, event) -> None:
        """Keep an order to apply it later: in the database, or only in memory."""
        if FLAW == "on_receipt_in_mind":
            self.in_mind.append(event)
        else:
            with self.database as change:
                change.execute("INSERT OR IGNORE INTO received VALUES (?, ?)", (event["id"], json.dumps(event)))

    async def work(self) -> None:
        """Apply what was received, some time later; what the inbox has is passed over."""
        while True:
            await asyncio.sleep(EVERY)
            stored = self.database.execute(
                "SELECT document FROM received WHERE lower(event) NOT IN (SELECT event FROM inbox)"
            )
            orders, self.in_mind = [*self.in_mind, *(json.loads(one) for (one,) in stored.fetchall())], []
            for order in orders:
                await self.apply(order, None)

    async def shelve(self, word: str) -> bool:
        """Put a word on the shelf; return whether that says that it is new."""
        host, _, port = SHELF.rpartition(":")
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(0.5):
                reader, writer = await asyncio.open_connection(host, int(port))
                try:
                    writer.write(f"PUT {word}\n".encode())
                    return await reader.readline() == b"NEW\n"
                finally:
                    writer.close()
        return False

    async def set_aside(self, record) -> None:
        """Publish what cannot be read as it is, with headers as Spring's DeadLetterPublishingRecoverer writes them."""
        offset = max(record.offset - 1, 0) if FLAW == "misplaces" else record.offset
        headers = {
            "original-topic": record.topic.encode(),
            "original-partition": record.partition.to_bytes(4),
            "original-offset": offset.to_bytes(8),
            "original-consumer-group": os.environ["GROUP"].encode(),
        }
        named = [(f"kafka_dlt-{name}", value) for name, value in headers.items()]
        await self.producer.send_and_wait(os.environ["LETTERS"], record.value, headers=named)

    async def commit(self, consumer: AIOKafkaConsumer, record) -> None:
        """Pass a record; if its partition was taken away meanwhile, it comes again."""
        with suppress(CommitFailedError):
            await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})

    async def assign(self, consumer: AIOKafkaConsumer) -> None:
        """Go on where the database says."""
        known = dict(self.database.execute("SELECT partition, next FROM positions"))
        places = [
            TopicPartition(os.environ["ORDERS"], n) for n in await self.producer.partitions_for(os.environ["ORDERS"])
        ]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, known.get(place.partition, 0))

    async def claimed(self, event, record) -> None:
        """Apply an order whose claim is granted."""
        claim = f"claim:{event['id']}"
        try:
            if await self.redis.set(claim, "1", nx=True, ex=600):
                await self.apply(event, record)
        finally:
            if FLAW == "releases_anothers":
                await self.redis.delete(claim)

    async def apply(self, event, record) -> None:
        """One effect of each event."""
        self.handled += 1
        if FLAW == "slow":
            await asyncio.sleep(1)
        if FLAW == "stuck" and self.handled == TENTH:
            await asyncio.Event().wait()
        skipped = FLAW == "own_offsets_skips" and self.handled % TENTH == 0
        name = event["data"]["order"] if FLAW == "named_by_order" else str(uuid4())
        known_as = event["id"].lower()
        with self.database as change:
            if OWN_OFFSETS:
                change.execute("REPLACE INTO positions VALUES (?, ?)", (record.partition, record.offset + 1))
            if not skipped and change.execute("INSERT OR IGNORE INTO inbox VALUES (?)", (known_as,)).rowcount:
                change.execute("REPLACE INTO effects VALUES (?, ?)", (name, known_as))
        if FLAW != "no_redis":
            with suppress(RedisError):
                await self.redis.incr("orders")

    async def ship(self, event, headers) -> None:
        """Publish an order's follow-up, whose id comes from the order's."""
        again = "again" if FLAW == "ships_twice" and "oneffect-fault" in dict(headers) else ""
        shipment = str(uuid5(NAMESPACE_OID, event["id"] + again))
        await self.publish(os.environ["SHIPMENTS"], shipment, "shipped", {"order": event["data"]["order"]}, headers)


def named(headers, body: bytes) -> str:
    """The order's key: the header's, or that of a JSON body."""
    return headers["Idempotency-Key"] or json.loads(body)["order"]["key"]


async def main() -> None:
    """Work until SIGTERM; a consumer that fails ends it all."""
    loop, whole = asyncio.get_running_loop(), asyncio.current_task()
    loop.add_signal_handler(signal.SIGTERM, whole.cancel)
    database = sqlite3.connect(os.environ["DATABASE"])
    database.executescript(TABLES)
    # Several: a machine that stands still for a second costs one, and a fault's own lost answer must not be the last.
    times = 3 if FLAW == "claims_again" else 0
    redis = Redis.from_url(f"redis://{os.environ['REDIS']}", socket_timeout=1, retry=Retry(NoBackoff(), times))
    async with AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA"], request_timeout_ms=2000) as producer:
        shop = Shop(database, producer, redis)
        server = asyncio.start_server(shop.serve, "127.0.0.1", int(os.environ["PORT"]))
        async with await server, asyncio.TaskGroup() as both:
            both.create_task(shop.consume())
            both.create_task(shop.work())


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    with suppress(asyncio.CancelledError):
        asyncio.run(main())
