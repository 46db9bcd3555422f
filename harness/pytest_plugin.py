"""Collects scenario files in pytest, and gives tests the fixture ``oneffect``.

A file has one item for the system as it is, and one for each variant with an expectation.

Every pytest session of its environment loads it, so it imports nothing heavy until it meets what may be a scenario
file: a ``.yaml`` with ``oneffect: 1`` and ``load:`` at its top level, and no ``services:``.
"""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections.abc import Generator, Iterator
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

import pytest

from harness.errors import OneffectError

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.session.thread import LoopThread
    from harness.steps.testing import TestSession

    ExceptionInfo = pytest.ExceptionInfo[BaseException]

AS_IT_IS: Final = "system"
"""Name of the item that runs the system as it is."""

_IS_SCENARIO: Final = (re.compile(rb"^oneffect:\s*1\s*(#.*)?$", re.MULTILINE), re.compile(rb"^load:", re.MULTILINE))
_IS_SYSTEM: Final = re.compile(rb"^services:", re.MULTILINE)
_LOOKED_AT: Final = 1024 * 1024
"""Bytes; a longer file is not taken for a scenario."""

_LOOP: Final = pytest.StashKey["LoopThread"]()

_FAILED: Final = pytest.StashKey[dict[str, str]]()
"""Item id -> report of its failed run; such an item is not run again."""

_STEPS: Final = pytest.StashKey["TestSession"]()
"""The session of a test that has the fixture."""

_REFUSED: Final = pytest.StashKey[bool]()
"""Set once a plugin tried to run an item again."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, which all begin with ``--oneffect-``."""
    group = parser.getgroup("oneffect", "scenarios under real faults")
    group.addoption("--oneffect-seed", type=int, metavar="N", help="seed of every plan; default: random, and printed")
    group.addoption(
        "--oneffect-stack", metavar="NAME", help="where systems run: native or docker; default: by the system"
    )
    group.addoption("--oneffect-variant", metavar="NAME", help="run this variant of each system, and nothing else")
    group.addoption("--oneffect-out", metavar="DIR", help="folder for run directories; default: .oneffect/runs")


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed here, where every worker process finds it."""
    config.addinivalue_line(
        "markers", "oneffect(seed, stack, variant): what the systems of this test are opened with"
    )
    if config.option.oneffect_seed is None:
        config.option.oneffect_seed = SystemRandom().randrange(1, 1_000_000)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str | None:
    """Print the seed if a scenario or a test uses it."""
    if any(isinstance(item, ScenarioItem) or "oneffect" in getattr(item, "fixturenames", ()) for item in items):
        return f"oneffect: seed {config.option.oneffect_seed} (again: --oneffect-seed {config.option.oneffect_seed})"
    return None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect scenario files."""
    if file_path.suffix != ".yaml" or not is_scenario(file_path):
        return None
    return ScenarioFile.from_parent(parent, path=file_path)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the stacks; fail a session in which a plugin tried to run an item again."""
    if session.stash.get(_REFUSED, False) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if (loop := session.stash.get(_LOOP, None)) is not None:
        del session.stash[_LOOP]
        loop.close()


@pytest.fixture
def oneffect(request: pytest.FixtureRequest) -> Iterator[TestSession]:
    """Give systems to load and break in steps, and to judge: ``with oneffect.system("system.yaml") as shop``.

    Stacks stay warm from test to test. A relative path is looked for beside the test and above.
    """
    from harness.steps.testing import TestSession

    item: pytest.Item = request.node
    _refuse_again(item)
    item.stash[_STEPS] = made = TestSession(item, _loop(request.session))
    yield made
    made.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failed test's report where its runs lie and how to repeat them."""
    report = yield
    steps = item.stash.get(_STEPS, None)
    if steps is None:
        return report
    if call.when == "call":
        item.user_properties += steps.properties()
        report.user_properties = item.user_properties
    # In each phase: a fixture may open the system, and ask for the verdict once the test is over.
    if report.failed and steps.blocks:
        report.sections.append(("oneffect", "\n".join(steps.told())))
        item.session.stash.setdefault(_FAILED, {}).setdefault(item.nodeid, _plain(report.longreprtext))
    return report


def _refuse_again(item: pytest.Item) -> None:
    """Raise TriedAgainError for an item that has failed."""
    failed = item.session.stash.setdefault(_FAILED, {})
    if item.nodeid in failed:
        item.session.stash[_REFUSED] = True
        raise TriedAgainError(failed[item.nodeid])


def is_scenario(path: Path) -> bool:
    """Whether a file looks like a scenario, judging by its top-level keys alone."""
    try:
        with path.open("rb") as file:
            text = file.read(_LOOKED_AT + 1)
    except OSError:
        return False
    if len(text) > _LOOKED_AT or b"oneffect" not in text or b"load" not in text or _IS_SYSTEM.search(text):
        return False
    return all(pattern.search(text.removeprefix(BOM_UTF8)) for pattern in _IS_SCENARIO) or _has_its_keys(path)


def _has_its_keys(path: Path) -> bool:
    """Whether a file has a scenario's keys, however they are written: quoted, indented, as JSON."""
    from harness.files.document import parse

    try:
        keys = parse(path).value.keys()
    except OneffectError:
        return False
    return {"oneffect", "load"} <= keys and "services" not in keys


class ScenarioFile(pytest.File):
    """One scenario file."""

    def collect(self) -> Iterator[ScenarioItem]:
        """Yield the system as it is, then each variant; a faulty file is a collection error."""
        from harness.files import load
        from harness.scenario import Scenario

        try:
            scenario = load(self.path, Scenario)
        except OneffectError as error:
            raise self.CollectError(_plain(error)) from None
        times = self._times()
        only = self.config.option.oneffect_variant
        for variant in (only,) if only is not None else (None, *scenario.variants):
            item = variant or AS_IT_IS
            for time in range(1, times + 1):
                name = item if times == 1 else f"{item}[{time}-{times}]"
                yield ScenarioItem.from_parent(self, name=name, variant=variant)

    def _times(self) -> int:
        """How often to repeat each item for pytest-repeat, which itself repeats functions only."""
        plugins = self.config.pluginmanager
        if not any(plugins.hasplugin(name) for name in ("repeat", "pytest_repeat")):
            return 1
        return max(1, int(self.config.getoption("count", 1)))


class NotAsExpectedError(Exception):
    """The run's result is not the expected one; the message is the report."""


class TriedAgainError(Exception):
    """A plugin tried to run a failed item again; the message repeats the first report."""

    def __init__(self, report: str) -> None:
        super().__init__(
            "a failed scenario is not run again, as an intermittent failure is a finding too; "
            f"remove the option that retries it (--reruns, --retries, --force-flaky)\n\nthe first report:\n{report}"
        )


class ScenarioItem(pytest.Item):
    """One scenario on the system or a variant; passes if the run ends as the scenario expects."""

    def __init__(self, *, variant: str | None, **kwargs: Any) -> None:  # noqa: ANN401 - pytest's own
        super().__init__(**kwargs)
        self._variant = variant
        self._plan: Plan | None = None
        self._steps: list[str] = []

    def runtest(self) -> None:
        """Plan the scenario, run it on the session's warm stack and judge it; refuse to run a failed item again."""
        _refuse_again(self)
        try:
            self._run()
        except (Exception, pytest.fail.Exception) as error:
            failed = self.session.stash[_FAILED]
            failed[self.nodeid] = str(self.repr_failure(pytest.ExceptionInfo.from_exception(error)))
            raise

    def _initrequest(self) -> None:
        """Do nothing: pytest-retry calls this before it retries, to renew a function's fixtures."""

    def _run(self) -> None:
        from harness.plan import make_plan
        from harness.run import execute

        self._plan = plan = make_plan(
            self.path,
            system_path=None,
            variant=self._variant,
            seed=self.config.option.oneffect_seed,
            stack=self.config.option.oneffect_stack or "auto",
        )
        try:
            case = _loop(self.session).run(lambda stacks: execute(plan, stacks, progress=self))
        finally:
            self.add_report_section("call", "oneffect", "\n".join(self._steps))
        self.user_properties += [("verdict", case.verdict), ("run_directory", str(case.directory))]
        if not case.as_expected:
            raise NotAsExpectedError(case.story)

    def step(self, text: str) -> None:
        """Keep a step of the run for the report."""
        self._steps.append(_plain(text))

    def note(self, text: str) -> None:
        """Keep an event within the step."""
        self._steps.append(f"  {_plain(text)}")

    def repr_failure(self, excinfo: ExceptionInfo, style: Any = None) -> Any:  # noqa: ANN401 - pytest's own
        """Return the report for a verdict, one message for an error of the harness, else a traceback."""
        error = excinfo.value
        if isinstance(error, (NotAsExpectedError, TriedAgainError)):
            return str(error).rstrip()
        if isinstance(error, OneffectError):
            return _plain(error)
        if isinstance(error, pytest.fail.Exception):
            # From a time-out: where the wait for a run was interrupted says nothing about the run.
            return _plain("\n".join([str(error), *getattr(error, "__notes__", [])]))
        return self._without_secrets(str(super().repr_failure(excinfo, style)))

    def _without_secrets(self, text: str) -> str:
        """Redact a traceback: its arguments may show the system file's secrets."""
        from harness.redaction import Redaction

        return Redaction(self._plan.system, os.environ).text(text) if self._plan is not None else text

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The item's file and name."""
        return self.path, None, f"{self.path.stem} {self.name}"


def _loop(session: pytest.Session) -> LoopThread:
    from harness.history import RUNS
    from harness.session.thread import LoopThread

    if _LOOP not in session.stash:
        given = session.config.option.oneffect_out
        session.stash[_LOOP] = LoopThread(Path(given) if given else session.config.rootpath / RUNS)
    return session.stash[_LOOP]


def _plain(text: object) -> str:
    from harness.reports.untrusted import shown

    return shown(text, lines=True)
