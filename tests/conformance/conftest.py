"""A native stack without services, its links as things to try."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from harness.stack import RunNames
from harness.stacks.native.install import install
from harness.stacks.native.stack import NativeStack
from harness.system import System

PEER = """
import asyncio, os
async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\nConnection: keep-alive\\r\\n\\r\\nok\\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"])) as server:
        await server.serve_forever()
asyncio.run(main())
"""

SYSTEM = {
    "oneffect": 1,
    "name": "links",
    "dependencies": {"kafka": {"topics": {"work": 1}}, "redis": {}, "postgres": {}},
    "services": {
        "peer": {"command": "python peer.py", "env": {"PORT": "{port}"}},
        "user": {
            "command": "python peer.py",
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
async def stack(tmp_path_factory: Any) -> AsyncIterator[NativeStack]:
    await asyncio.to_thread(install)
    folder: Path = tmp_path_factory.mktemp("links")
    (folder / "peer.py").write_text(PEER)
    native = NativeStack(System.model_validate(SYSTEM), folder / "logs", folder)
    try:
        await native.start()
        await native.start_services(RunNames("links"), folder, None)
        yield native
    finally:
        await native.stop()
