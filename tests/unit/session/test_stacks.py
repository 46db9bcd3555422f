"""Stacks that stay up: what their parts logged of secrets is gone once they are down."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StackError
from harness.plan import Plan, make_plan
from harness.session.stacks import Stacks

LOG = "refused AUTH in-the-config\n"


class Progress:
    def step(self, text: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class LoggingStack:
    """Its store writes a password down while it stops, and may be ``stuck``."""

    name = "native"

    def __init__(self, folder: Path, *, stuck: bool) -> None:
        self._folder, self._stuck = folder, stuck

    async def start(self) -> None:
        self._folder.mkdir(parents=True)
        logging.getLogger("aiokafka").warning("started, AUTH in-the-config")

    async def stop(self) -> None:
        (self._folder / "redis.log").write_text(LOG)
        logging.getLogger("aiokafka").warning("stopped, AUTH in-the-config")
        if self._stuck:
            raise StackError("redis does not end")

    def lacks(self, need: type, on: str | None = None) -> None:
        return None


@pytest.fixture
def plan(project: Path) -> Plan:
    file = project / "system.yaml"
    file.write_text(file.read_text().replace("redis: {}", "redis: {config: {requirepass: in-the-config}}"))
    path = project / "scenarios" / "control.yaml"
    return make_plan(path, system_path=None, variant=None, seed=1, stack="auto")


async def stopped(stacks: Stacks, plan: Plan) -> None:
    await stacks.stop()


async def dropped(stacks: Stacks, plan: Plan) -> None:
    await stacks.drop(plan)


@pytest.mark.parametrize("end", [stopped, dropped])
@pytest.mark.parametrize("stuck", [False, True], ids=["ends", "stuck"])
async def test_their_logs_lose_secrets(
    plan: Plan,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    end: Callable[[Stacks, Plan], Awaitable[None]],
    *,
    stuck: bool,
) -> None:
    monkeypatch.setattr("harness.session.stacks.open_stack", lambda plan, folder: LoggingStack(folder, stuck=stuck))
    stacks = Stacks(project / "runs")
    await stacks.of(plan, Progress())
    try:
        await end(stacks, plan)
    except StackError:
        assert stuck
    (log,) = (project / "runs" / "stacks").glob("small-*/redis.log")
    assert log.read_text() == "refused AUTH ***\n"
    said = log.with_name("harness.log").read_text().splitlines()
    assert [line.partition("aiokafka: ")[2] for line in said] == ["started, AUTH ***", "stopped, AUTH ***"]
    assert not caplog.records


async def test_what_is_to_run_elsewhere_or_was_edited_gets_a_stack_of_its_own(
    plan: Plan, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []

    class Ending(LoggingStack):
        async def stop(self) -> None:
            ended.append(self)

    monkeypatch.setattr("harness.session.stacks.open_stack", lambda plan, folder: Ending(folder, stuck=False))
    addresses = project / "staging.yaml"
    addresses.write_text("here")
    external = replace(plan, stack="external", addresses=addresses)
    elsewhere = replace(external, addresses=project / "production.yaml")
    (project / "production.yaml").write_text("there")
    plans = [plan, replace(plan, stack="docker"), external, elsewhere]
    async with Stacks(project / "runs") as stacks:
        first = [await stacks.of(one, Progress()) for one in plans]
        assert len(set(first)) == 4
        assert [await stacks.of(one, Progress()) for one in plans] == first
        edited = replace(plan, system=plan.system.model_copy(update={"name": "other"}))
        assert await stacks.of(edited, Progress()) not in first
        assert ended == [first[0]], "nothing runs on it any more"
        addresses.write_text("moved")
        assert await stacks.of(external, Progress()) not in first
        assert ended == [first[0], first[2]], "its lock would keep the new one from the system"
        await stacks.drop(elsewhere)
        assert ended == [first[0], first[2], first[3]]


class Part:
    """A dependency that answers or not, and a link with toxics or without."""

    def __init__(self) -> None:
        self.answers, self.left = True, list[str]()

    async def ready(self, timeout: float) -> None:
        if not self.answers:
            raise StackError("redis did not answer")

    async def toxics(self) -> list[str]:
        return self.left


@pytest.mark.parametrize("broken", ["store", "link", ""], ids=["store", "link", "whole"])
async def test_a_stack_that_a_run_leaves_broken_serves_no_other(
    plan: Plan, project: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    class Serving(LoggingStack):
        def __init__(self, folder: Path) -> None:
            super().__init__(folder, stuck=False)
            part = Part()
            self.dependencies, self.links = {"redis": part}, {"shop#1->redis": part}

    monkeypatch.setattr("harness.session.stacks.open_stack", lambda plan, folder: Serving(folder))
    async with Stacks(project / "runs") as stacks:
        first: Any = await stacks.of(plan, Progress())
        first.dependencies["redis"].answers = broken != "store"
        first.links["shop#1->redis"].left = ["down"] if broken == "link" else []
        await stacks.check(plan)
        assert (await stacks.of(plan, Progress()) is first) is (not broken)
        await stacks.drop(plan)
        await stacks.check(plan)


async def test_what_runs_elsewhere_cannot_be_made_anew(
    plan: Plan, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.session.stacks.open_stack", lambda plan, folder: LoggingStack(folder, stuck=False))
    external = replace(plan, stack="external", addresses=project / "staging.yaml")
    async with Stacks(project / "runs") as stacks:
        first = await stacks.of(external, Progress())
        await stacks.check(external)
        assert await stacks.of(external, Progress()) is first


async def test_a_plan_is_refused_or_not_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where several lanes, and what a broken stack was followed by, have a stack each."""
    path = project / "scenarios" / "control.yaml"
    path.write_text(path.read_text() + "faults: [{fault: service.kill, on: shop, at: 1s, for: 1s}]\n")
    plan = make_plan(path, system_path=None, variant=None, seed=1, stack="auto")
    asked: list[tuple[str, str | None]] = []

    class Asked(LoggingStack):
        def lacks(self, need: type, on: str | None = None) -> None:
            asked.append((need.__name__, on))

    monkeypatch.setattr("harness.session.stacks.open_stack", lambda plan, folder: Asked(folder, stuck=False))
    admitted: set[object] = set()
    for _ in range(2):
        async with Stacks(project / "runs", admitted) as stacks:
            stacks.admit(plan)
            await stacks.of(plan, Progress())
            await stacks.drop(plan)
            await stacks.of(plan, Progress())
    assert asked == [("Killable", "shop#1")]
