"""pytest collects scenario files: one item for the system as it is, and one for each variant with an expectation.

Loaded in every pytest session of its environment, so it reads nothing and imports nothing heavy until it meets a
scenario file: a ``.yaml`` with ``oneffect: 1`` and ``load:`` at its top level, and no ``services:``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

from harness.errors import OneffectError

if TYPE_CHECKING:
    import asyncio

    from harness.commands.warm import WarmStacks
    from harness.plan import Plan
    from harness.run import Result

    ExceptionInfo = pytest.ExceptionInfo[BaseException]

T = TypeVar("T")

AS_IT_IS: Final = "system"
"""Name of the item that runs the system without a flaw."""

_IS_SCENARIO: Final = (re.compile(rb"^oneffect:\s*1\s*(#.*)?$", re.MULTILINE), re.compile(rb"^load:", re.MULTILINE))
_IS_SYSTEM: Final = re.compile(rb"^services:", re.MULTILINE)
_LOOKED_AT: Final = 1024 * 1024
"""Bytes; a longer file is no scenario."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--oneffect-seed`` and ``--oneffect-out``."""
    group = parser.getgroup("oneffect", "scenarios under real faults")
    group.addoption(
        "--oneffect-seed", type=int, metavar="N", help="seed of every plan; random, and printed, if not given"
    )
    group.addoption("--oneffect-out", metavar="DIR", help="where run directories go; .oneffect/runs if not given")


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed where every worker process finds it."""
    if config.option.oneffect_seed is None:
        config.option.oneffect_seed = SystemRandom().randrange(1, 1_000_000)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str | None:
    """Say the seed, if it is used."""
    if any(isinstance(item, ScenarioItem) for item in items):
        return f"oneffect: seed {config.option.oneffect_seed} (again: --oneffect-seed {config.option.oneffect_seed})"
    return None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take scenario files."""
    if file_path.suffix != ".yaml" or not is_scenario(file_path):
        return None
    return ScenarioFile.from_parent(parent, path=file_path)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the stacks."""
    if (lab := session.stash.get(_LAB, None)) is not None:
        del session.stash[_LAB]
        lab.close()


def is_scenario(path: Path) -> bool:
    """Whether a file looks like a scenario, by its top-level keys alone."""
    try:
        with path.open("rb") as file:
            text = file.read(_LOOKED_AT + 1)
    except OSError:
        return False
    return len(text) <= _LOOKED_AT and all(one.search(text) for one in _IS_SCENARIO) and not _IS_SYSTEM.search(text)


class ScenarioFile(pytest.File):
    """One scenario file."""

    def collect(self) -> Iterator[ScenarioItem]:
        """The system as it is, then each variant; a file that is off is an error of the collection."""
        from harness.files import load
        from harness.scenario import Scenario

        try:
            scenario = load(self.path, Scenario)
        except OneffectError as error:
            raise self.CollectError(_plain(error)) from None
        yield ScenarioItem.from_parent(self, name=AS_IT_IS, variant=None)
        for variant in scenario.variants:
            yield ScenarioItem.from_parent(self, name=variant, variant=variant)


class NotAsExpectedError(Exception):
    """The run came out otherwise than its scenario says; the message is the report."""


class ScenarioItem(pytest.Item):
    """One scenario on one system or variant; passes if the run comes out as the scenario expects."""

    def __init__(self, *, variant: str | None, **kwargs: Any) -> None:  # noqa: ANN401 - pytest's own
        super().__init__(**kwargs)
        self._variant = variant
        self._plan: Plan | None = None
        self._steps: list[str] = []

    def runtest(self) -> None:
        """Plan, run on the session's warm stack, judge as expected."""
        from harness.plan import make_plan
        from harness.reports import document, terminal

        self._plan = plan = make_plan(
            self.path, system_path=None, variant=self._variant, seed=self.config.option.oneffect_seed, stack="auto"
        )
        try:
            result = _lab(self.session).run(plan, self)
        finally:
            self.add_report_section("call", "oneffect", "\n".join(self._steps))
        self.user_properties += [("verdict", result.verdict.word), ("run_directory", str(result.directory))]
        if not result.as_expected:
            raise NotAsExpectedError(terminal.text(document.read(result.directory), result.directory))

    def step(self, text: str) -> None:
        """A run's stage, kept for the report."""
        self._steps.append(_plain(text))

    def note(self, text: str) -> None:
        """Something within it."""
        self._steps.append(f"  {_plain(text)}")

    def repr_failure(self, excinfo: ExceptionInfo, style: Any = None) -> Any:  # noqa: ANN401 - pytest's own
        """The report for a verdict, one message for an error of the harness's own, a traceback for all else."""
        if isinstance(excinfo.value, NotAsExpectedError):
            return str(excinfo.value).rstrip()
        if isinstance(excinfo.value, OneffectError):
            return _plain(excinfo.value)
        return self._without_secrets(str(super().repr_failure(excinfo, style)))

    def _without_secrets(self, text: str) -> str:
        """A traceback shows arguments, and with them what a system file holds."""
        from harness.redaction import Redaction

        return Redaction(self._plan.system, os.environ).text(text) if self._plan is not None else text

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it stands, and how it is called."""
        return self.path, None, f"{self.path.stem} {self.name}"


class _Lab:
    """The session's event loop and warm stacks: one stack for each system file."""

    def __init__(self, out: Path) -> None:
        import asyncio

        from harness.commands.places import out_folder
        from harness.commands.warm import WarmStacks

        self._out = out_folder(out)
        # A loop of its own, never the thread's current one: that belongs to whichever asyncio plugin there is.
        self._runner: asyncio.Runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._stacks: WarmStacks = WarmStacks(self._out)

    def run(self, plan: Plan, item: ScenarioItem) -> Result:
        """One run on the plan's warm stack; after an error the next run gets a new one."""
        from harness import run as running
        from harness.commands.interrupt import of_our_own

        async def work() -> Result:
            try:
                return await running.run(plan, out=self._out, stack=await self._stacks.of(plan, item), progress=item)
            except BaseException:
                await self._stacks.drop(plan)
                raise

        with of_our_own():
            return self._runner.run(work())

    def close(self) -> None:
        """End every stack."""
        try:
            self._runner.run(self._stacks.stop())
        finally:
            self._runner.close()


_LAB: Final = pytest.StashKey[_Lab]()


def _lab(session: pytest.Session) -> _Lab:
    if _LAB not in session.stash:
        given = session.config.option.oneffect_out
        session.stash[_LAB] = _Lab(Path(given) if given else session.config.rootpath / ".oneffect" / "runs")
    return session.stash[_LAB]


def _plain(text: object) -> str:
    from harness.reports.untrusted import shown

    return shown(text, lines=True)
