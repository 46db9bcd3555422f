"""What taps on Redis and Kafka links cost, beside the same links through Toxiproxy alone: delay, commands, megabytes a second.

One Redis, one broker, and the links of two replicas, of which one has taps, take turns in one run, so that a busy
machine slows both alike. As in a real run, the service is a process of its own, and what passes is recorded.
"""

from __future__ import annotations

import asyncio
import io
import json
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from aiokafka import AIOKafkaProducer

from harness.clients.kafka import KafkaClient
from harness.history.recorder import HistoryRecorder
from harness.stack import RunNames
from harness.stacks.native.stack import NativeStack
from harness.system import System
from harness.taps.thread import Taps

ROUNDS = 10
ASKED = 500
"""Commands of a round, one after the other."""

PIPELINES, DEPTH = 100, 100
"""Pipelines of a round, and the commands of each."""

LARGE, LARGE_TIMES = 1 << 20, 50
"""Bytes of a large value, and how often a round reads it."""

RECORD, RECORDS = 1 << 19, 20
"""Bytes of a record, and how many the topic has."""

FETCHED, FETCHES = 8 << 20, 8
"""Most bytes of a fetch, and the fetches of a round."""

FETCH_AIM = 100
"""Megabytes a second of fetches through a tap."""

ADDED_AIM = 150
"""Microseconds that a tap may add at the median."""

COMMANDS_AIM = 20_000
"""Commands a second through a tap."""

HEADER = {"plan": {}, "plan_digest": "", "seed": 1, "versions": {}, "started": "", "run": "bench"}
SYSTEM = {
    "oneffect": 1,
    "name": "taps",
    "dependencies": {"redis": {}, "kafka": {"topics": {"fetched": 1}}},
    "services": {
        "user": {"command": "python -m user", "replicas": 2, "env": {"REDIS": "{redis}", "KAFKA": "{kafka}"}}
    },
    "load": {"upload": {"to": "user", "post": "/"}},
    "events": {"id": "/id", "type": "/type", "topics": []},
}
PLAIN, TAPPED = "user#1", "user#2"
NAMES = RunNames("bench")
SET = b"*3\r\n$3\r\nSET\r\n$7\r\nclaim:1\r\n$16\r\n0123456789abcdef\r\n"


def asked(connection: socket.socket) -> float:
    """Median microseconds from a command to its reply."""
    took = []
    for _ in range(ASKED):
        begun = time.perf_counter()
        connection.sendall(SET)
        connection.recv(100)
        took.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(took)


def pipelined(connection: socket.socket) -> float:
    """Commands a second in pipelines."""
    begun = time.perf_counter()
    for _ in range(PIPELINES):
        connection.sendall(SET * DEPTH)
        received(connection, 5 * DEPTH)
    return PIPELINES * DEPTH / (time.perf_counter() - begun)


def large(connection: socket.socket) -> float:
    """Megabytes a second of large values."""
    connection.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n%b\r\n" % (LARGE, bytes(LARGE)))
    received(connection, 5)
    begun = time.perf_counter()
    for _ in range(LARGE_TIMES):
        connection.sendall(b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n")
        received(connection, LARGE + len(b"$%d\r\n\r\n" % LARGE))
    return LARGE_TIMES * LARGE / 1e6 / (time.perf_counter() - begun)


def received(connection: socket.socket, size: int) -> None:
    """Read ``size`` bytes."""
    while size > 0:
        size -= len(connection.recv(min(size, 1 << 20)))


def fetched(connection: socket.socket) -> float:
    """Megabytes a second of fetches from a broker."""
    request, read = fetch(), 0
    begun = time.perf_counter()
    for _ in range(FETCHES):
        connection.sendall(request)
        size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
        received(connection, size)
        read += size
    if read < FETCHES * FETCHED / 2:
        raise SystemExit(f"{read} bytes are not what {FETCHES} fetches should bring")
    return read / 1e6 / (time.perf_counter() - begun)


def fetch() -> bytes:
    """A request for the topic's records from their beginning."""
    from kio.index import load_request_schema
    from kio.schema.fetch.v11 import request as v11
    from kio.schema.types import TopicName
    from kio.serial import entity_writer
    from kio.static.primitive import i8, i32, i32Timedelta, i64

    partition = v11.FetchPartition(partition=i32(0), fetch_offset=i64(0), partition_max_bytes=i32(FETCHED))
    topic = v11.FetchTopic(topic=TopicName(NAMES.topic("fetched")), partitions=(partition,))
    entity = v11.FetchRequest(
        max_wait=i32Timedelta.parse(timedelta(seconds=1)),
        min_bytes=i32(1),
        max_bytes=i32(FETCHED),
        isolation_level=i8(0),
        topics=(topic,),
        forgotten_topics_data=(),
    )
    body = io.BytesIO()
    entity_writer(load_request_schema(1, 11))(body, entity)
    data = struct.pack(">hhih", 1, 11, 1, -1) + body.getvalue()
    return len(data).to_bytes(4, "big") + data


MEASURES = {"redis": (asked, pipelined, large), "kafka": (fetched,)}


def service(addresses: list[str]) -> None:
    """Be the service: measure over each pair of addresses in turns, and print the figures of each side as JSON."""
    figures: list[dict[str, list[float]]] = [{}, {}]
    for pair, measures in zip(zip(addresses[::2], addresses[1::2], strict=True), MEASURES.values(), strict=True):
        connections = [
            socket.create_connection((host, int(port))) for host, _, port in (at.rpartition(":") for at in pair)
        ]
        for measure in measures:
            for number in range(ROUNDS + 1):
                for figure, connection in zip(figures, connections, strict=True):
                    value = measure(connection)
                    if number:  # the first warms up
                        figure.setdefault(measure.__name__, []).append(value)
    print(json.dumps(figures))


async def filled(address: str, topic: str, records: int, size: int) -> None:
    """Make a topic of one partition, with ``records`` records of ``size`` bytes."""
    client = KafkaClient(address, NAMES)
    await client.start()
    await client.create_topics({topic: 1})
    await client.stop()
    async with AIOKafkaProducer(bootstrap_servers=address, linger_ms=20) as producer:
        for _ in range(records):
            await producer.send(NAMES.topic(topic), bytes(size), partition=0)


async def measured(folder: Path) -> list[dict[str, list[float]]]:
    """Figures over the links without taps, and over those with them."""
    stack = NativeStack(System.model_validate(SYSTEM), folder / "logs", folder)
    await stack.start()
    try:
        with HistoryRecorder(folder / "history.jsonl", HEADER, clock=time.monotonic_ns) as recorder:
            taps, words = Taps(recorder, NAMES), [sys.executable, "-m", "benchmarks.taps", "--service"]
            await filled(stack.direct("kafka"), "fetched", RECORDS, RECORD)
            try:
                for target in MEASURES:
                    link = f"{TAPPED}->{target}"
                    detour = stack.detour(link)
                    await taps.open(link, target, listen=detour.listen, upstream=detour.upstream)
                    await stack.lead(link, detour.listen)
                    words += [stack.links[f"{user}->{target}"].address for user in (PLAIN, TAPPED)]
                answer = await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True, text=True)
            finally:
                await taps.close()
    finally:
        await stack.stop()
    figures: list[dict[str, list[float]]] = json.loads(answer.stdout)
    return figures


def main() -> None:
    """Print the figures."""
    if "--service" in sys.argv:
        service(sys.argv[sys.argv.index("--service") + 1 :])
        return
    with tempfile.TemporaryDirectory() as folder:
        plain, tapped = asyncio.run(measured(Path(folder)))
    added = statistics.median(b - a for a, b in zip(plain["asked"], tapped["asked"], strict=True))
    middle = {name: [statistics.median(figures[name]) for figures in (plain, tapped)] for name in plain}
    print(
        f"one command: {middle['asked'][1]:.0f} us with a tap, {middle['asked'][0]:.0f} us through Toxiproxy alone: "
        f"{added:.0f} us added (aim {ADDED_AIM}; medians of {ROUNDS} rounds)"
    )
    print(
        f"pipelines of {DEPTH}: {middle['pipelined'][1]:,.0f} commands a second with a tap (aim {COMMANDS_AIM:,}), "
        f"{middle['pipelined'][0]:,.0f} without"
    )
    print(
        f"values of {LARGE >> 20} MiB: {middle['large'][1]:,.0f} MB a second with a tap, {middle['large'][0]:,.0f} without"
    )
    print(
        f"fetches of {FETCHED >> 20} MiB: {middle['fetched'][1]:,.0f} MB a second with a tap (aim {FETCH_AIM}), "
        f"{middle['fetched'][0]:,.0f} without"
    )


if __name__ == "__main__":
    main()
