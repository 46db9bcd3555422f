"""Links to brokers as they are, with one listener each for everybody: a run's taps keep each client on its own link."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
import yaml
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient

from harness.clients.kafka import KafkaClient
from harness.clients.toxiproxy import ToxiproxyClient
from harness.faults import fault_type
from harness.faults.base import FaultContext, PlannedFault
from harness.session.tapped import tapped
from harness.stack import Record
from harness.stacks.external.stack import ExternalStack
from harness.stacks.native.stack import NativeStack
from harness.system import System
from tests.chaos.notes import Notes
from tests.chaos.second_broker import second_broker
from tests.chaos.test_external import KILL, START

HERE = Path(__file__).parent
PATIENCE = 300.0
PARTITIONS = 2
NAMES = ("reader", "other")
LINK, OTHER = "reader#1->kafka", "other#1->kafka"
PROXY = "reader-1.kafka"
"""What the link is called at its Toxiproxy."""
PLAN: Any = SimpleNamespace(taps={LINK: "kafka"})
SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "readers",
        "dependencies": {"kafka": {"topics": {"work": PARTITIONS}}},
        "services": {name: {"command": "python reader.py", "env": {"KAFKA": "{kafka}"}} for name in NAMES},
        "load": {"upload": {"to": "reader", "post": "/"}},
        "events": {"id": "/id", "type": "/type", "topics": ["work"]},
    }
)


@dataclass
class There:
    """The running system: its addresses file, where its broker and one Toxiproxy are, and what each reader has seen."""

    addresses: Path
    broker: str
    api: str

    def seen(self, name: str) -> list[str]:
        with suppress(FileNotFoundError):
            return (self.addresses.parent / f"{name}.seen").read_text().split()
        return []

    async def leads(self) -> str:
        """Where the link's proxy leads."""
        upstream: str = (await ToxiproxyClient(self.api).proxies())[PROXY]["upstream"]
        return upstream

    async def until_seen(self, name: str, value: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while value not in self.seen(name):
                await asyncio.sleep(0.05)


def commands(name: str) -> dict[str, str]:
    return {one: shlex.join([sys.executable, f"{one}.py", name]) for one in ("kill", "start")}


@pytest_asyncio.fixture(params=[1, 2], ids=["one", "cluster"])
async def there(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[There]:
    """Two readers that run already, and whose proxies lead to the listener of the one broker, or of the first of two."""
    stack, others = NativeStack(SYSTEM, tmp_path / "logs", tmp_path), AsyncExitStack()
    (tmp_path / "start.py").write_text(START)
    (tmp_path / "kill.py").write_text(KILL)
    try:
        await stack.start()
        broker, links = stack.direct("kafka"), {}
        if request.param > 1:
            await others.enter_async_context(second_broker(stack))
        for name in NAMES:
            replica, link = f"{name}#1", stack.links[f"{name}#1->kafka"]
            await stack.lead(link.name, broker)
            links[link.name] = {"listen": link.address, "api": link.api, "proxy": link.proxy}
            env = {"KAFKA": link.address, "TOPIC": "work", "GROUP": name, "SEEN": str(tmp_path / f"{name}.seen")}
            how = {
                "command": [sys.executable, str(HERE / "reader.py")],
                "env": {**os.environ, **env, "PORT": stack.direct(replica).rpartition(":")[2]},
                "cwd": str(tmp_path),
            }
            (tmp_path / f"{name}.json").write_text(json.dumps(how))
        (tmp_path / "there.yaml").write_text(
            yaml.safe_dump(
                {
                    "oneffect": 1,
                    "taps": "127.0.0.1",
                    "dependencies": {"kafka": broker},
                    "services": {f"{name}#1": stack.direct(f"{name}#1") for name in NAMES},
                    "links": links,
                    "commands": {f"{name}#1": commands(name) for name in NAMES},
                }
            )
        )
        kafka = KafkaClient(broker, ExternalStack(SYSTEM, tmp_path / "there.yaml").names("r"))
        await kafka.start()
        await kafka.create_topics({"work": PARTITIONS})
        await kafka.stop()
        assert len(await leaders(broker)) == request.param
        for name in NAMES:
            await (await asyncio.create_subprocess_exec(sys.executable, "start.py", name, cwd=tmp_path)).wait()
        yield There(tmp_path / "there.yaml", broker, links[LINK]["api"])
    finally:
        for pid in _pids(tmp_path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await others.aclose()
        await stack.stop()


async def leaders(broker: str) -> set[int | None]:
    """The brokers that lead the topic's partitions."""
    client = AIOKafkaClient(bootstrap_servers=broker)
    await client.bootstrap()
    try:
        await client.add_topic("work")
        return {client.cluster.leader_for_partition(TopicPartition("work", number)) for number in range(PARTITIONS)}
    finally:
        await client.close()


def _pids(folder: Path) -> Iterator[int]:
    for file in folder.glob("*.pid"):
        yield int(file.read_text())


async def test_a_link_that_is_down_cuts_its_client_and_no_other(there: There) -> None:
    stack, notes = ExternalStack(SYSTEM, there.addresses), Notes()
    names = stack.names("r")
    kafka = KafkaClient(there.broker, names)
    for replica in stack.services.values():
        await replica.ready(PATIENCE)
    await stack.start()
    try:
        await kafka.start()
        async with tapped(PLAN, stack, notes, names):
            await stack.start_services(names, there.addresses.parent, None)
            assert await there.leads() == stack.detour(LINK).listen
            for number in range(PARTITIONS):
                await kafka.publish(record(f"before-{number}", number))
                for name in NAMES:
                    await there.until_seen(name, f"before-{number}")
            down = fault_type("net.down")()
            planned = PlannedFault("f1", down, LINK, None, None, 1, SYSTEM)
            async with down.inject(LINK, FaultContext(planned, notes, stack, kafka, Random(1))):
                values = [f"while-{number}" for number in range(6)]
                for number, value in enumerate(values):
                    await kafka.publish(record(value, number))
                    await there.until_seen("other", value)
                assert not set(values) & set(there.seen("reader")), "it has a way past its link"
            for value in values:
                await there.until_seen("reader", value)
        assert await there.leads() == there.broker
        commands = {record["command"] for record in notes.wire() if record["phase"] == "answered"}
        assert {"Metadata", "FindCoordinator", "Fetch"} <= commands
        assert {record["link"] for record in notes.wire()} == {LINK}, "on the other link nothing is recorded"
        assert not {record["phase"] for record in notes.wire()} & {"plain", "failed"}
        for proxy in stack.links[LINK].proxies:
            assert not (await ToxiproxyClient(there.api).proxies())[proxy]["toxics"]
        # A harness that is killed leaves the proxy as it was during the run; the next one finds where it led.
        await stack.lead(LINK, stack.detour(LINK).listen)
        assert await there.leads() != there.broker
    finally:
        await kafka.stop()
        stack._broker_proxies.clear()
        await stack.stop()
    again = ExternalStack(SYSTEM, there.addresses)
    await again.start()
    await again.stop()
    assert await there.leads() == there.broker
    assert list(await ToxiproxyClient(there.api).proxies()) == [PROXY]
    assert not list(there.addresses.parent.glob("*.led*"))


def record(value: str, number: int) -> Record:
    return Record("work", number % PARTITIONS, 0, None, value.encode())
