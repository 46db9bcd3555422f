"""Several Redis in one system, one of which asks for a password: each is itself to probes, clients, faults and claims."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from harness.clients.exchange import dial
from harness.clients.login import Login
from harness.clients.probes import Prober
from harness.faults.base import FaultContext
from harness.faults.redis_lose import RedisLose
from harness.observers.claims import listen
from harness.session.live import LiveSystem
from harness.stack import RunNames
from harness.system import System

pytestmark = pytest.mark.asyncio(loop_scope="session")

PASSWORD = 'it is "secret" \\ über#alles'
PEER = {"image": "oneffect-tests:0.1.0", "command": "python peer.py"}
SYSTEM = {
    "oneffect": 1,
    "name": "stores",
    "dependencies": {
        "kafka": {"topics": {"work": 1}},
        "claims": {"kind": "redis", "config": {"requirepass": PASSWORD, "appendonly": "yes"}},
        "cache": {"kind": "redis", "config": {"save": "", "client-output-buffer-limit": "pubsub 32mb 8mb 60"}},
    },
    "services": {
        "peer": {**PEER, "env": {"PORT": "{port}", "CLAIMS": "{claims}", "CACHE": "{cache}", "KAFKA": "{kafka}"}}
    },
    "load": {"upload": {"to": "peer", "post": "/"}},
    "events": {"id": "/id", "type": "/type", "topics": ["work"]},
}
STORES = ["claims", "cache"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def live(open_stack: Any, tmp_path_factory: Any) -> AsyncIterator[LiveSystem]:
    folder: Path = tmp_path_factory.mktemp("stores")
    system = System.model_validate(SYSTEM)
    stack = open_stack(system, folder / "logs", Path(__file__).parents[1] / "chaos")
    try:
        await stack.start()
        made = LiveSystem(system, stack, RunNames("stores"))
        await made.connect()
        await made.start_services(folder, None)
        yield made
        await made.close()
    finally:
        await stack.stop()
    assert not await asyncio.to_thread(telling, folder)


def telling(folder: Path) -> list[Path]:
    """Logs that hold the password."""
    return [path for path in folder.rglob("*") if path.is_file() and PASSWORD in path.read_text(errors="replace")]


def client(live: LiveSystem, name: str) -> Redis:
    """As a service has one."""
    host, _, port = live.stack.direct(name).rpartition(":")
    return Redis(host=host, port=int(port), password=PASSWORD if name == "claims" else None)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", STORES)
async def test_each_answers_through_its_link(live: LiveSystem, name: str) -> None:
    for size in (0, 100_000):
        probe = await live.stack.links[f"peer#1->{name}"].probe(20, size)
        assert probe.answered, probe
    assert await live.stack.dependencies[name].state() == "ready"


async def test_it_does_ask_for_the_password(live: LiveSystem) -> None:
    async with dial(live.stack.direct("claims")) as (reader, writer):
        writer.write(b"PING\r\n")
        assert (await reader.readline()).startswith(b"-NOAUTH")


async def test_no_password_is_in_what_everybody_can_read(live: LiveSystem) -> None:
    pid = live.stack.dependencies["claims"].pid
    words = await asyncio.to_thread(Path(f"/proc/{pid}/cmdline").read_bytes)
    assert b"secret" not in words, "a process's command line"
    assert "secret" not in repr(Login(PASSWORD))


async def test_each_has_a_client_of_its_own(live: LiveSystem) -> None:
    async with AsyncExitStack() as cleanup:
        before = {name: await live.redis[name].size() for name in STORES}
        for name, keys in (("claims", 2), ("cache", 3)):
            service = client(live, name)
            cleanup.push_async_callback(service.aclose)
            for number in range(keys):
                await service.set(f"own-{number}", "v")
        sizes = {name: await live.redis[name].size() - before[name] for name in STORES}
        assert sizes == {"claims": 2, "cache": 3}
        assert (await live.redis["claims"].info("server"))["tcp_port"] == int(
            live.stack.direct("claims").rpartition(":")[2]
        )


async def test_claims_are_heard_on_each(live: LiveSystem) -> None:
    """Past a value that is longer than the longest line asyncio reads."""
    heard: set[str] = set()
    recorder = SimpleNamespace(now=lambda: 0, record=lambda *_, key, **__: heard.add(key))
    looks = [asyncio.create_task(listen(store, recorder)) for store in live.redis.values()]
    services = {name: client(live, name) for name in STORES}
    try:

        async def all_heard() -> bool:
            for name, service in services.items():
                await service.set(f"long-in-{name}", "x" * 70_000)
                await service.set(f"claim-in-{name}", "mine", nx=True)
            return {f"claim-in-{name}" for name in STORES} <= heard

        await until(all_heard)
    finally:
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        for service in services.values():
            await service.aclose()


@pytest.mark.parametrize("name", STORES)
async def test_a_fault_is_on_the_store_that_it_names(live: LiveSystem, name: str) -> None:
    (other,) = set(STORES) - {name}
    for one in STORES:
        service = client(live, one)
        await service.set("kept", "v")
        await service.aclose()
    planned: Any = SimpleNamespace(id="f1", system=live.system)
    recorder = SimpleNamespace(record=lambda *_, **__: 0)
    context = FaultContext(planned, recorder, live.stack, live.kafka, Random(1), live.redis)
    async with RedisLose().inject(name, context) as injected:
        assert await injected.armed() is not None
    told = await injected.aftermath()
    assert told["keys"] == 0
    assert told["keys_before"]
    assert await live.redis[other].size()


async def test_a_client_that_is_told_of_no_password_says_what_to_do(live: LiveSystem) -> None:
    probe = await Prober(live.stack.direct("claims"), "redis").probe(20)
    assert not probe.answered
    assert "requirepass" in probe.error
    wrong = await Prober(live.stack.direct("claims"), "redis", login=Login("wrong-one")).probe(20)
    assert "WRONGPASS" in wrong.error
    assert "wrong-one" not in wrong.error


async def test_monitor_is_logged_in(live: LiveSystem) -> None:
    async with asyncio.timeout(30), aclosing(live.redis["claims"].monitor()) as told:  # type: ignore[type-var]
        asking = asyncio.create_task(_ask(live))
        try:
            async for _, command, _ in told:
                if command.upper() == "DBSIZE":
                    break
        finally:
            asking.cancel()


async def _ask(live: LiveSystem) -> None:
    while True:
        await live.redis["claims"].size()
        await asyncio.sleep(0.02)
