"""Records what clients and their dependencies say: ``python -m tests.recorded.record --python OTHER --java JAVA``.

OTHER is a Python whose environment has the clients' libraries, which need not be the project's, and JAVA a JDK's ``java``. Go
comes with the project.
Each recording is a file of JSON lines beside this one: first the client, then each piece of bytes as it came, with its
connection and direction.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from base64 import b64encode
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from harness.clients.kafka import KafkaClient
from harness.stacks.native.parts import require
from harness.stacks.native.postgres import USER
from harness.stacks.native.stack import NativeStack
from harness.system import System
from tests.recorded.clients import PROGRAMS, TOPIC

HERE = Path(__file__).parent
JAVA, GO = "java", "redis_go"
PATIENCE = 120.0
SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "recorded",
        "dependencies": {"kafka": {"topics": {TOPIC: 2}}, "redis": {}, "postgres": {}},
        "services": {
            "client": {"command": "true", "env": {"A": "{kafka}", "B": "{redis}", "C": "{postgres}"}},
        },
        "load": {"upload": {"to": "client", "post": "/"}},
        "events": {"id": "/id", "type": "/type", "topics": [TOPIC]},
    }
)


class Recorder:
    """A proxy that notes each piece before it passes it on."""

    def __init__(self, upstream: str) -> None:
        self._host, _, port = upstream.rpartition(":")
        self._port = int(port)
        self.pieces: list[dict[str, Any]] = []
        self._connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end closes it."""
        number, self._connections = self._connections, self._connections + 1
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        await asyncio.gather(
            self._pass(number, "request", reader, there_writer), self._pass(number, "reply", there_reader, writer)
        )

    async def _pass(self, number: int, side: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(1 << 16):
                self.pieces.append({"connection": number, "side": side, "data": b64encode(piece).decode()})
                writer.write(piece)
                await writer.drain()
        writer.close()


def protocol(name: str) -> str:
    """Of the client ``name``."""
    return "redis" if name.startswith("redis") else "postgres" if name in {"asyncpg", "psycopg"} else "kafka"


async def record(stack: NativeStack, command: list[str], name: str, env: dict[str, str]) -> None:
    link = f"client#1->{protocol(name)}"
    detour = stack.detour(link)
    recorder = Recorder(detour.upstream)
    host, _, port = detour.listen.rpartition(":")
    async with await asyncio.start_server(recorder.serve, host, int(port)):
        await stack.lead(link, detour.listen)
        child = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **env}, stdout=asyncio.subprocess.PIPE
        )
        try:
            said, _ = await asyncio.wait_for(child.communicate(), PATIENCE)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        await stack.lead(link, None)
    if child.returncode:
        raise SystemExit(f"{name} ended with {child.returncode}")
    head = {"client": said.decode().strip(), "protocol": protocol(name)}
    lines = [json.dumps(one, separators=(",", ":")) for one in (head, *recorder.pieces)]
    (HERE / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    sys.stdout.write(f"{name}: {head['client']}, {len(recorder.pieces)} pieces\n")


async def main(python: str, java: str, programs: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stack = NativeStack(SYSTEM, Path(folder) / "logs", Path(folder))
        try:
            await stack.start()
            names = stack.names("r")
            kafka = KafkaClient(stack.direct("kafka"), names)
            await kafka.start()
            await kafka.create_topics({TOPIC: 2})
            await kafka.stop()
            env = {
                "TOPIC": names.topic(TOPIC),
                "KAFKA": stack.links["client#1->kafka"].address,
                "REDIS": f"redis://{stack.links['client#1->redis'].address}",
                "POSTGRES": f"postgresql://{USER}@{stack.links['client#1->postgres'].address}/postgres",
            }
            for name in programs:
                command = [python, str(HERE / "clients.py"), name]
                if name == JAVA:
                    path = require().java.class_path
                    compiler = [Path(java).with_name("javac"), "-cp", path, "-d", folder, HERE / "JavaClient.java"]
                    await asyncio.to_thread(partial(subprocess.run, compiler, check=True))
                    command = [java, "-cp", f"{folder}:{path}", "JavaClient"]
                if name == GO:
                    go = [Path(sys.executable).with_name("go"), "build", "-C", HERE / "go", "-o", f"{folder}/client"]
                    await asyncio.to_thread(partial(subprocess.run, go, check=True))
                    command = [f"{folder}/client"]
                await record(stack, command, name, env)
        finally:
            await stack.stop()


if __name__ == "__main__":
    words = argparse.ArgumentParser(description="records what clients and their dependencies say to each other")
    words.add_argument("--python", required=True, help="a Python that has the clients' libraries")
    words.add_argument("--java", required=True, help="the java of a JDK, by its path")
    words.add_argument("names", nargs="*", default=[*PROGRAMS, JAVA, GO], help="which (default: all)")
    asked = words.parse_args()
    asyncio.run(main(asked.python, asked.java, asked.names))
