"""A second broker for a native stack's cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from harness.clients.brokers import brokers
from harness.clients.probes import Prober
from harness.stacks.native.kafka import CLUSTER, SETTINGS, jvm_options
from harness.stacks.native.parts import require
from harness.stacks.native.stack import NativeStack
from harness.stacks.process import Process

PATIENCE = 120.0


@asynccontextmanager
async def second_broker(stack: NativeStack) -> AsyncIterator[str]:
    """Add a broker to the stack's own while the scope lasts, and give its address."""
    folder, java, address = stack.workspace.folder / "second", require().java, stack._address()
    (folder / "data").mkdir(parents=True)
    first = (stack.workspace.folder / "kafka" / "server.properties").read_text()
    (voters,) = re.findall("^controller.quorum.voters=(.*)$", first, re.MULTILINE)
    properties = {
        **SETTINGS,
        "node.id": 2,
        "process.roles": "broker",
        "controller.quorum.voters": voters,
        "listeners": f"ADMIN://{address}",
        "advertised.listeners": f"ADMIN://{address}",
        "listener.security.protocol.map": "ADMIN:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": folder / "data",
    }
    (folder / "server.properties").write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    (folder / "data" / "meta.properties").write_text(f"cluster.id={CLUSTER}\nnode.id=2\nversion=1\n")
    command = [str(java.binary), *jvm_options(java), "-cp", java.class_path, "kafka.Kafka"]
    launch = stack._launch("kafka-2").of([*command, str(folder / "server.properties")])
    broker = Process("kafka-2", launch, Prober(address, "kafka").answers)
    await broker.start()
    try:
        await broker.ready(PATIENCE)
        async with asyncio.timeout(PATIENCE):
            while len(await brokers(stack.direct("kafka"))) < 2:
                await asyncio.sleep(0.1)
        yield address
    finally:
        await broker.kill()
