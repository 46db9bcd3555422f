"""Events a second through one consumer process: all of it, without deduplication, and with SET NX alone.

Real Kafka, Redis, SQLite with its syncs, content service; the three take turns, each time with a topic and a database
of its own. Then uploads a second through the file service, and each service's resident memory.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
from aiokafka import AIOKafkaProducer
from dishka import Provider, Scope, provide

from harness.clients.kafka import KafkaClient
from harness.plan import make_plan
from harness.run import open_stack
from harness.stack import RunNames
from reference_impl.common_core.enums import ContentType
from reference_impl.common_core.events import EssayContentProvisionedV1, fact
from reference_impl.essay_lifecycle.di import providers
from reference_impl.service_libs.clock import SystemClock
from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.idempotency import IdempotencyGuard, Work
from reference_impl.service_libs.serving import main as serve
from reference_impl.variants.setnx_only import SetnxOnly

ROUNDS = 5
EVENTS = 500
BATCH = 10
UPLOADS = 300
AT_ONCE = 8
FIRST_PORT = 23_400
TOPICS = {"essays": 4, "batches": 2, "spelling": 4, "rankings": 2, "dead-letters": 1}
KINDS = ("everything on", "no deduplication", "SET NX alone")


class NoGuard:
    """Prepares and applies, whatever was before."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def once(self, work: Work) -> None:
        """No inbox, no hint, no lease."""
        await work.prepare()
        await self._database.write(work.apply)


class NoDeduplication(Provider):
    """Swaps the guard and touches nothing else."""

    @provide(scope=Scope.APP, override=True)
    def guard(self, database: Database) -> IdempotencyGuard:
        """None."""
        return NoGuard(database)


def run_consumer(kind: str) -> None:
    """What the consumer's process does."""
    over = {"no deduplication": [NoDeduplication()], "SET NX alone": [SetnxOnly()]}.get(kind, [])
    serve(*providers(), *over)


@asynccontextmanager
async def process(port: int, *command: str, **environment: str) -> AsyncIterator[str]:
    """A service's address, once it is ready; it is asked to stop in the end."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env={**os.environ, "PORT": str(port), "LOG_LEVEL": "ERROR", **environment},
        cwd=Path(__file__).parents[1],
    )
    address = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(60):
            while True:
                try:
                    if (await http.get(f"{address}/readyz")).is_success:
                        break
                except httpx.ConnectError:
                    pass
                await asyncio.sleep(0.05)
        yield address
    finally:
        child.terminate()
        await child.wait()


async def publish(kafka: str, topic: str, storage_id: str) -> None:
    """The outcomes of so many uploads, other ones for each topic: what Redis remembers outlives a database."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    for number in range(EVENTS):
        data = EssayContentProvisionedV1(
            upload_id=f"{topic}-{number}",
            batch_id=f"{topic}-b{number // BATCH}",
            batch_size=BATCH,
            file_name="essay.txt",
            raw_file_storage_id=storage_id,
            text_storage_id=storage_id,
            extractor_version=1,
        )
        event = fact(data, source="file_service", now=SystemClock().now(), correlation_id=data.upload_id)
        await producer.send(topic, event.model_dump_json().encode(), key=data.upload_id.encode())
    await producer.stop()


async def consumed_a_second(database: Path) -> float:
    """Effects a second, from the first that is seen to the last."""

    def effects() -> int:
        with closing(sqlite3.connect(database)) as connection:
            return int(connection.execute("SELECT count(*) FROM effect_ledger").fetchone()[0])

    begun, at = 0.0, 0
    async with asyncio.timeout(60):
        while (now := effects()) < EVENTS:
            if now and not begun:
                begun, at = time.perf_counter(), now
            await asyncio.sleep(0.05)
    return (EVENTS - at) / (time.perf_counter() - begun)


async def uploaded_a_second(address: str) -> float:
    """Acknowledged uploads a second, so many at once."""
    numbers = iter(range(UPLOADS))

    async def upload(http: httpx.AsyncClient) -> None:
        for number in numbers:
            files = {"file": ("essay.txt", f"An essay about {number}. ".encode() * 100)}
            answer = await http.post("/v1/files", files=files, headers={"Idempotency-Key": f"upload-{number}"})
            answer.raise_for_status()

    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http:
        begun = time.perf_counter()
        await asyncio.gather(*(upload(http) for _ in range(AT_ONCE)))
        return UPLOADS / (time.perf_counter() - begun)


async def shown(address: str, name: str) -> float:
    """A figure of the process, as the service itself shows it."""
    async with httpx.AsyncClient(trust_env=False) as http:
        lines = (await http.get(f"{address}/metrics")).text.splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith(f"process_{name} ")]
    return float(value)


async def resident_mebibytes(address: str) -> float:
    """What the service holds of the machine's memory."""
    return await shown(address, "resident_memory_bytes") / 2**20


async def measure(kafka: str, redis: str, folder: Path) -> None:
    """Print every figure."""
    memory: dict[str, float] = {}
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    cpu: dict[str, list[float]] = {kind: [] for kind in KINDS}
    content_command = ("-m", "reference_impl.content_service")
    async with process(FIRST_PORT, *content_command, BLOB_DIR=str(folder / "blobs")) as content:
        client = ContentClient(content, timeout_seconds=10)
        storage_id = await client.store_content(b"An essay. " * 200, ContentType.EXTRACTED_PLAINTEXT)
        await client.stop()
        common = {"KAFKA": kafka, "REDIS_URL": f"redis://{redis}/0", "CONTENT_URL": content}
        for turn in range(ROUNDS * len(KINDS)):
            kind = KINDS[turn % len(KINDS)]
            own = await surroundings(kafka, f"bench-{turn}", folder)
            await publish(kafka, own["TOPIC_ESSAYS"], storage_id)
            command = ("-c", f"from benchmarks.consumer import run_consumer; run_consumer({kind!r})")
            async with process(FIRST_PORT + 1, *command, **common, **own) as address:
                idle = await shown(address, "cpu_seconds_total")
                rates[kind].append(await consumed_a_second(folder / own["GROUP"]))
                cpu[kind].append((await shown(address, "cpu_seconds_total") - idle) / EVENTS * 1000)
                memory["essay_lifecycle"] = await resident_mebibytes(address)
        await others(common, folder, memory)
        memory["content_service"] = await resident_mebibytes(content)
    for kind, values in rates.items():
        share = statistics.median(a / b for a, b in zip(values, rates["no deduplication"], strict=True))
        print(
            f"one consumer, {kind}: {statistics.median(values):.0f} events a second (min {min(values):.0f}, "
            f"max {max(values):.0f}, {ROUNDS} rounds of {EVENTS}), {share:.2f} of no deduplication in the same round; "
            f"{statistics.median(cpu[kind]):.1f} ms of a core an event",
            flush=True,
        )
    for service, mebibytes in memory.items():
        print(f"resident memory, {service}: {mebibytes:.0f} MiB", flush=True)


async def surroundings(kafka: str, name: str, folder: Path) -> Mapping[str, str]:
    """Topics, group and database of one turn."""
    run = RunNames(name)
    client = KafkaClient(kafka, run)
    await client.start()
    await client.create_topics(TOPICS)
    await client.stop()
    own = {f"TOPIC_{topic.upper().replace('-', '_')}": run.topic(topic) for topic in TOPICS}
    return own | {"GROUP": name, "DATABASE_URL": f"sqlite:///{folder}/{name}"}


async def others(common: Mapping[str, str], folder: Path, memory: dict[str, float]) -> None:
    """The file service under its load; the other consumers as they are once they have started."""
    for service in ("file_service", "batch_orchestrator", "spell_checker", "cj_assessment"):
        own = await surroundings(common["KAFKA"], service, folder)
        async with process(FIRST_PORT + 1, "-m", f"reference_impl.{service}", **common, **own) as address:
            if service == "file_service":
                rate = await uploaded_a_second(address)
                print(f"file service: {rate:.0f} uploads a second, {AT_ONCE} at once", flush=True)
            memory[service] = await resident_mebibytes(address)


async def on_a_stack() -> None:
    """Kafka and Redis as the scenarios have them, without any fault or proxy between."""
    scenario = Path(__file__).parents[1] / "scenarios" / "control.yaml"
    plan = make_plan(scenario, system_path=None, variant=None, seed=1, stack="native")
    with tempfile.TemporaryDirectory() as folder:
        stack = open_stack(plan, Path(folder) / "logs")
        try:
            await stack.start()
            await measure(stack.direct("kafka"), stack.direct("redis"), Path(folder))
        finally:
            await stack.stop()


def main() -> None:
    """Run it all once."""
    asyncio.run(on_a_stack())
