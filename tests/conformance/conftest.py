"""A stack whose services do nothing by themselves, its links as things to try."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from harness.stack import RunNames
from harness.system import System

SERVICES = Path(__file__).parents[1] / "chaos"
"""Where the peer's program lies, and what the tests' image is made of."""

PEER = {"image": "oneffect-tests:0.1.0", "command": "python peer.py"}

SYSTEM = {
    "oneffect": 1,
    "name": "links",
    "dependencies": {"kafka": {"topics": {"work": 1}}, "redis": {}, "postgres": {}},
    "services": {
        "peer": {**PEER, "env": {"PORT": "{port}"}},
        "user": {
            **PEER,
            "env": {
                "PORT": "{port}",
                "KAFKA": "{kafka}",
                "REDIS": "{redis}",
                "DATABASE_URL": "postgresql://oneffect@{postgres}/{database}",
                "PEER": "{peer}",
            },
        },
    },
    "load": {"upload": {"to": "peer", "post": "/"}},
    "events": {"id": "/id", "type": "/type", "topics": ["work"]},
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(open_stack: Any, tmp_path_factory: Any) -> AsyncIterator[Any]:
    folder: Path = tmp_path_factory.mktemp("links")
    opened = open_stack(System.model_validate(SYSTEM), folder / "logs", SERVICES)
    try:
        await opened.start()
        await opened.start_services(RunNames("links"), folder, None)
        yield opened
    finally:
        await opened.stop()
