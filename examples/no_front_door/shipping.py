"""Ships each order once: a worker that reads Kafka with confluent-kafka and writes SQLite, and that nobody calls."""

import json
import os
import sqlite3
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaException
from prometheus_client import start_http_server

TABLES = """
CREATE TABLE IF NOT EXISTS shipments (number INTEGER PRIMARY KEY, order_number TEXT, sku TEXT, quantity INTEGER);
CREATE UNIQUE INDEX IF NOT EXISTS one_for_each_order ON shipments (order_number);
"""


def ship(database: sqlite3.Connection, order: dict[str, Any]) -> None:
    """Write an order's shipment, unless it has one."""
    with database:
        database.execute(
            "INSERT INTO shipments (order_number, sku, quantity) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (order["number"], order["sku"], order["quantity"]),
        )


def main() -> None:
    """Work until the process is ended."""
    database = sqlite3.connect(os.environ["DATABASE"], timeout=30)
    database.executescript(TABLES)
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA"],
            "group.id": os.environ["GROUP"],
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": int(os.environ["SESSION_TIMEOUT_MS"]),
            "heartbeat.interval.ms": int(os.environ["SESSION_TIMEOUT_MS"]) // 4,
        }
    )
    consumer.subscribe([os.environ["ORDERS"]])
    start_http_server(int(os.environ["METRICS_PORT"]), "127.0.0.1")
    while True:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            ship(database, json.loads(message.value()))
            with suppress(KafkaException):  # another worker has the partition now, and is given the order again
                consumer.commit(message, asynchronous=False)


if __name__ == "__main__":
    main()
