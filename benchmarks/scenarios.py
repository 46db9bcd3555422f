"""Wall time of each scenario, and the share of its load that began between a bite and its heal."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from harness.plan import Plan, make_plan
from harness.reports.case import Case
from harness.run import execute
from harness.session.stacks import Stacks

SCENARIOS = Path(__file__).parents[1] / "scenarios"


class Silent:
    """A progress reporter that prints nothing."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


def main() -> None:
    """Run every scenario once on the reference, each on its own stack."""
    for path in sorted(SCENARIOS.glob("*.yaml")):
        plan = make_plan(path, system_path=None, variant=None, seed=1, stack="native")
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            case = asyncio.run(_run(plan, Path(folder)))
            seconds = time.perf_counter() - begun
        figures = case.document["figures"] if case.document is not None else {}
        print(f"{plan.label}: {case.verdict} in {seconds:.1f} s; {json.dumps(figures)}", flush=True)


async def _run(plan: Plan, folder: Path) -> Case:
    async with Stacks(folder) as stacks:
        return await execute(plan, stacks, progress=Silent())
