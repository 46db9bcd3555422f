"""Records Kafka's class cache by starting the broker once: later starts take half as long.

It is an ahead-of-time cache (JEP 514, Java 25). Without it, or with another Java, Kafka starts as usual.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from harness.errors import OneffectError
from harness.stacks.native import parts
from harness.stacks.native.kafka import Kafka, listeners
from harness.stacks.native.ports import Ports
from harness.stacks.process import Launch
from harness.stacks.reaper import VARIABLE
from harness.stacks.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

_START = 60.0
"""Seconds that a start may take while the JVM records it."""

_WRITE = 120.0
"""Seconds that the JVM may take to write the cache, after SIGTERM."""


def record_class_cache(folder: Path, java: Path) -> bool:
    """Write the class cache for ``java`` and the jars in ``folder``; False if that fails, which is no error."""
    cache = parts.class_cache(folder, java)
    fresh = cache.with_suffix(".new")
    ports, workspace = Ports(), Workspace()
    try:
        _record(folder, java, fresh, workspace, [f"127.0.0.1:{ports.take()}" for _ in range(3)])
        fresh.rename(cache)
    except (OneffectError, OSError):
        fresh.unlink(missing_ok=True)
        return False
    finally:
        workspace.close()
        ports.close()
    return True


def _record(folder: Path, java: Path, fresh: Path, workspace: Workspace, addresses: list[str]) -> None:
    controller, admin, link = addresses
    launch = Launch((), {VARIABLE: workspace.token, "LANG": "C.UTF-8"}, workspace.folder, workspace.folder / "log")
    runtime = parts.Java(java, parts.class_path(folder), None)
    named = listeners(controller, admin, [(link, link)])
    kafka = Kafka("kafka", runtime, workspace.folder, named, launch, record=fresh)

    async def once() -> None:
        await kafka.start()
        await kafka.ready(_START)
        await kafka.stop(_WRITE)

    asyncio.run(once())
