"""Events a second through one consumer process: the whole reference, without deduplication, and SET NX alone.

Everything is real: Kafka, Redis, SQLite with its syncs, the content service. The kinds take turns, each time with their
own topic and database. Uploads a second through the file service follow, and each service's resident memory. The CPU
time of a service includes all of its processes, and that of an upload everything until its outcome.

``python -m benchmarks.consumer --base DIR`` also runs the services of another checkout, with its own packages, in turn
on the same stack, and prints both side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from operator import truediv
from pathlib import Path

import httpx
import psutil
from aiokafka import AIOKafkaProducer
from dishka import Provider, Scope, provide

from harness.clients.kafka import KafkaClient
from harness.plan import make_plan
from harness.session.stacks import open_stack
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
    """Prepares and applies every message, seen before or not."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def once(self, work: Work) -> None:
        """Prepare and apply, without inbox, hint or lease."""
        await work.prepare()
        await self._database.write(work.apply)


class NoDeduplication(Provider):
    """Replaces the guard and nothing else."""

    @provide(scope=Scope.APP, override=True)
    def guard(self, database: Database) -> IdempotencyGuard:
        """Provide the guard that guards nothing."""
        return NoGuard(database)


def run_consumer(kind: str) -> None:
    """Run the consumer's process with the guard of ``kind``."""
    swapped: Mapping[str, Sequence[Provider]] = {
        "no deduplication": [NoDeduplication()],
        "SET NX alone": [SetnxOnly()],
    }
    serve(*providers(), *swapped.get(kind, []))


@dataclass
class Checkout:
    """One checkout of the sources. ``figures`` maps each row to its values, one per round."""

    name: str
    folder: Path
    python: str
    common: dict[str, str] = field(default_factory=dict)
    figures: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class Running:
    """A service that is ready, with its child processes."""

    address: str
    root: psutil.Process

    def cpu_ms(self) -> float:
        """CPU time of all processes so far, in ms, including ended ones."""
        return 1000 * sum(sum(process.cpu_times()[:4]) for process in self._processes())

    def mebibytes(self) -> float:
        """Resident memory of all processes."""
        return sum(process.memory_info().rss for process in self._processes()) / 2**20

    def _processes(self) -> list[psutil.Process]:
        return [self.root, *self.root.children(recursive=True)]


@asynccontextmanager
async def process(checkout: Checkout, port: int, *command: str, **environment: str) -> AsyncIterator[Running]:
    """Run a service: yield it once it is ready, and ask it to stop at the end."""
    child = await asyncio.create_subprocess_exec(
        checkout.python,
        *command,
        env={**os.environ, **checkout.common, "PORT": str(port), "LOG_LEVEL": "ERROR", **environment},
        cwd=checkout.folder,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(60):
            while True:
                with suppress(httpx.ConnectError):
                    if (await http.get(f"{address}/readyz")).is_success:
                        break
                await asyncio.sleep(0.05)
        yield Running(address, psutil.Process(child.pid))
    finally:
        child.terminate()
        await child.wait()


async def publish(kafka: str, topic: str, storage_id: str) -> None:
    """Publish ``EVENTS`` outcomes, with ids unique to the topic: Redis's memory outlives a database."""
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
        # Written as by an older producer: a base that does not know the field refuses it, and applies nothing.
        value = event.model_dump_json(exclude={"data": {"occurrence"}})
        await producer.send(topic, value.encode(), key=data.upload_id.encode())
    await producer.stop()


async def a_second(database: Path, count: str, most: int) -> float:
    """Return how many rows a second the database gains, from the first that is seen to the last."""

    def held() -> int:
        with closing(sqlite3.connect(database)) as connection:
            return int(connection.execute(count).fetchone()[0])

    begun, at = 0.0, 0
    async with asyncio.timeout(120):
        while (now := held()) < most:
            if now and not begun:
                begun, at = time.perf_counter(), now
            await asyncio.sleep(0.05)
    return (most - at) / (time.perf_counter() - begun)


async def uploaded_a_second(address: str) -> float:
    """Return the acknowledged uploads a second, ``AT_ONCE`` at a time."""
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


async def measure(checkouts: list[Checkout], kafka: str, redis: str, folder: Path) -> None:
    """Fill the checkouts' figures."""
    async with AsyncExitStack() as contents:
        for number, checkout in enumerate(checkouts):
            command = ("-m", "reference_impl.content_service")
            started = process(checkout, FIRST_PORT + number, *command, BLOB_DIR=str(folder / f"{number}-blobs"))
            content = await contents.enter_async_context(started)
            client = ContentClient(content.address, timeout_seconds=10)
            storage_id = await client.store_content(b"An essay. " * 200, ContentType.EXTRACTED_PLAINTEXT)
            await client.stop()
            checkout.common = {"KAFKA": kafka, "REDIS_URL": f"redis://{redis}/0", "CONTENT_URL": content.address}
        for turn in range(ROUNDS):
            for kind in KINDS:
                for number, checkout in enumerate(checkouts):
                    await consume(checkout, kind, f"{KINDS.index(kind)}-{turn}-{number}", folder, storage_id)
            for number, checkout in enumerate(checkouts):
                await upload(checkout, f"file_service-{turn}-{number}", folder)
        for number, checkout in enumerate(checkouts):
            for service in ("batch_orchestrator", "spell_checker", "cj_assessment"):
                own = await surroundings(kafka, f"{service}-{number}", folder)
                async with process(checkout, FIRST_PORT + 9, "-m", f"reference_impl.{service}", **own) as running:
                    checkout.figures[f"MiB of memory, {service}"].append(running.mebibytes())


async def consume(checkout: Checkout, kind: str, name: str, folder: Path, storage_id: str) -> None:
    """Measure one turn of a consumer."""
    own = await surroundings(checkout.common["KAFKA"], f"bench-{name}", folder)
    await publish(checkout.common["KAFKA"], own["TOPIC_ESSAYS"], storage_id)
    command = ("-c", f"from benchmarks.consumer import run_consumer; run_consumer({kind!r})")
    figures = checkout.figures
    async with process(checkout, FIRST_PORT + 9, *command, **own) as running:
        idle = running.cpu_ms()
        rate = await a_second(folder / own["GROUP"], "SELECT count(*) FROM effect_ledger", EVENTS)
        figures[f"events a second, {kind}"].append(rate)
        figures[f"ms of a core an event, {kind}"].append((running.cpu_ms() - idle) / EVENTS)
        figures["MiB of memory, essay_lifecycle"].append(running.mebibytes())


async def upload(checkout: Checkout, name: str, folder: Path) -> None:
    """Measure one turn of the file service."""
    own = await surroundings(checkout.common["KAFKA"], name, folder)
    figures = checkout.figures
    async with process(checkout, FIRST_PORT + 9, "-m", "reference_impl.file_service", **own) as running:
        idle = running.cpu_ms()
        figures[f"uploads a second, {AT_ONCE} at once"].append(await uploaded_a_second(running.address))
        await a_second(folder / name, "SELECT count(*) FROM upload WHERE status != 'received'", UPLOADS)
        figures["ms of a core an upload"].append((running.cpu_ms() - idle) / UPLOADS)
        figures["MiB of memory, file_service"].append(running.mebibytes())


async def surroundings(kafka: str, name: str, folder: Path) -> Mapping[str, str]:
    """Create the topics of one turn; return its environment: topics, group and database."""
    run = RunNames(name)
    client = KafkaClient(kafka, run)
    await client.start()
    await client.create_topics(TOPICS)
    await client.stop()
    own = {f"TOPIC_{topic.upper().replace('-', '_')}": run.topic(topic) for topic in TOPICS}
    return own | {"GROUP": name, "DATABASE_URL": f"sqlite:///{folder}/{name}"}


def show(checkouts: list[Checkout]) -> None:
    """Print medians with minimum and maximum; the ratio is the median of the rounds' ratios."""
    for checkout in checkouts:
        without = checkout.figures[f"events a second, {KINDS[1]}"]
        for kind in (KINDS[0], KINDS[2]):
            rates = zip(checkout.figures[f"events a second, {kind}"], without, strict=True)
            checkout.figures[f"of no deduplication, {kind}"] = [rate / most for rate, most in rates]
    print(f"{f'medians of {ROUNDS} rounds':<40}", *(f"{checkout.name:<26}" for checkout in checkouts), sep="")
    first, *others = checkouts
    for row, values in first.figures.items():
        cells = [_cell(checkout.figures[row]) for checkout in checkouts]
        ratios = [statistics.median(map(truediv, values, other.figures[row])) for other in others]
        print(f"{row:<40}", *(f"{cell:<26}" for cell in cells), *(f"{ratio:.2f}" for ratio in ratios), sep="")


def _cell(values: list[float]) -> str:
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


async def on_a_stack(checkouts: list[Checkout]) -> None:
    """Measure on the scenarios' Kafka and Redis, without faults or proxies."""
    scenario = Path(__file__).parents[1] / "scenarios" / "control.yaml"
    plan = make_plan(scenario, system_path=None, variant=None, seed=1, stack="native")
    with tempfile.TemporaryDirectory() as folder:
        stack = open_stack(plan, Path(folder) / "logs")
        try:
            await stack.start()
            await measure(checkouts, stack.direct("kafka"), stack.direct("redis"), Path(folder))
        finally:
            await stack.stop()
    show(checkouts)


def main(base: Path | None = None) -> None:
    """Run everything once, against another checkout if one is given."""
    checkouts = [Checkout("here", Path(__file__).parents[1], sys.executable)]
    if base is not None:
        checkouts.append(Checkout("base", base, str(base / ".venv" / "bin" / "python")))
    asyncio.run(on_a_stack(checkouts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=Path, metavar="DIR", help="another checkout, with packages in its .venv")
    main(parser.parse_args().base)
