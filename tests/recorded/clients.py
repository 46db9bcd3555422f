"""Small programs on the clients that people use: ``python clients.py NAME`` runs one against the addresses in its environment.

Each runs in whatever environment has its library; ``record.py`` records what it says.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

TOPIC = os.environ.get("TOPIC", "work")
SAID = 5
"""Records a program publishes, and reads again in a group."""


async def aiokafka() -> str:
    library: Any = import_module("aiokafka")
    async with (
        library.AIOKafkaProducer(
            bootstrap_servers=os.environ["KAFKA"], transactional_id="aiokafka", enable_idempotence=True
        ) as producer,
        producer.transaction(),
    ):
        for number in range(SAID):
            await producer.send_and_wait(TOPIC, b"%d" % number, key=b"key")
    async with library.AIOKafkaConsumer(
        TOPIC, bootstrap_servers=os.environ["KAFKA"], group_id="aiokafka", auto_offset_reset="earliest"
    ) as consumer:
        for _ in range(SAID):
            await consumer.getone()
        await consumer.commit()
    return f"aiokafka {library.__version__}"


def confluent() -> str:
    library: Any = import_module("confluent_kafka")
    producer = library.Producer({"bootstrap.servers": os.environ["KAFKA"], "transactional.id": "confluent"})
    producer.init_transactions()
    producer.begin_transaction()
    for number in range(SAID):
        producer.produce(TOPIC, b"%d" % number, key=b"key")
    producer.commit_transaction()
    consumer = library.Consumer(
        {"bootstrap.servers": os.environ["KAFKA"], "group.id": "confluent", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([TOPIC])
    read = 0
    while read < SAID:
        record = consumer.poll(1.0)
        read += record is not None and record.error() is None
    consumer.commit(asynchronous=False)
    consumer.close()
    return f"confluent-kafka {library.version()}, librdkafka {library.libversion()[0]}"


def kafka_python() -> str:
    library: Any = import_module("kafka")
    producer = library.KafkaProducer(bootstrap_servers=os.environ["KAFKA"], acks="all")
    for number in range(SAID):
        producer.send(TOPIC, b"%d" % number, key=b"key").get(60)
    producer.close()
    consumer = library.KafkaConsumer(
        TOPIC, bootstrap_servers=os.environ["KAFKA"], group_id="kafka-python", auto_offset_reset="earliest"
    )
    read = 0
    while read < SAID:
        read += sum(map(len, consumer.poll(1000).values()))
    consumer.commit()
    consumer.close()
    return f"kafka-python {library.__version__}"


def _redis(version: int) -> str:
    library: Any = import_module("redis")
    client = library.Redis.from_url(os.environ["REDIS"], protocol=version)
    client.set("claim", "1", nx=True, ex=60)
    client.set("claim", "1", nx=True, ex=60)
    client.get("claim")
    client.hset("hash", mapping={"a": "1", "b": "2"})
    client.hgetall("hash")
    with client.pipeline(transaction=True) as pipeline:
        pipeline.incr("count").expire("count", 60).get("count").execute()
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set("one", "1").get("one").delete("one", "claim").execute()
    client.eval("return redis.call('GET', KEYS[1])", 1, "count")
    client.register_script("return {1, 'two', {KEYS[1]}}")(keys=["count"])
    client.xadd("stream", {"a": "1"})
    client.xrange("stream")
    with suppress(library.ResponseError):
        client.incr("hash")
    client.close()
    return f"redis {library.__version__}, RESP{version}"


def redis_2() -> str:
    return _redis(2)


def redis_3() -> str:
    return _redis(3)


async def asyncpg() -> str:
    library: Any = import_module("asyncpg")
    connection = await library.connect(os.environ["POSTGRES"])
    await connection.execute("CREATE TABLE IF NOT EXISTS inbox (event_id uuid PRIMARY KEY)")
    async with connection.transaction():
        await connection.execute("INSERT INTO inbox VALUES (gen_random_uuid())")
        await connection.fetch("SELECT event_id FROM inbox WHERE event_id IS NOT NULL LIMIT $1", 3)
    with suppress(library.PostgresError):
        await connection.execute("SELECT nothing")
    await connection.executemany("INSERT INTO inbox VALUES (gen_random_uuid()) ON CONFLICT DO NOTHING", [()] * 3)
    await connection.close()
    return f"asyncpg {library.__version__}"


def psycopg() -> str:
    library: Any = import_module("psycopg")
    with library.connect(os.environ["POSTGRES"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS inbox (event_id uuid PRIMARY KEY)")
        connection.commit()
        for _ in range(7):  # from the sixth on it is prepared
            connection.execute("SELECT count(*) FROM inbox WHERE event_id::text <> %s", ("x",)).fetchall()
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany("INSERT INTO inbox VALUES (gen_random_uuid())", [()] * 3)
        with connection.cursor() as cursor, cursor.copy("COPY inbox TO STDOUT") as copied:
            for _ in copied:
                pass
        try:
            connection.execute("SELECT nothing")
        except library.Error:
            connection.rollback()
    return f"psycopg {library.__version__}"


PROGRAMS: dict[str, Callable[[], Any]] = {
    program.__name__: program for program in (aiokafka, confluent, kafka_python, redis_2, redis_3, asyncpg, psycopg)
}


def main() -> None:
    said = PROGRAMS[sys.argv[1]]()
    sys.stdout.write(asyncio.run(said) if asyncio.iscoroutine(said) else said)


if __name__ == "__main__":
    main()
