"""A project with one scenario, and a conftest whose runs are made up: the stack is not what is tested here."""

import pytest

# Pytester forgets what a run of its own imported first, and packages keep it: patches would miss one of the two.
import harness.steps.block
import harness.steps.session  # noqa: F401

SYSTEM = """
oneffect: 1
name: small
dependencies: {kafka: {topics: {orders: 2}}, redis: {}}
services:
  shop: {command: python -m shop, env: {PORT: "{port}", KAFKA: "{kafka}"}}
load: {upload: {to: shop, post: /orders}}
events: {id: /id, type: /type, topics: [orders]}
variants: {command: "python -m {variant}", find: {setnx_only: [lost]}}
"""

SCENARIO = """
oneffect: 1
name: one
system: system.yaml
load: {uploads: 40, rate: 20/s}
expect: valid
variants: {setnx_only: {verdict: invalid, find: [lost]}}
"""

MADE_UP = """
import asyncio, json, os, pytest, secrets, signal
from harness.errors import StackError
from harness.run import Result

LEFT_BROKEN = []

class Redis:
    async def ready(self, timeout):
        if LEFT_BROKEN:
            LEFT_BROKEN.clear()
            raise StackError("redis did not answer")

class Stack:
    name = "native"
    dependencies, links = {"redis": Redis()}, {}
    def lacks(self, need, on=None): return None
    async def start(self):
        self.loop = asyncio.get_running_loop()
        print("stack started")
    async def stop(self):
        assert self.loop is asyncio.get_running_loop()
        print("stack stopped")

async def run(plan, *, out, stack, progress, after=None):
    assert stack.loop is asyncio.get_running_loop()
    progress.step("load \\x1b[31m")
    progress.note("net.hang")
    print("made up", plan.label, plan.seed)
    said = VERDICTS.get(plan.label, plan.expected.verdict)
    if isinstance(said, list):
        said = said.pop(0)
    if said == "hangs":
        # Nothing but a signal's handler breaks it off, and cleaning up takes turns of the loop.
        os.kill(os.getpid(), signal.SIGUSR1)
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            print("ended", plan.label)
    if isinstance(said, Exception):
        raise said
    directory = out / plan.label.replace(" ", "-")
    if directory.exists():
        directory = directory.with_name(f"{directory.name}-{secrets.token_hex(4)}")
    directory.mkdir(parents=True)
    figures = dict.fromkeys(["operations", "acknowledged", "refused", "unknown", "events", "records", "effects"], 40)
    document = {
        "format": 1, "verdict": said, "expected": plan.expected.model_dump(), "complete": True, "again": "again",
        "as_expected": said == plan.expected.verdict, "label": plan.label, "seed": plan.seed, "faults": [],
        "figures": {**figures, "duration": 3.0, "under_fault": 0},
        "findings": [
            {"checker": "outcomes", "verdict": said, "judged": 40, "error": "", "anomalies": {}, "warnings": {}}
        ],
    }
    (directory / "verdict.json").write_text(json.dumps(document))
    return Result(directory, document)
"""


def made_up(project: pytest.Pytester, verdicts: str = "{}", others: str = "") -> None:
    """Runs that come out as their scenario expects, but those in ``verdicts``; ``others`` is a plugin beside ours."""
    project.makeconftest(
        f"{MADE_UP}\nVERDICTS = {verdicts}\n\n"
        "def pytest_configure(config):\n"
        "    patch = pytest.MonkeyPatch()\n"
        "    patch.setattr('harness.run.run', run)\n"
        "    patch.setattr('harness.session.stacks.open_stack', lambda plan, folder: Stack())\n"
        "    config.add_cleanup(patch.undo)\n"
        f"{others}"
    )


STEPS = """
import asyncio, json, os, pytest, signal
from pathlib import Path
from types import SimpleNamespace
from harness.errors import StackError
from harness.run import Result

class Steps:
    # Does as it is told, and notes it.
    def __init__(self, plan, directory):
        self.plan, self.directory, self.places = plan, directory, SimpleNamespace(front_door="http://there")
        self.asked = asyncio.get_running_loop().create_future()

    def over(self, drain):
        self.asked.set_result(drain)

    async def upload(self, shape):
        print("uploads", shape.uploads)
        if shape.uploads == 13:
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.Event().wait()
        return shape.uploads

    async def drain(self, seconds):
        return seconds > 1

    async def inject(self, name, on, parameters):
        print("injects", name, on, parameters)
        return name

    async def leave(self, fault, *, early):
        print("heals", fault, "early" if early else "")

async def play(plan, stacks, progress, ready, *, keeps):
    try:
        await stacks.of(plan, progress)
        directory = stacks.out / f"{plan.label}-{plan.seed}-{os.getpid()}-{len(list(stacks.out.iterdir()))}"
        directory.mkdir()
        steps = Steps(plan, directory)
        print("begun", plan.label, plan.seed, plan.stack)
        progress.step("load: 20 uploads")
        try:
            ready(steps)
            await steps.asked
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            print("ended", plan.label)
    except BaseException:
        if not keeps():
            await stacks.drop(plan)
        raise

def judge_directory(directory):
    verdict = "invalid" if "setnx_only" in directory.name else "valid"
    figures = dict.fromkeys(["operations", "acknowledged", "refused", "unknown", "events", "records", "effects"], 40)
    findings = [
        {"checker": name, "verdict": verdict, "judged": 40, "error": "", "anomalies": {}, "warnings": {}}
        for name in ("exactly one effect", "evidence")
    ]
    document = {
        "format": 1, "verdict": verdict, "expected": {"verdict": "valid", "find": []}, "complete": True, "again": "again",
        "as_expected": verdict == "valid", "label": directory.name, "seed": 5, "faults": [], "findings": findings,
        "figures": {**figures, "duration": 3.0, "under_fault": 0},
    }
    return Result(directory, document)
"""


def made_up_steps(project: pytest.Pytester, test: str, others: str = "") -> None:
    """Runs in steps that do as they are told, on a made-up stack; ``test`` is a module of the project."""
    made_up(
        project,
        others=f"{STEPS}\n"
        "from harness.steps import block\n"
        "patches = pytest.MonkeyPatch()\n"
        "patches.setattr('harness.steps.block.play', play)\n"
        "patches.setattr('harness.run.judge_directory', judge_directory)\n"
        "def pytest_unconfigure(config):\n"
        "    patches.undo()\n"
        f"{others}",
    )
    project.path.joinpath("one.yaml").unlink()
    project.makepyfile(test_shop=test)
