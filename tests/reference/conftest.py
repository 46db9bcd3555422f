"""Fakes behind the reference's protocols, and a real database for each test: on SQLite, and again on Postgres."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import pytest

from harness.stacks.native.install import install
from harness.stacks.native.parts import require
from harness.stacks.native.ports import Ports
from harness.stacks.native.postgres import USER, PostgresServer
from harness.stacks.process import Launch
from harness.stacks.reaper import VARIABLE
from harness.stacks.workspace import Workspace
from reference_impl.batch_orchestrator import core_logic as pipelines
from reference_impl.cj_assessment import core_logic as assessments
from reference_impl.common_core.events import EssayContentProvisionedV1, EventData, fact
from reference_impl.essay_lifecycle import core_logic as essays
from reference_impl.file_service import store
from reference_impl.file_service.document import Extraction
from reference_impl.file_service.extractor import Extractor
from reference_impl.service_libs import inbox as inboxes
from reference_impl.service_libs import ledger, outbox
from reference_impl.service_libs import suspects as suspicions
from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import ContentMissing, ContentUnavailable, KafkaUnavailable, RedisUnavailable
from reference_impl.service_libs.hints import Hints
from reference_impl.service_libs.idempotency import Idempotency, InboxGuard
from reference_impl.service_libs.inbox import Inbox
from reference_impl.service_libs.message import Delivery
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.outbox import Outbox, Relay
from reference_impl.service_libs.protocols import Claim
from reference_impl.service_libs.settings import ConsumerSettings, OutboxSettings
from reference_impl.service_libs.suspects import Suspects
from reference_impl.service_libs.teller import Teller
from reference_impl.spell_checker import core_logic as spellchecks

SERVICES = (store, essays, pipelines, spellchecks, assessments)
MIGRATIONS = [part.MIGRATION for part in (outbox, inboxes, ledger, suspicions, *SERVICES)]


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
        self.held_seconds = 30.0
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

    async def claim(self, done_key: str, digest: str, lease_key: str, token: str, seconds: int) -> Claim:
        await self._command()
        if self.keys.get(done_key) == digest:
            return Claim(done=True)
        if self.keys.get(lease_key, token) != token:
            return Claim(done=False, held_seconds=self.held_seconds)
        self.keys[lease_key], self.ttl[lease_key] = token, seconds
        return Claim(done=False)

    async def settle(self, done_key: str, digest: str, ttl_seconds: int, lease_key: str, token: str | None) -> None:
        await self._command()
        self.keys[done_key], self.ttl[done_key] = digest, ttl_seconds
        if token is not None and self.keys.get(lease_key) == token:
            del self.keys[lease_key]


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


class FakeExtractor:
    """The real one, within this process."""

    async def extract(self, content: bytes, file_name: str, version: int) -> Extraction:
        return Extractor(max_characters=1000, max_unpacked_bytes=100_000).extract(content, file_name, version)


@pytest.fixture
def extractor() -> FakeExtractor:
    return FakeExtractor()


@pytest.fixture
def consumer_settings() -> ConsumerSettings:
    """The defaults, but for what has none."""
    return ConsumerSettings(
        port=1, kafka="127.0.0.1:1", group="group", database_url="sqlite://", content_url="http://127.0.0.1:1"
    )


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


@pytest.fixture(scope="session")
def serve_postgres(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """``with serve_postgres(fsync="off") as new``: a real server; ``new()`` is the URL of an empty database."""
    install()

    @contextmanager
    def serve(**config: str) -> Iterator[Callable[[], str]]:
        workspace, ports = Workspace(), Ports()
        folder = workspace.folder / "postgres"
        folder.mkdir(mode=0o711)
        launch = Launch(
            (), {VARIABLE: workspace.token}, workspace.folder, tmp_path_factory.mktemp("postgres") / "log"
        )
        address = f"127.0.0.1:{ports.take()}"
        server = PostgresServer(
            "postgres", require().postgres, address, folder=folder / "files", config=config, launch=launch
        )
        numbers = count()

        def new() -> str:
            # A role with a schema of its own serves as a database, and costs next to nothing.
            name = f"test{next(numbers)}"
            with psycopg.connect(f"postgresql://{USER}@{address}/postgres") as connection:
                connection.execute(f"CREATE ROLE {name} LOGIN; CREATE SCHEMA AUTHORIZATION {name}")
            return f"postgresql://{name}@{address}/postgres"

        async def start() -> None:
            await server.start()
            await server.ready(60)

        try:
            asyncio.run(start())
            yield new
            asyncio.run(server.stop())
        finally:
            workspace.close()
            ports.close()

    return serve


@pytest.fixture(scope="session")
def postgres(serve_postgres: Callable[..., Any]) -> Iterator[Callable[[], str]]:
    """Gives the URL of an empty database on the one real server."""
    with serve_postgres() as new:
        yield new


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The test's one database, empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/db"
    return str(request.getfixturevalue("postgres")())


@pytest.fixture
async def open_database(database_url: str) -> AsyncIterator[Callable[[], Database]]:
    """Opens the test's one database, as each replica does."""
    opened: list[Database] = []

    def connect() -> Database:
        opened.append(Database(database_url, MIGRATIONS, busy_seconds=30))
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
def inbox(consumer_settings: ConsumerSettings, the_outbox: Outbox, clock: FakeClock) -> Inbox:
    return Inbox(consumer_settings, the_outbox, clock)


@pytest.fixture
def hints(redis: FakeRedis) -> Hints:
    return Hints(redis, Random(2), lease_seconds=2, retry_after=0.0)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def suspects(consumer_settings: ConsumerSettings, database: Database, backoff: Backoff) -> Suspects:
    return Suspects(consumer_settings, database, backoff, Random(4))


@pytest.fixture
def idempotency(  # noqa: PLR0917 - what a consumer needs
    consumer_settings: ConsumerSettings,
    database: Database,
    inbox: Inbox,
    hints: Hints,
    suspects: Suspects,
    backoff: Backoff,
    metrics: Metrics,
) -> Idempotency:
    guard = InboxGuard(database, inbox, hints, metrics)
    return Idempotency(consumer_settings, guard, database, inbox, suspects, backoff, metrics)


@pytest.fixture
def relay(  # noqa: PLR0917 - what a relay is made of
    database: Database, the_outbox: Outbox, bus: FakeBus, clock: FakeClock, backoff: Backoff, metrics: Metrics
) -> Relay:
    return Relay(OutboxSettings(), database, the_outbox, bus, clock, backoff, Random(3), metrics)


@pytest.fixture
def rows(database: Database) -> Callable[[str], Any]:
    """Rows of a query, as tuples."""

    async def ask(query: str) -> list[tuple[Any, ...]]:
        return await database.read(lambda connection: [tuple(row) for row in connection.exec_driver_sql(query)])

    return ask


@pytest.fixture
def delivered() -> Callable[..., Delivery]:
    """A delivery of an upload's outcome; by default of upload u1, provisioned."""

    def make(
        data: EventData | None = None, *, offset: int = 0, identity: object = None, occurrence: int = 1
    ) -> Delivery:
        told = data or EssayContentProvisionedV1(
            upload_id="u1",
            batch_id="u1",
            batch_size=1,
            file_name="a.txt",
            raw_file_storage_id="a" * 64,
            text_storage_id="b" * 64,
            extractor_version=2,
        )
        key = getattr(told, told.KEY[0])
        now = datetime(2024, 1, 1, tzinfo=UTC)
        event = fact(told, source="file_service", now=now, correlation_id=key, occurrence=occurrence)
        if identity is not None:
            event = event.model_copy(update={"event_id": UUID(str(identity))})
        return Delivery("essays", 0, offset, key.encode(), event.model_dump_json().encode())

    return make


@pytest.fixture
def letters(rows: Callable[[str], Any]) -> Callable[[], Any]:
    """The dead letters in the outbox, as JSON."""

    async def read() -> list[dict[str, Any]]:
        return [json.loads(value) for (value,) in await rows("SELECT value FROM outbox WHERE topic = 'dead-letters'")]

    return read


@pytest.fixture
def told(rows: Callable[[str], Any]) -> Callable[[str], Any]:
    """The events left in the outbox for a topic, in their order, as JSON."""

    async def read(topic: str) -> list[dict[str, Any]]:
        left = await rows(f"SELECT value FROM outbox WHERE topic = '{topic}' ORDER BY entry")
        return [json.loads(value) for (value,) in left]

    return read


class Interrupted:
    """A teller whose transaction is cut off just after it told an event: the first time, and when asked again."""

    def __init__(self, teller: Teller, clock: FakeClock) -> None:
        self._teller = teller
        self._clock = clock
        self._next = True
        self.cut_off: list[tuple[str, dict[str, Any]]] = []
        """Ids and data of the events that were lost so."""

    def cut_off_next(self) -> None:
        self._next = True

    def tell(self, transaction: Any, because: Any, data: EventData, *, topic: str, key: str) -> None:
        self._teller.tell(transaction, because, data, topic=topic, key=key)
        self._clock.pass_seconds(60)
        if self._next:
            self._next = False
            event = fact(data, source=self._teller.source, now=self._clock.now(), correlation_id="any")
            self.cut_off.append((str(event.event_id), event.model_dump(mode="json")["data"]))
            raise OSError("cut off before the commit")


@pytest.fixture
def interrupted(the_outbox: Outbox, clock: FakeClock) -> Callable[[str], Interrupted]:
    """Makes such a teller for a service."""
    return lambda source: Interrupted(Teller(the_outbox, clock, source), clock)


@dataclass(frozen=True)
class Replica:
    """What differs from one process of a service to another."""

    database: Database
    idempotency: Idempotency
    teller: Teller


@pytest.fixture
def replicas(  # noqa: PLR0917 - what they share
    consumer_settings: ConsumerSettings,
    database: Database,
    open_database: Callable[[], Database],
    redis: FakeRedis,
    backoff: Backoff,
    clock: FakeClock,
) -> Callable[[str, int], Any]:
    """Several processes of one service, on one database and one Redis."""

    async def make(source: str, number: int) -> list[Replica]:
        made = []
        for each in range(number):
            own = open_database()
            await own.start()
            outbox = Outbox(own)
            inbox = Inbox(consumer_settings, outbox, clock)
            hints = Hints(redis, Random(each), lease_seconds=2, retry_after=0.0)
            metrics = Metrics()
            guard = InboxGuard(own, inbox, hints, metrics)
            suspects = Suspects(consumer_settings, own, backoff, Random(each))
            idempotency = Idempotency(consumer_settings, guard, own, inbox, suspects, backoff, metrics)
            made.append(Replica(own, idempotency, Teller(outbox, clock, source)))
        return made

    return make


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


@pytest.fixture
def waits():
    """Set: a variant's handler goes on; else it waits in its preparation."""
    gate = asyncio.Event()
    gate.set()
    return gate
