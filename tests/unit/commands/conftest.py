"""A project with scenarios, and a run that is made up: the stack is not what is tested here."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.plan import Plan
from harness.run import Result
from harness.session.stacks import Progress
from harness.stack import Link, ServiceHandle, Stack
from harness.verdict import Verdict

SYSTEM = """
oneffect: 1
name: small
dependencies: {kafka: {topics: {orders: 2}}, redis: {}}
services:
  shop: {command: python -m shop, env: {PORT: "{port}", KAFKA: "{kafka}"}}
  ledger: {command: python -m ledger, replicas: 2, env: {KAFKA: "{kafka}", REDIS: "{redis}"}}
load: {upload: {to: shop, post: /orders}}
events: {id: /id, type: /type, topics: [orders]}
variants: {command: "python -m {variant}", find: {setnx_only: [lost, duplicate]}}
"""

SCENARIO = """
oneffect: 1
name: NAME
system: ../system.yaml
load: {uploads: 40, rate: 20/s}
expect: valid
variants: {setnx_only: EXPECTED}
"""

EXPECTED = {
    "control": "valid",
    "redelivery": "{verdict: invalid, find: [lost]}",
    "redis-outage": "invalid",
    "network": "invalid",
}


@dataclass
class Lab:
    """What the made-up runs were asked, and what they shall say."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    stacks: list[Stack | None] = field(default_factory=list)
    started: int = 0
    stopped: int = 0
    opened: int = 0

    async def run(
        self, plan: Plan, *, out: Path, stack: Stack | None = None, progress: Progress, after: object = None
    ) -> Result:
        progress.step("load")
        self.plans.append(plan)
        self.stacks.append(stack)
        await asyncio.sleep(0)  # a real run gives way to the other lane
        if plan.label in self.errors:
            raise self.errors[plan.label]
        verdict = self.verdicts.get(plan.label, Verdict[plan.expected.verdict.upper()])
        directory = out / f"run-{len(self.plans)}-{plan.label.replace(' ', '-')}"
        directory.mkdir(parents=True)
        return recorded(directory, plan, verdict)


def recorded(directory: Path, plan: Plan, verdict: Verdict) -> Result:
    anomalies = {}
    if verdict is Verdict.INVALID:
        said = {
            "said": "gone",
            "story": f"event 7f3a… ledger  {plan.label}",
            "kind": "event",
            "id": "7f3a",
            "short": "7f3a",
        }
        anomalies = {name: {"count": 2, "told": [said], "rows": []} for name in plan.expected.find or ["lost"]}
    finding = {"checker": "exactly one effect", "verdict": verdict.word, "judged": 40, "error": ""}
    figures = {"operations": 40, "acknowledged": 40, "refused": 0, "unknown": 0, "events": 40, "records": 40}
    as_expected = verdict.word == plan.expected.verdict
    document = {
        "format": 1,
        "verdict": verdict.word,
        "expected": plan.expected.model_dump(),
        "as_expected": as_expected,
        "label": plan.label,
        "variant": plan.variant,
        "seed": plan.seed,
        "complete": True,
        "again": f"oneffect run {plan.scenario.name} --seed {plan.seed}",
        "figures": {**figures, "effects": 40, "duration": 3.0, "under_fault": 0},
        "faults": [],
        "left_out": plan.document.get("left_out", []),
        "findings": [{**finding, "anomalies": anomalies, "warnings": {}}],
    }
    (directory / "verdict.json").write_text(json.dumps(document))
    return Result(directory, document)


class FakeStack:
    """Counts its starts and stops."""

    name = "native"
    dependencies: ClassVar[dict[str, ServiceHandle]] = {}
    links: ClassVar[dict[str, Link]] = {}

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def start(self) -> None:
        self._lab.started += 1
        await asyncio.sleep(0)

    async def stop(self) -> None:
        self._lab.stopped += 1

    def lacks(self, need: type, on: str | None = None) -> str | None:
        return None


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "system.yaml").write_text(SYSTEM)
    for name, expected in EXPECTED.items():
        text = SCENARIO.replace("NAME", name).replace("EXPECTED", expected)
        (tmp_path / "scenarios" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab()

    def opened(plan: Plan, folder: Path) -> FakeStack:
        made.opened += 1
        return FakeStack(made)

    monkeypatch.setattr("harness.run.run", made.run)
    monkeypatch.setattr("harness.session.stacks.open_stack", opened)
    return made


@pytest.fixture
def say():
    """``say("run", "control")`` is the command's answer; an exception that is no exit is raised."""

    def said(*words: str):
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return said
