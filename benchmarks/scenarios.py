"""Wall time of each scenario, and how much of its load was begun between a bite and its heal."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from harness.plan import make_plan
from harness.run import run

SCENARIOS = Path(__file__).parents[1] / "scenarios"


class Silent:
    """A run's progress, told to nobody."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


def main() -> None:
    """Run every scenario once on the reference, each on a stack of its own."""
    for path in sorted(SCENARIOS.glob("*.yaml")):
        plan = make_plan(path, system_path=None, variant=None, seed=1, stack="native")
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            result = asyncio.run(run(plan, out=Path(folder), progress=Silent()))
            seconds = time.perf_counter() - begun
            figures = json.loads((result.directory / "verdict.json").read_text())["figures"]
        print(f"{plan.label}: {result.verdict.word} in {seconds:.1f} s; {json.dumps(figures)}", flush=True)
