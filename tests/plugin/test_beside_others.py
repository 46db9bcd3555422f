"""Our items beside other plugins, each played at the hooks that it uses: time-outs, second tries, repetition, options."""

import pytest

from tests.plugin.made_up import made_up

pytest_plugins = ["pytester"]

TIMEOUT = """
import signal

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    # As pytest-timeout with the method "signal": the handler raises in the middle of whatever runs.
    before = signal.signal(signal.SIGUSR1, lambda *_: pytest.fail("Timeout (>2.0s)"))
    yield
    signal.signal(signal.SIGUSR1, before)
"""

RERUNS = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    # As pytest-rerunfailures: the whole protocol once more, and the first failure is none.
    for left in range(1, -1, -1):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        again = left and any(report.failed for report in reports)
        for report in reports:
            if report.failed and (again or LAST_TOO):
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
        if not again:
            return True

def pytest_report_teststatus(report):
    return ("rerun", "R", "RERUN") if report.outcome == "rerun" else None

LAST_TOO = False
"""

RETRIES = """
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    # As pytest-retry: the call once more while the report of the first is made; that takes on the second's outcome.
    report = (yield).get_result()
    if call.when != "call" or call.excinfo is None:
        return
    hook = item.ihook
    nobody = pytest.Class.from_parent(item.session, name="Nobody")
    hook.pytest_runtest_teardown(item=item, nextitem=nobody)
    item._initrequest()
    hook.pytest_runtest_setup(item=item)
    second = pytest.CallInfo.from_call(lambda: hook.pytest_runtest_call(item=item), when="call")
    made = pytest.TestReport.from_item_and_call(item, second)
    report.outcome, report.longrepr = made.outcome, made.longrepr
"""

SILENT = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    # As flaky: what is tried again is not reported at all.
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""

INTERMITTENT = "{'one setnx_only': ['valid', 'invalid']}"
"""Expected is ``invalid``: the first run fails, and a second one would pass."""

REPEAT = """
def pytest_addoption(parser):
    parser.addoption("--count", type=int, default=1)
"""

LOCUST = """
def pytest_addoption(parser):
    parser.addoption("--host", "-H", default=None)
"""


def test_a_time_out_ends_its_run_before_the_next_begins(project: pytest.Pytester) -> None:
    made_up(project, "{'one': 'hangs'}", TIMEOUT)
    said = project.runpytest("-s", "--oneffect-seed", "5")
    said.assert_outcomes(passed=1, failed=1)
    told = [line.lstrip(".F") for line in said.outlines]
    words = ("stack started", "stack stopped", "made up", "ended")
    assert [line.removeprefix("one.yaml ") for line in told if any(word in line for word in words)] == [
        "stack started",
        "made up one 5",
        "ended one",
        "stack stopped",
        "stack started",
        "made up one setnx_only 5",
        "stack stopped",
    ]
    said.stdout.fnmatch_lines(["*_ one system _*", "Timeout (>2.0s)", "FAILED one.yaml::system - Timeout (>2.0s)"])


@pytest.mark.parametrize("plugin", [RERUNS, RETRIES, SILENT], ids=["reruns", "retries", "silent"])
def test_a_second_try_is_no_answer(project: pytest.Pytester, plugin: str) -> None:
    made_up(project, INTERMITTENT, plugin)
    said = project.runpytest("-s", "--oneffect-seed", "5")
    assert said.ret == pytest.ExitCode.TESTS_FAILED
    assert said.parseoutcomes()["failed"] == 1
    said.stdout.fnmatch_lines(
        [
            "a failed scenario is not run again*",
            "the first report:",
            "VALID  one setnx_only  seed 5  outcomes*",
            "*not as expected: the scenario expects invalid with lost*",
        ]
    )
    assert said.stdout.str().count("made up one setnx_only 5") == 1


def test_nor_is_one_after_an_error(project: pytest.Pytester) -> None:
    made_up(project, "{'one': [StackError('kafka died'), 'valid']}", RERUNS)
    said = project.runpytest("-s")
    said.assert_outcomes(passed=1, failed=1)
    said.stdout.fnmatch_lines(["a failed scenario is not run again*", "kafka died"])


def test_a_session_that_tried_again_failed_whatever_the_plugin_says(project: pytest.Pytester) -> None:
    made_up(project, INTERMITTENT, RERUNS.replace("LAST_TOO = False", "LAST_TOO = True"))
    said = project.runpytest()
    assert "failed" not in said.parseoutcomes()
    assert said.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("plugin", [RERUNS, RETRIES, SILENT], ids=["reruns", "retries", "silent"])
def test_what_passes_is_none_of_their_business(project: pytest.Pytester, plugin: str) -> None:
    made_up(project, others=plugin)
    project.runpytest().assert_outcomes(passed=2)


def test_as_many_items_as_repeat_is_asked_for_with_one_seed(project: pytest.Pytester) -> None:
    made_up(project)
    project.makepyfile(pytest_repeat=REPEAT)
    project.syspathinsert()
    words = ("-p", "pytest_repeat", "--count", "2", "--oneffect-seed", "5")
    project.runpytest(*words, "--collect-only", "-q").stdout.fnmatch_lines(
        ["one.yaml::system[[]1-2]", "one.yaml::system[[]2-2]", "one.yaml::setnx_only[[]1-2]", "*setnx_only[[]2-2]"]
    )
    said = project.runpytest("-s", *words)
    said.assert_outcomes(passed=4)
    assert said.stdout.str().count("made up one setnx_only 5") == 2
    project.runpytest(*words, "one.yaml::system").assert_outcomes(passed=2)


def test_one_of_several_failing_does_not_forbid_the_others(project: pytest.Pytester) -> None:
    made_up(project, INTERMITTENT)
    project.makepyfile(pytest_repeat=REPEAT)
    project.syspathinsert()
    said = project.runpytest("-p", "pytest_repeat", "--count", "2")
    said.assert_outcomes(passed=3, failed=1)
    said.stdout.fnmatch_lines(["*_ one setnx_only[[]1-2] _*"])


def test_a_count_of_somebody_else_s_is_not_repeat_s(project: pytest.Pytester) -> None:
    made_up(project, others=REPEAT)
    project.runpytest("--count", "2").assert_outcomes(passed=2)


def test_our_options_have_our_name_and_leave_host_to_others(project: pytest.Pytester) -> None:
    made_up(project, others=LOCUST)
    said = project.runpytest("-p", "no:locust", "-H", "there", "--host", "here")
    said.assert_outcomes(passed=2)
    helped = project.runpytest("-p", "no:locust", "--help").outlines
    ours = helped[helped.index("scenarios under real faults:") + 1 :]
    options = [line.split()[0].partition("=")[0] for line in ours[: ours.index("")] if line.startswith("  -")]
    assert options == ["--oneffect-seed", "--oneffect-stack", "--oneffect-variant", "--oneffect-out"]
    fixtures = project.runpytest("-p", "no:locust", "--fixtures").outlines
    assert [
        line.split()[0] for line in fixtures if line.endswith("]") is False and "harness/pytest_plugin" in line
    ] == ["oneffect"]
