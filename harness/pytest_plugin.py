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
from typing import TYPE_CHECKING, Any, Final

import pytest

from harness.errors import OneffectError

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.session.thread import LoopThread

    ExceptionInfo = pytest.ExceptionInfo[BaseException]

AS_IT_IS: Final = "system"
"""Name of the item that runs the system without a flaw."""

_IS_SCENARIO: Final = (re.compile(rb"^oneffect:\s*1\s*(#.*)?$", re.MULTILINE), re.compile(rb"^load:", re.MULTILINE))
_IS_SYSTEM: Final = re.compile(rb"^services:", re.MULTILINE)
_LOOKED_AT: Final = 1024 * 1024
"""Bytes; a longer file is no scenario."""

_LOOP: Final = pytest.StashKey["LoopThread"]()

_FAILED: Final = pytest.StashKey[dict[str, str]]()
"""Id of an item -> the report of the run that failed; it is not run again."""

_REFUSED: Final = pytest.StashKey[bool]()
"""Set once an item was to be run again."""


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
    """Stop the stacks; a session that tried something again has failed, whatever came of it."""
    if session.stash.get(_REFUSED, False) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if (loop := session.stash.get(_LOOP, None)) is not None:
        del session.stash[_LOOP]
        loop.close()


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
        times = self._times()
        for variant in (None, *scenario.variants):
            name = variant or AS_IT_IS
            for time in range(1, times + 1):
                called = name if times == 1 else f"{name}[{time}-{times}]"
                yield ScenarioItem.from_parent(self, name=called, variant=variant)

    def _times(self) -> int:
        """How often pytest-repeat is to repeat each item; by itself it repeats functions only."""
        plugins = self.config.pluginmanager
        if not any(plugins.hasplugin(name) for name in ("repeat", "pytest_repeat")):
            return 1
        return max(1, int(self.config.getoption("count", 1)))


class NotAsExpectedError(Exception):
    """The run came out otherwise than its scenario says; the message is the report."""


class TriedAgainError(Exception):
    """A plugin wanted to run again what had failed; the message repeats the first report."""

    def __init__(self, report: str) -> None:
        super().__init__(
            "a second try is no answer, and none was made: what fails now and then has found something now and then; "
            f"leave out what runs it again (--reruns, --retries, --force-flaky)\n\nthe first report:\n{report}"
        )


class ScenarioItem(pytest.Item):
    """One scenario on one system or variant; passes if the run comes out as the scenario expects."""

    def __init__(self, *, variant: str | None, **kwargs: Any) -> None:  # noqa: ANN401 - pytest's own
        super().__init__(**kwargs)
        self._variant = variant
        self._plan: Plan | None = None
        self._steps: list[str] = []

    def runtest(self) -> None:
        """Plan, run on the session's warm stack, judge as expected; what failed once is not run again."""
        failed = self.session.stash.setdefault(_FAILED, {})
        if self.nodeid in failed:
            self.session.stash[_REFUSED] = True
            raise TriedAgainError(failed[self.nodeid])
        try:
            self._run()
        except (Exception, pytest.fail.Exception) as error:
            failed[self.nodeid] = str(self.repr_failure(pytest.ExceptionInfo.from_exception(error)))
            raise

    def _initrequest(self) -> None:
        """Nothing: pytest-retry calls it before it runs a function again, which has fixtures to make anew."""

    def _run(self) -> None:
        from harness.plan import make_plan
        from harness.run import execute

        self._plan = plan = make_plan(
            self.path, system_path=None, variant=self._variant, seed=self.config.option.oneffect_seed, stack="auto"
        )
        try:
            case = _loop(self.session).run(lambda stacks: execute(plan, stacks, progress=self))
        finally:
            self.add_report_section("call", "oneffect", "\n".join(self._steps))
        self.user_properties += [("verdict", case.verdict), ("run_directory", str(case.directory))]
        if not case.as_expected:
            raise NotAsExpectedError(case.story)

    def step(self, text: str) -> None:
        """A run's stage, kept for the report."""
        self._steps.append(_plain(text))

    def note(self, text: str) -> None:
        """Something within it."""
        self._steps.append(f"  {_plain(text)}")

    def repr_failure(self, excinfo: ExceptionInfo, style: Any = None) -> Any:  # noqa: ANN401 - pytest's own
        """The report for a verdict, one message for an error of the harness's own, a traceback for all else."""
        error = excinfo.value
        if isinstance(error, (NotAsExpectedError, TriedAgainError)):
            return str(error).rstrip()
        if isinstance(error, OneffectError):
            return _plain(error)
        if isinstance(error, pytest.fail.Exception):
            # A time-out's: where the wait for a run was broken off says nothing of the run.
            return _plain("\n".join([str(error), *getattr(error, "__notes__", [])]))
        return self._without_secrets(str(super().repr_failure(excinfo, style)))

    def _without_secrets(self, text: str) -> str:
        """A traceback shows arguments, and with them what a system file holds."""
        from harness.redaction import Redaction

        return Redaction(self._plan.system, os.environ).text(text) if self._plan is not None else text

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it stands, and how it is called."""
        return self.path, None, f"{self.path.stem} {self.name}"


def _loop(session: pytest.Session) -> LoopThread:
    from harness.session.directory import RUNS
    from harness.session.thread import LoopThread

    if _LOOP not in session.stash:
        given = session.config.option.oneffect_out
        session.stash[_LOOP] = LoopThread(Path(given) if given else session.config.rootpath / RUNS)
    return session.stash[_LOOP]


def _plain(text: object) -> str:
    from harness.reports.untrusted import shown

    return shown(text, lines=True)
