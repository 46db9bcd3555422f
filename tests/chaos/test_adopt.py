"""A suite that has a broker and a store already, and starts its own consumer: right, wrong, deaf, and past the proxies."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from psycopg.conninfo import make_conninfo

import oneffect
from harness.observers import before
from harness.stacks.adopted.code import CODE
from harness.stacks.native.postgres import USER
from harness.stacks.native.stack import NativeStack
from harness.system import System
from tests.chaos.adopted.billing import backwards, billing, bills, prepare, read
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "use-it-in-pytest.md"

SLOWLY = "120s"
"""How long the system may take to come to rest: a machine is busy at times."""

SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "suite",
        "dependencies": {
            "kafka": {"topics": {"unused": 1}},
            "redis": {"config": {"requirepass": ""}},
            "postgres": {},
        },
        "services": {"none": {"command": "none"}},
        "load": {"publish": {"topic": "unused", "value": {"id": "{id}", "type": "none"}}},
        "events": {"id": "/id", "type": "/type", "topics": ["unused"]},
    }
)


class Kafka:
    """What ``KafkaContainer`` has."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_bootstrap_server(self) -> str:
        return self._address


class Redis:
    """What ``RedisContainer`` has."""

    port, password = 6379, None

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")

    def get_container_host_ip(self) -> str:
        return self._host

    def get_exposed_port(self, port: int) -> str:
        assert port == self.port
        return self._port


class Postgres:
    """What ``PostgresContainer`` has."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_connection_url(self) -> str:
        return f"postgresql+psycopg2://{USER}:unused@{self._address}/postgres"


@dataclass
class Suite:
    """What the suite has."""

    kafka: Any
    redis: Any
    session: oneffect.Session
    postgres: Any = None

    def put(self, topic: str, *ids: str) -> None:
        async def publish() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.kafka.get_bootstrap_server())
            await producer.start()
            for event_id in ids:
                await producer.send_and_wait(
                    topic, b'{"id": "%s", "type": "placed"}' % event_id.encode(), partition=0
                )
            await producer.stop()

        asyncio.run(publish())

    def topic(self, name: str) -> None:
        async def create() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.get_bootstrap_server())
            await admin.start()
            await admin.create_topics([NewTopic(name, 2, 1)])
            await admin.close()

        asyncio.run(create())


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("suite")
    stack = NativeStack(SYSTEM, folder / "logs", folder)
    asyncio.run(stack.start())
    try:
        with oneffect.session(out=folder / "runs", seed=41) as session:
            postgres = Postgres(stack.direct("postgres"))
            yield Suite(Kafka(stack.direct("kafka")), Redis(stack.direct("redis")), session, postgres)
    finally:
        asyncio.run(stack.stop())


@dataclass
class Shop:
    """One test's topic, group and database."""

    suite: Suite
    name: str
    database: Path | str

    def adopted(
        self, effects=None, settle: str = "8s", *, coded: bool = False, taps=None, postgres=None
    ) -> oneffect.Opening:
        coder = f"{read.__module__}:{{}}".format
        decoded = {"decode": {"function": coder(read.__name__)}} if coded else {}
        encoded = {"encode": {"function": coder(backwards.__name__)}} if coded else {}
        return self.suite.session.adopt(
            kafka=self.suite.kafka,
            redis=self.suite.redis,
            postgres=postgres,
            group=self.name,
            events={"id": "/id", "type": "/type", "topics": [self.name], **decoded},
            publish={"topic": self.name, "value": {"id": "{id}", "type": "placed", "data": {"n": "{n}"}}, **encoded},
            applies=["placed"],
            effects=effects or (lambda: bills(self.database)),
            settle=settle,
            taps=taps,
        )

    def billing(self, kafka: str, redis: str, flaw: str = "", database: str | None = None):
        return billing(
            kafka=kafka,
            redis=redis,
            database=database or self.database,
            topic=self.name,
            group=self.name,
            flaw=flaw,
        )

    def at(self, address: str) -> str:
        """The suite's database at an address, its own or a proxy's."""
        url = urlsplit(self.suite.postgres.get_connection_url())
        host, _, port = address.rpartition(":")
        name = url.path.removeprefix("/")
        return make_conninfo(host=host, port=port, user=url.username, password=url.password, dbname=name)


@pytest.fixture
def shop(suite: Suite, tmp_path: Path, request: pytest.FixtureRequest) -> Shop:
    suite.topic(name := re.sub(r"[^\w.-]", "-", f"Orders.{request.node.name[-30:]}"))
    prepare(tmp_path / "bills.db")
    return Shop(suite, name, tmp_path / "bills.db")


def test_a_consumer_that_is_right_is_valid_through_faults_that_bit(shop: Shop) -> None:
    with shop.adopted() as run, shop.billing(run.address("kafka"), run.address("redis")):
        run.publish(count=20)
        with run.fault("net.down", on="redis"):
            run.publish(count=20)
        with run.fault("net.down", on="kafka"):
            run.publish(count=20)
        verdict = run.verdict(SLOWLY)
    assert verdict.valid, verdict.story()
    assert [(one["name"], one["target"], "bit" in one) for one in verdict.document["faults"]] == [
        ("net.down", "code#1->redis", True),
        ("net.down", "code#1->kafka", True),
    ]


@pytest.mark.wide
@pytest.mark.parametrize("flaw", ["", "setnx"])
def test_values_may_be_something_else_than_json(shop: Shop, flaw: str) -> None:
    with shop.adopted(coded=True) as run, shop.billing(run.address("kafka"), run.address("redis"), flaw=flaw):
        run.publish(count=20)
        with run.fault("net.hang", on="redis", direction="downstream"):
            run.publish(count=20)
        verdict = run.verdict(SLOWLY)
    assert verdict.invalid if flaw else verdict.valid, verdict.story()
    assert ("lost" in verdict.anomalies) == bool(flaw)


def test_one_that_takes_a_key_in_redis_for_the_deed_is_invalid(shop: Shop) -> None:
    with shop.adopted() as run, shop.billing(run.address("kafka"), run.address("redis"), flaw="setnx"):
        run.publish(count=20)
        with run.fault("net.hang", on="redis", direction="downstream"):
            run.publish(count=20)
        verdict = run.verdict(SLOWLY)
    assert verdict.invalid, verdict.story()
    assert verdict.anomalies["lost"] >= 1


@pytest.mark.parametrize("flaw", ["", "setnx"])
def test_a_fault_acts_at_one_message_of_the_code(shop: Shop, flaw: str) -> None:
    with (
        shop.adopted(taps="all") as run,
        shop.billing(run.address("kafka"), run.address("redis"), flaw=flaw),
    ):
        run.publish(count=20)
        with run.fault("tap.lose_reply", on="redis", when={"request": "SET *"}):
            run.publish(count=5)
        with run.fault("tap.lose_reply", on="kafka", when={"request": f"OffsetCommit {CODE}"}):
            run.publish(count=5)
        verdict = run.verdict(SLOWLY)
    assert verdict.invalid if flaw else verdict.valid, verdict.story()
    assert verdict.anomalies.get("lost", 0) == (1 if flaw else 0)
    assert [bool(one["bit"]) for one in verdict.document["faults"]] == [True, True]


@pytest.mark.parametrize("flaw", ["", "setnx"])
def test_effects_may_be_in_postgres(shop: Shop, flaw: str) -> None:
    in_postgres(shop, flaw)


def in_postgres(shop: Shop, flaw: str) -> None:
    """A commit is refused, and the database goes away."""
    postgres = shop.suite.postgres
    whole = urlsplit(postgres.get_connection_url())
    shop.database = shop.at(f"{whole.hostname}:{whole.port}")
    prepare(shop.database)
    with (
        shop.adopted(taps="all", postgres=postgres) as run,
        shop.billing(run.address("kafka"), run.address("redis"), flaw, shop.at(run.address("postgres"))),
    ):
        run.publish(count=20)
        with run.fault("tap.error", on="postgres", when={"request": "COMMIT *"}, error="40001"):
            run.publish(count=5)
        with run.fault("net.down", on="postgres"):
            run.publish(count=20)
        verdict = run.verdict(SLOWLY)
    assert verdict.invalid if flaw else verdict.valid, verdict.story()
    assert (verdict.anomalies.get("lost", 0) > 0) == bool(flaw)
    assert [bool(one["bit"]) for one in verdict.document["faults"]] == [True, True]


@pytest.mark.wide
def test_one_that_goes_past_the_proxies_shows_nothing(shop: Shop) -> None:
    direct = shop.suite.kafka.get_bootstrap_server(), f"{shop.suite.redis._host}:{shop.suite.redis._port}"
    with shop.adopted() as run, shop.billing(*direct):
        run.publish(count=20)
        verdict = run.verdict(SLOWLY)
    assert verdict.unknown, verdict.story()
    assert verdict.anomalies["link_unused"] == 2
    assert "no connection on this link: the code under test never connected on code#1->redis" in verdict.story()


@pytest.mark.wide
def test_it_may_run_in_another_process_and_only_its_links_can_be_broken(shop: Shop) -> None:
    with shop.adopted() as run:
        words = [run.address("kafka"), run.address("redis"), shop.name, shop.name, str(shop.database)]
        program = Path(__file__).parent / "adopted" / "billing.py"
        with subprocess.Popen([sys.executable, str(program), *words]) as process:
            try:
                run.publish(count=20)
                with run.fault("kafka.duplicate", on=shop.name, count=5):
                    run.publish(count=5)
                with (
                    pytest.raises(oneffect.PlanRefused, match="only links can be broken"),
                    run.fault("service.kill", on="code"),
                ):
                    raise AssertionError
                with (
                    pytest.raises(oneffect.PlanRefused, match="take its link down"),
                    run.fault("redis.lose", on="redis"),
                ):
                    raise AssertionError
                verdict = run.verdict(SLOWLY)
            finally:
                process.kill()
    assert verdict.valid, verdict.story()


@pytest.mark.long
def test_one_that_has_ended_is_not_called_wrong_for_what_it_never_saw(shop: Shop) -> None:
    with shop.adopted(settle="2s") as run:
        with shop.billing(run.address("kafka"), run.address("redis")):
            run.publish(count=20)
            assert run.drain(SLOWLY)
        run.publish(count=5)
        verdict = run.verdict("1s")
    assert verdict.unknown, verdict.story()
    assert "not_at_rest" in verdict.anomalies
    with verdict.history() as history:
        (ended,) = {
            str(row["error"])
            for row in history.sql("SELECT error FROM history WHERE op = 'health' AND phase = 'bad'")
        }
    assert "the code under test has no connection on code#1->kafka" in ended


@pytest.mark.wide
def test_effects_that_cannot_be_read_show_nothing(shop: Shop) -> None:
    broken = True

    def read() -> list[dict[str, object]]:
        if broken:
            raise OSError("no such table")
        return bills(shop.database)

    with (
        pytest.raises(
            oneffect.StackError, match=r"read\(\) gave no rows: OSError: no such table; it must return mappings"
        ),
        shop.adopted(read, settle="2s"),
    ):
        raise AssertionError
    broken = False
    with shop.adopted(read, settle="2s") as run, shop.billing(run.address("kafka"), run.address("redis")):
        run.publish(count=20)
        broken = True
        verdict = run.verdict("10s")
    assert verdict.unknown, verdict.story()
    assert "read_failed" in verdict.anomalies


def test_what_was_there_before_must_have_been_passed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """By nobody, by a group that is behind, by one that is not."""
    monkeypatch.setattr(before, "COMES_TO_REST", 1.0)
    direct = shop.suite.kafka.get_bootstrap_server(), f"{shop.suite.redis._host}:{shop.suite.redis._port}"
    for number, event_id in enumerate(["a", "b"], 1):
        shop.suite.put(shop.name, event_id)
        with (
            pytest.raises(oneffect.StackError, match=r"has not passed: orders-.*:0 \(code\)"),
            shop.adopted(settle="1s"),
        ):
            raise AssertionError
        with shop.billing(*direct):
            asyncio.run(until_passed(shop, number))
    with pytest.raises(oneffect.UsageError, match="ended without a verdict"), shop.adopted(settle="1s") as run:
        assert run.address("kafka") != direct[0]


async def until_passed(shop: Shop, count: int) -> None:
    """Wait until the group has committed so many records of the first partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=shop.suite.kafka.get_bootstrap_server())
    await admin.start()
    async with asyncio.timeout(120):
        while (await admin.list_consumer_group_offsets(shop.name)).get(TopicPartition(shop.name, 0), (-1,))[
            0
        ] < count:
            await asyncio.sleep(0.05)
    await admin.close()


def test_the_page_does_what_it_says(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (one for one in blocks(PAGE) if one.words == "containers")
    monkeypatch.syspath_prepend(Path(__file__).parent / "adopted")
    monkeypatch.chdir(tmp_path)
    suite.topic("orders")
    page: dict[str, Any] = {}
    exec(block.text, page)
    page["test_orders_are_billed_once_through_a_redis_outage"](suite.kafka, suite.redis, tmp_path)
