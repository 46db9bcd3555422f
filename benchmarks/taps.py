"""What a tap on a Redis link costs, beside the same link through Toxiproxy alone: delay, commands and megabytes a second.

One Redis, two replicas' links, one of them with a tap; both take turns in one run, so that a busy machine is as slow for the
one as for the other. The service is a process of its own, as it is in a run. What passes is recorded, as it is in a run.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.history.recorder import HistoryRecorder
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

ADDED_AIM = 150
"""Microseconds that a tap may add at the median."""

COMMANDS_AIM = 20_000
"""Commands a second through a tap."""

HEADER = {"plan": {}, "plan_digest": "", "seed": 1, "versions": {}, "started": "", "run": "bench"}
SYSTEM = {
    "oneffect": 1,
    "name": "taps",
    "dependencies": {"redis": {}},
    "services": {"user": {"command": "python -m user", "replicas": 2, "env": {"REDIS": "{redis}"}}},
    "load": {"upload": {"to": "user", "post": "/"}},
    "events": {"id": "/id", "type": "/type", "topics": []},
}
PLAIN, TAPPED = "user#1->redis", "user#2->redis"
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
    """Read so many bytes."""
    while size > 0:
        size -= len(connection.recv(min(size, 1 << 20)))


MEASURES = (asked, pipelined, large)


def service(addresses: list[str]) -> None:
    """Be the service: measure over each address in turns, and print the figures of each as JSON."""
    connections = [
        socket.create_connection((host, int(port))) for host, _, port in (at.rpartition(":") for at in addresses)
    ]
    figures: list[dict[str, list[float]]] = [{measure.__name__: [] for measure in MEASURES} for _ in addresses]
    for measure in MEASURES:
        for number in range(ROUNDS + 1):
            for figure, connection in zip(figures, connections, strict=True):
                value = measure(connection)
                if number:  # the first warms up
                    figure[measure.__name__].append(value)
    print(json.dumps(figures))


async def measured(folder: Path) -> list[dict[str, list[float]]]:
    """Figures over the link without a tap, and over the one with it."""
    stack = NativeStack(System.model_validate(SYSTEM), folder / "logs", folder)
    await stack.start()
    try:
        with HistoryRecorder(folder / "history.jsonl", HEADER, clock=time.monotonic_ns) as recorder:
            taps, detour = Taps(recorder), stack.detour(TAPPED)
            try:
                await taps.open(TAPPED, "redis", listen=detour.listen, upstream=detour.upstream)
                await stack.lead(TAPPED, detour.listen)
                words = [sys.executable, "-m", "benchmarks.taps", "--service"]
                words += [stack.links[PLAIN].address, stack.links[TAPPED].address]
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


if __name__ == "__main__":
    main()
