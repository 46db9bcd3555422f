"""One warm stack with the tiny system, for all tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from aiokafka.errors import KafkaError

from harness.clients.kafka import KafkaClient
from harness.clients.redis import RedisClient
from harness.stack import RunNames
from harness.stacks.native.stack import NativeStack
from harness.system import System

HERE = Path(__file__).parent
GENEROUS = 120.0
"""Seconds until a test gives up waiting for a condition."""


def tiny() -> System:
    return System.model_validate(yaml.safe_load((HERE / "system.yaml").read_text()))


@dataclass
class Rig:
    """The stack, its services, and the harness's own clients."""

    system: System
    stack: NativeStack
    kafka: KafkaClient
    redis: RedisClient
    folder: Path

    async def busy(self) -> None:
        """Let the workers work, and wait until each link is used."""
        (self.stack.data("worker") / "busy").touch()
        await self.working()

    def rest(self) -> None:
        """Let the workers rest soon."""
        (self.stack.data("worker") / "busy").unlink(missing_ok=True)

    async def idle(self) -> None:
        """Let the workers rest, and wait until no link has a connection."""
        self.rest()
        await self.until(self._silent)

    async def _silent(self) -> bool:
        return not any([(await link.traffic()).connections for link in self.stack.links.values()])

    async def working(self) -> None:
        """Wait until every link answers and moves bytes, and the group commits."""
        links = list(self.stack.links.values())
        for link in links:

            async def answers(link: Any = link) -> bool:
                return (await link.probe(1.0)).answered

            await self.until(answers)
        before = [await link.traffic() for link in links]

        async def moving() -> bool:
            now = [await link.traffic() for link in links]
            return all(
                any(
                    received > had.connections.get(port, (0, 0))[0] and sent > had.connections.get(port, (0, 0))[1]
                    for port, (received, sent) in has.connections.items()
                )
                for had, has in zip(before, now, strict=True)
            )

        await self.until(moving)
        seen: list[int] = []

        async def passing() -> bool:
            with suppress(KafkaError):  # the group's coordinator may be on its way still
                seen.append(sum((await self.kafka.committed("worker")).values()))
            return bool(seen) and seen[-1] > seen[0]

        await self.until(passing)

    async def until(self, condition: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """Wait for a condition; TimeoutError if it does not come."""
        async with asyncio.timeout(GENEROUS):
            while not await condition():
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def rig(warm: Rig) -> Iterator[Rig]:
    """The rig, whose workers rest after each file's tests: busy ones would slow down all those that follow."""
    yield warm
    warm.rest()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def warm(open_stack: Any, tmp_path_factory: Any) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("rig")
    system = tiny()
    stack = open_stack(system, folder / "stack", HERE)
    try:
        await stack.start()
        names = RunNames("chaos")
        kafka = KafkaClient(stack.direct("kafka"), names)
        await kafka.start()
        await kafka.create_topics(system.topics())
        await kafka.ends(system.topics())
        redis = RedisClient(stack.direct("redis"))
        await stack.start_services(names, folder, None)
        yield Rig(system, stack, kafka, redis, folder)
        await redis.close()
        await kafka.stop()
    finally:
        await stack.stop()
