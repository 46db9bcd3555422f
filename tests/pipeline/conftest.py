"""The whole reference on the native stack, once with SQLite and once with Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from harness.clients import sql
from harness.clients.kafka import KafkaClient, TopicReader
from harness.files import load
from harness.load.documents import Document
from harness.stack import RunNames
from harness.stacks.native.install import install
from harness.stacks.native.stack import NativeStack
from harness.system import System
from tests.pipeline.door import GENEROUS, hand_in

REFERENCE = Path(__file__).parents[2] / "reference_impl"


@dataclass
class Pipeline:
    """The running services, and looks past the proxies at what they did."""

    system: System
    stack: NativeStack
    names: RunNames
    kafka: KafkaClient
    reader: TopicReader
    http: httpx.AsyncClient
    events: list[Mapping[str, Any]]

    async def upload(self, key: str, document: Document, batch: str, size: int) -> httpx.Response:
        """One upload, with its own key."""
        url = f"http://{self.stack.direct('file_service')}/v1/files"
        return await hand_in(self.http, url, key, document, batch, size)

    async def rows(self, service: str, query: str) -> list[dict[str, object]]:
        """What a service's database says, past the proxies."""
        url = self.system.effects[service].sql.url.replace("{database}", self.names.database(service))
        url = url.replace("{data}", str(self.stack.data(service)))
        for name in self.system.dependencies:
            url = url.replace(f"{{{name}}}", self.stack.direct(name))
        return await sql.rows(url, query)

    async def effects(self, service: str) -> list[str]:
        """The business keys of the effects that a service has applied, each as often as it was."""
        found = await self.rows(service, "SELECT event_id AS id, business_key AS effect FROM effect_ledger")
        return [str(row["effect"]) for row in found]

    async def told(self, event_type: str) -> list[Mapping[str, Any]]:
        """Each fact of a type once, however often it was published; with an id that was not used for another."""
        self.events += [orjson.loads(record.value or b"") for record in await self.reader.pass_to_end()]
        found: dict[str, Mapping[str, Any]] = {}
        for event in self.events:
            if event["event_type"] == event_type:
                known = found.setdefault(event["event_id"], event)
                assert known["data"] == event["data"]
        return list(found.values())

    async def until(self, condition: Callable[[], Awaitable[object]]) -> None:
        """Wait for a condition; TimeoutError if it does not come."""
        async with asyncio.timeout(GENEROUS):
            while not await condition():
                await asyncio.sleep(0.05)

    async def kill(self, replica: str) -> None:
        """SIGKILL, and a new process."""
        service = self.stack.services[replica]
        assert await service.kill() == -9
        await service.start()

    async def deliver_again(self, service: str) -> None:
        """Set a service's group back to its first record, and wait until it has passed all of them once more."""
        replicas = [one for name, one in self.stack.services.items() if name.partition("#")[0] == service]
        await asyncio.gather(*(replica.stop() for replica in replicas))
        passed = await self.kafka.committed(service)
        assert any(passed.values())
        await self.kafka.set_offsets(service, dict.fromkeys(passed, 0))
        await asyncio.gather(*(replica.start() for replica in replicas))

        async def again() -> bool:
            now = await self.kafka.committed(service)
            return all(now.get(at, 0) >= offset for at, offset in passed.items())

        await self.until(again)


@pytest_asyncio.fixture(
    loop_scope="function", params=["system.yaml", pytest.param("system.postgres.yaml", marks=pytest.mark.wide)]
)
async def pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pipeline]:
    await asyncio.to_thread(install)
    system = load(REFERENCE / request.param, System)
    stack = NativeStack(system, tmp_path / "stack", REFERENCE)
    names = RunNames("pipeline")
    try:
        await stack.start()
        kafka = KafkaClient(stack.direct("kafka"), names)
        await kafka.start()
        try:
            await kafka.create_topics(system.topics())
            reader = await kafka.reader({topic: system.topics()[topic] for topic in system.events.topics})
            await stack.start_services(names, tmp_path, None)
            async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
                yield Pipeline(system, stack, names, kafka, reader, http, [])
            await reader.close()
        finally:
            await kafka.stop()
    finally:
        await stack.stop()
