"""The front door: takes orders over HTTP, and publishes an event for each."""

from __future__ import annotations

import asyncio
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from uuid import NAMESPACE_OID, uuid5

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError


class Door(BaseHTTPRequestHandler):
    """One request, in a thread of its own."""

    producer: AIOKafkaProducer
    loop: asyncio.AbstractEventLoop

    def do_GET(self) -> None:
        """Say that the front door is ready."""
        self._answer(200)

    def do_POST(self) -> None:
        """Publish an order, and acknowledge it once the broker has it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        upload = self.headers["Idempotency-Key"]
        # Made of the key, so that a client which sends its order again gets the same event.
        event = {"id": str(uuid5(NAMESPACE_OID, upload)), "type": "order.placed", "data": {"upload": upload}}
        sent = self.producer.send_and_wait(os.environ["ORDERS"], json.dumps(event).encode())
        try:
            asyncio.run_coroutine_threadsafe(sent, self.loop).result()
        except KafkaError:
            self._answer(503)
        else:
            self._answer(202)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing for a request."""


async def main() -> None:
    """Serve until the process is ended."""
    async with AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA"], acks="all") as producer:
        Door.producer, Door.loop = producer, asyncio.get_running_loop()
        server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Door)
        Thread(target=server.serve_forever, daemon=True).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
