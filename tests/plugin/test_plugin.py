"""What pytest makes of scenario files; the run is made up, the stack is not what is tested here."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from harness.errors import FileError
from harness.files import load
from harness.scenario import Scenario

# Loaded here once: pytester forgets after each session what that session was the first to load.
from tests.plugin.made_up import SCENARIO, made_up

pytest_plugins = ["pytester"]


def test_one_item_for_the_system_and_one_for_each_variant(project: pytest.Pytester) -> None:
    found = project.runpytest("--collect-only", "-q", "--oneffect-seed", "5")
    found.stdout.fnmatch_lines(["oneffect: seed 5 *", "one.yaml::system", "one.yaml::setnx_only"])


def test_a_system_file_and_other_yaml_are_left_alone(project: pytest.Pytester) -> None:
    project.path.joinpath("other.yaml").write_text("load: 5\n")
    project.path.joinpath("binary.yaml").write_bytes(bytes(range(256)))
    project.path.joinpath("one.yaml").unlink()
    found = project.runpytest("--collect-only", "-q")
    found.stdout.fnmatch_lines(["no tests collected*"])
    assert "oneffect: seed" not in found.stdout.str()


@pytest.mark.parametrize(
    "written",
    [
        SCENARIO.lstrip().encode("utf-8-sig"),
        SCENARIO.replace("\n", "\r").encode(),
        SCENARIO.replace("oneffect:", '"oneffect":').encode(),
        SCENARIO.replace("load:", "load :").encode(),
        SCENARIO.replace("oneffect: 1", "oneffect: 1.0").encode(),
        textwrap.indent(SCENARIO, "  ").encode(),
        b'{"oneffect": 1, "name": "one", "system": "system.yaml", "load": {"uploads": 40}}',
        b"\xef\xbb\xbf" + f"{SCENARIO.lstrip()}faults: [\n".encode(),
        SCENARIO.replace("oneffect: 1", '"oneffect": 2').encode(),
    ],
    ids=["bom", "cr", "quoted", "spaced", "float", "indented", "json", "bom-broken", "newer"],
)
def test_whatever_else_loads_as_one_is_a_scenario_too(project: pytest.Pytester, written: bytes) -> None:
    path = project.path / "one.yaml"
    path.write_bytes(written)
    found = project.runpytest("--collect-only", "-q")
    try:
        load(path, Scenario)
    except FileError:
        found.assert_outcomes(errors=1)
    else:
        found.stdout.fnmatch_lines(["one.yaml::system"])


def test_what_only_has_the_words_is_none(project: pytest.Pytester) -> None:
    for number, text in enumerate(
        (
            "jobs: {oneffect: {load: 5}}\n",
            "oneffect and load, but no YAML: [\n",
            '{"oneffect": 1, "name": "small", "services": {}, "load": {}}\n',
        )
    ):
        project.path.joinpath(f"other{number}.yaml").write_text(text)
    project.path.joinpath("one.yaml").unlink()
    project.runpytest("--collect-only", "-q").stdout.fnmatch_lines(["no tests collected*"])


def test_runs_as_expected_pass(project: pytest.Pytester) -> None:
    made_up(project)
    said = project.runpytest("-s", "--oneffect-seed", "5")
    said.assert_outcomes(passed=2)
    said.stdout.fnmatch_lines(["*made up one 5*", "*made up one setnx_only 5*"])


def test_one_stack_serves_the_session_and_is_stopped(project: pytest.Pytester) -> None:
    project.path.joinpath("two.yaml").write_text(SCENARIO.replace("name: one", "name: two"))
    made_up(project)
    said = project.runpytest("-s")
    said.assert_outcomes(passed=4)
    assert said.stdout.str().count("stack started") == 1
    assert said.stdout.str().count("stack stopped") == 1


def test_a_run_that_is_not_as_expected_fails_with_the_report(project: pytest.Pytester) -> None:
    made_up(project, "{'one setnx_only': 'valid'}")
    said = project.runpytest("--oneffect-seed", "5")
    said.assert_outcomes(passed=1, failed=1)
    said.stdout.fnmatch_lines(
        [
            "VALID  one setnx_only  seed 5  outcomes*",
            "*not as expected: the scenario expects invalid with lost*",
            "*run: *",
        ]
    )
    assert "Traceback" not in said.stdout.str()
    said.stdout.fnmatch_lines([r"load \x1b[[]31m", "  net.hang"])
    assert "\x1b" not in said.stdout.str()


def test_unknown_never_passes(project: pytest.Pytester) -> None:
    made_up(project, "{'one': 'unknown'}")
    project.runpytest().assert_outcomes(passed=1, failed=1)


def test_an_error_is_one_message_and_the_next_run_gets_a_new_stack(project: pytest.Pytester) -> None:
    made_up(project, "{'one': ExceptionGroup('g', [StackError('kafka died')])}")
    said = project.runpytest("-s")
    said.assert_outcomes(passed=1, failed=1)
    said.stdout.fnmatch_lines(["kafka died"])
    assert said.stdout.str().count("stack started") == 2
    assert said.stdout.str().count("stack stopped") == 2


def test_nor_is_a_stack_used_again_that_a_run_has_left_broken(project: pytest.Pytester) -> None:
    made_up(project, others="LEFT_BROKEN.append('redis')\n")
    said = project.runpytest("-s")
    said.assert_outcomes(passed=2)
    assert said.stdout.str().count("stack started") == 2
    assert said.stdout.str().count("stack stopped") == 2


def test_what_cannot_be_planned_fails_and_starts_nothing(project: pytest.Pytester) -> None:
    made_up(project)
    project.path.joinpath("one.yaml").write_text(SCENARIO + "faults: [{fault: net.hangs, on: x, at: 1s, for: 1s}]\n")
    said = project.runpytest("-s")
    said.assert_outcomes(failed=2)
    said.stdout.fnmatch_lines(["*one.yaml*net.hangs*net.hang*"])
    assert "stack started" not in said.stdout.str()


def test_a_scenario_that_is_off_is_an_error_of_the_collection(project: pytest.Pytester) -> None:
    project.path.joinpath("one.yaml").write_text(SCENARIO + "fautls: []\n")
    said = project.runpytest()
    said.assert_outcomes(errors=1)
    said.stdout.fnmatch_lines(["*one.yaml:8: fautls: no such field*nearest: faults*"])


def test_the_seed_is_random_printed_and_one_for_all(project: pytest.Pytester) -> None:
    made_up(project)
    said = project.runpytest("-s").stdout.str()
    seed = said.partition("oneffect: seed ")[2].split()[0]
    assert said.count(f"{seed}\n") >= 2
    assert f"--oneffect-seed {seed}" in said


def test_run_directories_go_where_they_are_told(project: pytest.Pytester) -> None:
    made_up(project)
    project.runpytest("--oneffect-out", "there").assert_outcomes(passed=2)
    assert json.loads((project.path / "there" / "one" / "verdict.json").read_text())["verdict"] == "valid"


def test_or_to_the_project(project: pytest.Pytester) -> None:
    made_up(project)
    project.runpytest().assert_outcomes(passed=2)
    assert (project.path / ".oneffect" / "runs" / "one-setnx_only").is_dir()


def test_an_item_is_chosen_by_name(project: pytest.Pytester) -> None:
    made_up(project)
    project.runpytest("one.yaml::setnx_only").assert_outcomes(passed=1)
    project.runpytest("-k", "setnx_only", "--oneffect-out", "again").assert_outcomes(passed=1, deselected=1)


def test_asyncio_tests_beside_it_keep_their_loop(project: pytest.Pytester) -> None:
    made_up(project)
    project.makepyfile(
        "import asyncio, pytest\n\n@pytest.mark.asyncio\nasync def test_one():\n    await asyncio.sleep(0)\n"
        "\ndef test_two():\n    asyncio.run(asyncio.sleep(0))\n"
    )
    project.runpytest("-W", "error", "one.yaml", ".", "-p", "no:cacheprovider").assert_outcomes(passed=4)


def test_a_project_without_scenarios_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import sys\n\ndef test_one():\n"
        "    assert 'harness.pytest_plugin' in sys.modules\n"
        "    assert not {'pydantic', 'yaml', 'duckdb', 'rich.console', 'harness.plan'} & set(sys.modules)\n"
    )
    (tmp_path / "data.yaml").write_text("services: {}\n")
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:hypothesispytest",
            "--rootdir",
            str(tmp_path),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert said.returncode == 0, said.stdout
