"""What the workflow, the action and the how-to say to ``oneffect gate`` is what it understands."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

from harness.cli import app
from harness.files import load
from harness.scenario import Scenario

ROOT = Path(__file__).parents[3]
WORKFLOW = ROOT / ".github" / "workflows" / "chaos.yml"
HOW_TO = ROOT / "docs" / "how-to" / "ci.md"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
FENCE = re.compile(r"^```yml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def gates(path: Path) -> list[list[str]]:
    """The words after each `oneffect gate` that runs something."""
    lines = re.findall(r"oneffect gate (--(?!help)[^'\n]*)", path.read_text())
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize(("path", "count"), [(WORKFLOW, 1), (HOW_TO, 2)], ids=["workflow", "how-to"])
def test_the_words_are_known(path: Path, count: int) -> None:
    assert len(gates(path)) == count
    for words in gates(path):
        understood(words)


def test_the_project_has_scenarios_for_the_gate() -> None:
    assert all("gate" in load(path, Scenario).tags for path in (ROOT / "scenarios").glob("*.yaml"))


def understood(words: list[str]) -> None:
    typer.main.get_command(app).commands["gate"].make_context("gate", list(words))


def gate_step() -> dict:
    return next(step for step in ACTION["runs"]["steps"] if step["name"] == "Gate")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, []),
        (
            {"PATHS": "a b/c.yaml", "BASE": "my base.json", "SEED": "7", "STACK": "docker"},
            ["a", "b/c.yaml", "--base", "my base.json", "--seed", "7", "--stack", "docker"],
        ),
        ({"PATHS": "$(touch x) ;"}, ["$(touch", "x)", ";"]),
    ],
)
def test_the_action_hands_its_inputs_on(tmp_path: Path, inputs: dict[str, str], words: list[str]) -> None:
    oneffect = tmp_path / "oneffect"
    oneffect.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    oneffect.chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "PATHS": "",
        "BASE": "",
        "SEED": "",
        "STACK": "",
        "REPORTS": "r",
        **inputs,
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", gate_step()["run"]],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    given = done.stdout.splitlines()
    assert given == ["gate", *words, "--junit", "r/junit.xml", "--summary", "r/summary.md", "--html", "r"]
    assert not (tmp_path / "x").exists()
    understood(given[1:])


def test_every_input_is_used_and_none_stands_in_a_script() -> None:
    text = (ROOT / "action.yml").read_text()
    assert set(re.findall(r"inputs\.(\w+)", text)) == set(ACTION["inputs"])
    assert not [step for step in ACTION["runs"]["steps"] if "${{" in step.get("run", "")]


def test_what_the_how_to_shows_is_yaml_and_the_action_takes_its_inputs() -> None:
    blocks = [yaml.safe_load(block) for block in FENCE.findall(HOW_TO.read_text())]
    assert len(blocks) == 2
    assert len(blocks[0]["steps"]) == 4
