"""Fakes behind the reference's protocols, and a real SQLite database for each test."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import SerializeAsAny

from reference_impl.common_core.envelope import EventEnvelope
from reference_impl.common_core.event_ids import event_id
from reference_impl.common_core.events import EssayContentProvisionedV1, EventData
from reference_impl.essay_lifecycle import core_logic as essays
from reference_impl.file_service import store
from reference_impl.service_libs import inbox as inboxes
from reference_impl.service_libs import ledger, outbox
from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import ContentMissing, ContentUnavailable, KafkaUnavailable, RedisUnavailable
from reference_impl.service_libs.hints import Hints
from reference_impl.service_libs.idempotency import Idempotency, InboxGuard
from reference_impl.service_libs.inbox import Inbox
from reference_impl.service_libs.message import Delivery
from reference_impl.service_libs.outbox import Outbox, Relay
from reference_impl.service_libs.settings import OutboxSettings

MIGRATIONS = [outbox.MIGRATION, inboxes.MIGRATION, ledger.MIGRATION, essays.MIGRATION, store.MIGRATION]


class FakeClock:
    """Goes on only when told to."""

    def __init__(self) -> None:
        self.time = datetime(2024, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def pass_seconds(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class FakeRedis:
    """A dictionary that can be down, and whose keys never run out by themselves."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.ttl: dict[str, int | None] = {}
        self.down = False
        self.commands = 0

    async def _command(self) -> None:
        self.commands += 1
        if self.down:
            raise RedisUnavailable("down")

    async def start(self) -> None:
        await self._command()

    async def stop(self) -> None: ...

    async def set_if_not_exists(self, key: str, value: Any, ttl_seconds: int | None = None) -> bool:
        await self._command()
        if key in self.keys:
            return False
        self.keys[key], self.ttl[key] = value, ttl_seconds
        return True

    async def delete_key(self, key: str) -> int:
        await self._command()
        return int(self.keys.pop(key, None) is not None)

    async def delete_if_equals(self, key: str, value: str) -> bool:
        await self._command()
        if self.keys.get(key) != value:
            return False
        del self.keys[key]
        return True

    async def get(self, key: str) -> str | None:
        await self._command()
        return self.keys.get(key)

    async def set(self, key: str, value: str, ttl_seconds: int) -> None:
        await self._command()
        self.keys[key], self.ttl[key] = value, ttl_seconds

    async def remaining_seconds(self, key: str) -> float:
        await self._command()
        return 30.0 if key in self.keys else 0.0


class FakeBus:
    """Keeps what was published; ``refuse`` says which records are not acknowledged."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str, bytes]] = []
        self.refuse: Callable[[str, bytes], bool] = lambda _key, _value: False

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def publish(self, topic: str, key: str, value: bytes) -> None:
        if self.refuse(key, value):
            raise KafkaUnavailable("refused")
        self.published.append((topic, key, value))


class FakeContent:
    """Blobs in a dictionary."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.kinds: list[str] = []
        self.down = False

    async def store_content(self, content: bytes, content_type: Any) -> str:
        if self.down:
            raise ContentUnavailable("down")
        storage_id = hashlib.sha256(content).hexdigest()
        self.blobs[storage_id] = content
        self.kinds.append(str(content_type))
        return storage_id

    async def fetch_content(self, storage_id: str) -> bytes:
        if self.down:
            raise ContentUnavailable("down")
        if storage_id not in self.blobs:
            raise ContentMissing(storage_id)
        return self.blobs[storage_id]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def content() -> FakeContent:
    return FakeContent()


@pytest.fixture
def backoff() -> Backoff:
    return Backoff(0.001, 0.002, Random(1))


@pytest.fixture
async def open_database(tmp_path: Path) -> AsyncIterator[Callable[[], Database]]:
    """Opens the test's one database file, as each replica does."""
    opened: list[Database] = []

    def connect() -> Database:
        opened.append(Database(f"sqlite:///{tmp_path}/db", MIGRATIONS, Random(len(opened)), busy_seconds=30))
        return opened[-1]

    yield connect
    for database in opened:
        await database.stop()


@pytest.fixture
async def database(open_database: Callable[[], Database]) -> Database:
    opened = open_database()
    await opened.start()
    return opened


@pytest.fixture
def the_outbox(database: Database) -> Outbox:
    return Outbox(database)


@pytest.fixture
def inbox(database: Database, the_outbox: Outbox) -> Inbox:
    return Inbox(database, the_outbox, "dead-letters")


@pytest.fixture
def hints(database: Database, redis: FakeRedis) -> Hints:
    return Hints(redis, Random(2), lambda: database.epoch, lease_seconds=2, retry_after=0.0)


@pytest.fixture
def idempotency(database: Database, inbox: Inbox, hints: Hints, backoff: Backoff) -> Idempotency:
    return Idempotency(InboxGuard(database, inbox, hints), inbox, backoff)


@pytest.fixture
def relay(database: Database, the_outbox: Outbox, bus: FakeBus, clock: FakeClock, backoff: Backoff) -> Relay:
    return Relay(OutboxSettings(), database, the_outbox, bus, clock, backoff, Random(3))


@pytest.fixture
def rows(database: Database) -> Callable[[str], Any]:
    """Rows of a query, as tuples."""

    async def ask(query: str) -> list[tuple[Any, ...]]:
        async with database.reading() as connection:
            return [tuple(row) for row in await connection.exec_driver_sql(query)]

    return ask


@pytest.fixture
def delivered() -> Callable[..., Delivery]:
    """A delivery of an upload's outcome; by default of upload u1, provisioned."""

    def make(data: EventData | None = None, *, offset: int = 0, identity: object = None) -> Delivery:
        told = data or EssayContentProvisionedV1(
            upload_id="u1", file_name="a.txt", raw_file_storage_id="a" * 64, text_storage_id="b" * 64
        )
        key = told.model_dump()["upload_id"]
        event = EventEnvelope[SerializeAsAny[EventData]](
            event_id=identity or event_id(told.EVENT_TYPE, "file_service", key),
            event_type=told.EVENT_TYPE,
            event_timestamp=datetime(2024, 1, 1, tzinfo=UTC),
            source_service="file_service",
            correlation_id=key,
            causation_id=None,
            data=told,
        )
        return Delivery("essays", 0, offset, key.encode(), event.model_dump_json().encode())

    return make


@pytest.fixture
def letters(rows: Callable[[str], Any]) -> Callable[[], Any]:
    """The dead letters in the outbox, as JSON."""

    async def read() -> list[dict[str, Any]]:
        return [json.loads(value) for (value,) in await rows("SELECT value FROM outbox WHERE topic = 'dead-letters'")]

    return read


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits for a condition, generously."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def service_environment(monkeypatch, tmp_path):
    """What every service needs to be built; nothing answers at these addresses."""
    environment = {
        "PORT": "1",
        "BLOB_DIR": str(tmp_path / "blobs"),
        "KAFKA": "127.0.0.1:1",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "CONTENT_URL": "http://127.0.0.1:1",
        "DATABASE_URL": f"sqlite:///{tmp_path}/service",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment
