"""``oneffect init``: what it writes is a system with a scenario that can be planned; it overwrites nothing."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.commands.init import PUBLISHED, WRITES
from harness.files import load
from harness.plan import make_plan
from harness.system import System


@pytest.fixture
def oneffect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, words)


@pytest.fixture
def first(oneffect, tmp_path: Path) -> Path:
    said = oneffect("init", "deep/first")
    assert said.exit_code == 0, said.output
    return tmp_path / "deep" / "first"


def test_what_it_writes_can_be_planned(first: Path) -> None:
    assert {path.name for path in first.iterdir()} == WRITES.keys()
    system = load(first / "system.yaml", System)
    plan = make_plan(first / "delivered-again.yaml", system_path=None, variant=None, seed=1, stack="auto")
    assert plan.system == system
    assert [fault.target for fault in plan.faults] == ["orders", "billing"]


def test_a_consumer_without_a_front_door_can_be_planned(oneffect, tmp_path: Path) -> None:
    said = oneffect("init", "alone", "--no-front-door")
    assert said.exit_code == 0, said.output
    first = tmp_path / "alone"
    assert {path.name for path in first.iterdir()} == PUBLISHED.keys()
    plan = make_plan(first / "delivered-again.yaml", system_path=None, variant=None, seed=1, stack="auto")
    assert set(plan.system.services) == {"billing"}
    assert [fault.target for fault in plan.faults] == ["orders", "billing"]


def test_a_draft_has_the_front_door_that_its_compose_file_has(oneffect) -> None:
    said = oneffect("init", "--no-front-door", "--from-compose", "compose.yaml")
    assert said.exit_code == 2
    assert "leave out --from-compose" in said.stderr


def test_exactly_one_line_is_the_one_to_delete(first: Path) -> None:
    lines = (first / "billing.py").read_text().splitlines()
    (line,) = [line for line in lines if "the dedupe line" in line]
    assert "inbox" in line


def test_it_says_how_to_run_it(oneffect) -> None:
    assert "oneffect run 'a folder/delivered-again.yaml'" in oneffect("init", "a folder").stdout


@pytest.mark.parametrize("name", sorted(WRITES))
def test_a_file_that_is_there_stays_and_nothing_is_written(oneffect, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    said = oneffect("init", ".")
    assert said.exit_code == 2
    assert f"{name}: is there already" in said.stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "mine"}


def test_a_link_that_leads_nowhere_is_not_written_through(oneffect, tmp_path: Path) -> None:
    (tmp_path / "shop.py").symlink_to(tmp_path / "elsewhere")
    assert oneffect("init", ".").exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["shop.py"]


@pytest.mark.parametrize("folder", ["file", "file/below", "n" * 300])
def test_a_folder_that_cannot_be_is_one_message(oneffect, tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("mine")
    said = oneffect("init", folder)
    assert said.exit_code == 2
    assert said.stderr.startswith("oneffect: ")
    assert said.stderr.count("\n") == 1, said.stderr
    assert (tmp_path / "file").read_text() == "mine"
