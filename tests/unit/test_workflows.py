"""The workflows and the hooks parse, and name what there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def parsed(name: str) -> dict[str, Any]:
    # BaseLoader: to YAML 1.1 a bare `on` is true, and 3.10 the number 3.1.
    workflow = yaml.load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"), yaml.BaseLoader)
    assert isinstance(workflow, dict)
    return workflow


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_says_when_where_and_what(path: Path) -> None:
    workflow = parsed(path.name)
    assert workflow["name"] == path.stem
    assert workflow["on"]
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        assert int(job["timeout-minutes"]) > 0
    assert all(("run" in step) != ("uses" in step) for step in steps(workflow))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_makes_can_be_made(path: Path) -> None:
    made = [
        word for step in steps(parsed(path.name)) for word in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))
    ]
    assert made
    assert set(made) <= TARGETS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_read_and_nothing_else(path: Path) -> None:
    """So none can publish, neither to a registry by its identity nor as a release of the repository."""
    workflow = parsed(path.name)
    assert workflow["permissions"] == {"contents": "read"}
    assert not [name for name, job in workflow["jobs"].items() if "permissions" in job]
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_the_tests_run_on_every_python_from_the_oldest_supported_on() -> None:
    oldest = re.search(r'^requires-python = ">=3\.(\d+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    versions = parsed("test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert oldest is not None
    assert versions == [f"3.{minor}" for minor in range(int(oldest[1]), 15)]


def test_the_gate_s_reports_are_an_artifact_also_when_it_fails() -> None:
    gate, upload = parsed("chaos.yml")["jobs"]["gate"]["steps"][-2:]
    assert "--html reports" in gate["run"]
    assert upload["if"] == "always()"
    assert "reports" in upload["with"]["path"].split()


def test_a_release_is_built_checked_and_tried_before_it_is_an_artifact() -> None:
    said = [step.get("run") or step["uses"].partition("@")[0] for step in steps(parsed("release.yml"))]
    assert said[-3:] == ["make dist", "make dist-demo", "actions/upload-artifact"]


def test_the_hooks_run_what_make_lint_runs() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    hooks = {" ".join(hook["entry"].split()[:2]).removeprefix(".venv/bin/") for hook in local["hooks"]}
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert hooks == {line.partition("/")[2].partition(" --")[0].removesuffix(" .") for line in recipe.splitlines()}
