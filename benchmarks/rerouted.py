"""What a tap that only rewrites addresses costs a consumer, compared with a link that has a listener of its own.

One broker, one topic, two links through Toxiproxy, which take turns in one run. The consumer is a process of its own
and does no work for its events, so that nothing hides the cost of the link. It reads all events in as few fetches as
possible, and one after the other, committing each offset before the next event.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from benchmarks.taps import HEADER, NAMES, filled
from harness.history.recorder import HistoryRecorder
from harness.stacks.native.stack import NativeStack
from harness.system import System
from harness.taps.thread import Taps

ROUNDS = 9
EVENTS, SIZE = 20_000, 1000
"""Events of the topic, and bytes of each."""

COMMITTED = 300
"""Events of a round whose offsets are committed one by one."""

LIMIT = 5
"""Per cent of a consumer's events a second that a tap may cost, if every link is to have one."""

SYSTEM = {
    "oneffect": 1,
    "name": "rerouted",
    "dependencies": {"kafka": {"topics": {"events": 1}}},
    "services": {"user": {"command": "python -m user", "replicas": 2, "env": {"KAFKA": "{kafka}"}}},
    "load": {"upload": {"to": "user", "post": "/"}},
    "events": {"id": "/id", "type": "/type", "topics": []},
}
LISTENER, TAP = "user#1->kafka", "user#2->kafka"
WAYS = ("all at once", "one by one, committed")


async def consumed(address: str, group: str, most: int, *, commit: bool) -> float:
    """Events a second from the topic's beginning, from the first that came to the last."""
    consumer = AIOKafkaConsumer(
        NAMES.topic("events"),
        bootstrap_servers=address,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        count = len((await consumer.getmany(timeout_ms=60_000, max_records=1)) or ())
        begun = time.perf_counter()
        while count < most:
            batches = await consumer.getmany(timeout_ms=60_000, max_records=1 if commit else None)
            count += sum(map(len, batches.values()))
            if commit:
                await consumer.commit()
        return (count - 1) / (time.perf_counter() - begun)
    finally:
        await consumer.stop()


async def turns(addresses: list[str]) -> None:
    """Be the consumer: print each side's figures by way as JSON."""
    figures: list[dict[str, list[float]]] = [{way: [] for way in WAYS} for _ in addresses]
    for number in range(ROUNDS + 1):
        for side, address in enumerate(addresses):
            for way, most in zip(WAYS, (EVENTS, COMMITTED), strict=True):
                rate = await consumed(address, f"{side}-{number}-{most}", most, commit=way != WAYS[0])
                if number:  # the first warms up
                    figures[side][way].append(rate)
    print(json.dumps(figures))


async def measured(folder: Path) -> list[dict[str, list[float]]]:
    """Figures over the link with a listener, and over that with a tap before the broker's one address."""
    stack = NativeStack(System.model_validate(SYSTEM), folder / "logs", folder)
    await stack.start()
    try:
        with HistoryRecorder(folder / "history.jsonl", HEADER, clock=time.monotonic_ns) as recorder:
            broker, addresses = stack.direct("kafka"), [stack.links[link].address for link in (LISTENER, TAP)]
            await filled(broker, "events", EVENTS, SIZE)
            taps, listen = Taps(recorder, NAMES), stack.detour(TAP).listen
            try:
                routes = {broker: addresses[1]}
                await taps.open(TAP, "kafka", listen=listen, upstream=broker, routes=routes, quiet=True)
                await stack.lead(TAP, listen)
                words = [sys.executable, "-m", "benchmarks.rerouted", "--consumer", *addresses]
                answer = await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True, text=True)
            finally:
                await taps.close()
    finally:
        await stack.stop()
    figures: list[dict[str, list[float]]] = json.loads(answer.stdout)
    return figures


def main() -> None:
    """Print the figures."""
    if "--consumer" in sys.argv:
        asyncio.run(turns(sys.argv[sys.argv.index("--consumer") + 1 :]))
        return
    with tempfile.TemporaryDirectory() as folder:
        listener, tap = asyncio.run(measured(Path(folder)))
    for way in WAYS:
        costs = [100 * (1 - b / a) for a, b in zip(listener[way], tap[way], strict=True)]
        print(
            f"{way}: {statistics.median(tap[way]):,.0f} events a second with a tap that writes addresses, "
            f"{statistics.median(listener[way]):,.0f} with a listener: {statistics.median(costs):.1f} % less "
            f"({min(costs):.1f} to {max(costs):.1f}; limit {LIMIT}; medians of {ROUNDS} rounds)"
        )


if __name__ == "__main__":
    main()
