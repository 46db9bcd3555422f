"""What the workflow, the action and the how-to say to ``oneffect gate`` is what it understands."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from harness.cli import app
from harness.files import load
from harness.scenario import Scenario
from harness.stacks.docker.stack import IMAGES

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
    untagged = {path.stem for path in (ROOT / "scenarios").glob("*.yaml") if "gate" not in load(path, Scenario).tags}
    joining = {"crash-at-claim", "crash-at-commit", "crash-at-transaction"}
    assert untagged == joining, "they join once they have held in many runs"


def understood(words: list[str]) -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    command.commands["gate"].make_context("gate", list(words))


def step(name: str) -> dict:
    return next(one for one in ACTION["runs"]["steps"] if one["name"] == name)


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def run_step(name: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A step's script as GitHub's runner runs it; programs in ``cwd`` go before all others."""
    path = f"{cwd}:{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step(name)["run"]],
        cwd=cwd,
        env={"PATH": path, "PATHS": "", "BASE": "", "SEED": "", "STACK": "", "REPORTS": "r", **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, []),
        (
            {"PATHS": "a b/c.yaml", "BASE": "my base.json", "SEED": "7", "STACK": "docker"},
            ["a", "b/c.yaml", "--base", "my base.json", "--seed", "7", "--stack", "docker"],
        ),
        ({"PATHS": "$(touch x) ;"}, ["$(touch", "x)", ";"]),
        ({"PATHS": "a\nb/c.yaml d\n"}, ["a", "b/c.yaml", "d"]),
    ],
)
def test_the_action_hands_its_inputs_on(tmp_path: Path, inputs: dict[str, str], words: list[str]) -> None:
    program(tmp_path / "oneffect", 'printf "%s\\n" "$@"')
    done = run_step("Gate", tmp_path, **inputs)
    assert done.returncode == 0, done.stderr
    given = done.stdout.splitlines()
    assert given == ["gate", *words, "--junit", "r/junit.xml", "--summary", "r/summary.md", "--html", "r"]
    assert not (tmp_path / "x").exists()
    understood(given[1:])


@pytest.fixture
def contained(project: Path) -> Path:
    """A project with images and two scenarios for the gate, and an engine that has the shop's image and Toxiproxy's."""
    system = (project / "system.yaml").read_text()
    for name in ("shop", "ledger"):
        system = system.replace(f"command: python -m {name}", f"image: {name}:1")
    (project / "system.yaml").write_text(system)
    for name in ("control", "redelivery"):
        path = project / "scenarios" / f"{name}.yaml"
        path.write_text(path.read_text() + "tags: [gate]\n")
    program(
        project / "docker",
        f"""
        case "$1 $2 $3" in
        "image inspect shop:1" | "image inspect {IMAGES["toxiproxy"]}") ;;
        image*) exit 1 ;;
        "pull --quiet $MISSING") exit 1 ;;
        *) echo "$1 $3" ;;
        esac""",
    )
    return project


PULLED = [f"pull {image}" for image in sorted([IMAGES["kafka"], IMAGES["redis"], "ledger:1"])]


@pytest.mark.parametrize(
    ("inputs", "pulled"),
    [
        ({"STACK": "docker"}, PULLED),
        ({"STACK": "docker", "PATHS": "scenarios/control.yaml\nredelivery\n"}, PULLED),
        ({}, PULLED),
        ({"STACK": "native"}, []),
        ({"STACK": "docker", "PATHS": "none.yaml"}, []),
    ],
    ids=["docker", "paths", "auto", "native", "wrong"],
)
def test_the_action_pulls_the_images_that_are_not_there(
    contained: Path, inputs: dict[str, str], pulled: list[str]
) -> None:
    done = run_step("Images of the docker stack", contained, **inputs)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == pulled


def test_an_image_that_cannot_be_pulled_ends_the_action(contained: Path) -> None:
    done = run_step("Images of the docker stack", contained, STACK="docker", MISSING="ledger:1")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("::error::the image ledger:1 is not here and cannot be pulled")


def test_the_cache_has_the_native_stack_s_own_key(tmp_path: Path) -> None:
    """Another version of a part, or of what installs it, is another key; whatever else there is, is not."""
    folder = tmp_path / "action" / "harness" / "stacks" / "native"
    shutil.copytree(ROOT / "harness" / "stacks" / "native", folder)

    def key() -> str:
        output = tmp_path / "output"
        output.write_text("")
        done = run_step("Key of the cache", tmp_path, ACTION=str(tmp_path / "action"), GITHUB_OUTPUT=str(output))
        assert done.returncode == 0, done.stderr
        return output.read_text()

    before = key()
    assert re.fullmatch(r"sum=[0-9a-f]{64}\n", before)
    assert "steps.cache.outputs.sum" in step("Kafka, Redis and Toxiproxy from the cache")["with"]["key"]
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert key() == before
    (folder / "kafka.lock").write_text("another\n")
    assert key() != before
    assert "hashFiles" not in str([one.get("with") for one in ACTION["runs"]["steps"]])


def test_every_input_is_used_and_none_stands_in_a_script() -> None:
    text = (ROOT / "action.yml").read_text()
    assert set(re.findall(r"inputs\.(\w+)", text)) == set(ACTION["inputs"])
    assert not [one for one in ACTION["runs"]["steps"] if "${{" in one.get("run", "")]


def test_jenkins_is_told_a_user_that_has_a_name() -> None:
    """Jenkins passes `-u UID:GID` of its own, and Postgres's programs want an entry in /etc/passwd."""
    (recipe,) = re.findall(r"^```groovy\n(.*?)^```$", HOW_TO.read_text(), re.MULTILINE | re.DOTALL)
    assert re.search(r"agent \{ docker \{ image '[^']+'; args '-u root' \} \}", recipe)


def test_what_the_how_to_shows_is_yaml_and_the_action_takes_its_inputs() -> None:
    blocks = [yaml.safe_load(block) for block in FENCE.findall(HOW_TO.read_text())]
    assert len(blocks) == 2
    assert len(blocks[0]["steps"]) == 4
