"""How long the native stack takes: cold to answering, and warm to the first acknowledged upload."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from harness.clients.kafka import KafkaClient
from harness.load.documents import make
from harness.plan import Plan, make_plan
from harness.session.stacks import open_stack
from harness.stack import RunNames, Stack

ROUNDS = 5


async def cold_and_warm(plan: Plan) -> tuple[float, float]:
    """Return the seconds from nothing to an answering stack, and from there to the first acknowledged upload."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        stack = open_stack(plan, Path(folder) / "logs")
        try:
            await stack.start()
            answering = time.perf_counter()
            await first_upload(plan, stack, Path(folder))
            return answering - begun, time.perf_counter() - answering
        finally:
            await stack.stop()


async def first_upload(plan: Plan, stack: Stack, folder: Path) -> None:
    """Create topics, start services and send one upload; raise if it is not acknowledged."""
    from random import Random

    names = RunNames("bench")
    kafka = KafkaClient(stack.direct("kafka"), names)
    await kafka.start()
    try:
        await kafka.create_topics(plan.system.topics())
        await stack.start_services(names, folder, None)
        door = plan.front_door
        url = f"http://{stack.direct(door.to + '#1')}{door.post}"
        upload = make("docx_text", Random("bench"))
        async with httpx.AsyncClient(trust_env=False) as client:
            files = {door.field: (upload.file_name, upload.content)}
            answer = await client.post(url, files=files, headers={door.id_header or "Idempotency-Key": "bench-1"})
            answer.raise_for_status()
    finally:
        await kafka.stop()


def main() -> None:
    """Print minimum, median and maximum over the rounds."""
    scenario = Path(__file__).parents[1] / "scenarios" / "control.yaml"
    plan = make_plan(scenario, system_path=None, variant=None, seed=1, stack="native")
    rounds = [asyncio.run(cold_and_warm(plan)) for _ in range(ROUNDS)]
    for name, values in zip(
        ("cold start of the stack", "warm stack to first upload"), zip(*rounds, strict=True), strict=True
    ):
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name}: {middle:.2f} s (min {low:.2f}, max {high:.2f}, {ROUNDS} rounds)", flush=True)
