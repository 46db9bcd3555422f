"""Consumes a topic for ever, and appends each value to a file as a line; any GET says that it is ready."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError


async def consume() -> None:
    """Take part in the group."""
    consumer = AIOKafkaConsumer(
        os.environ["TOPIC"],
        bootstrap_servers=os.environ["KAFKA"],
        group_id=os.environ["GROUP"],
        auto_offset_reset="earliest",
        request_timeout_ms=5000,
        rebalance_timeout_ms=5000,
    )
    seen = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        await consumer.start()
        async for record in consumer:
            os.write(seen, (record.value or b"") + b"\n")
            await consumer.commit()
    finally:
        os.close(seen)
        await consumer.stop()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
        await writer.drain()
    writer.close()


async def main() -> None:
    """Consume for ever."""
    async with await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"])):
        while True:
            with suppress(OSError, KafkaError):
                await consume()
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
