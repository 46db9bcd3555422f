"""A folder with a compose file, and what becomes of it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.files.document import parse
from tests.unit.compose.files import BESIDE


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``made(text)``: the system file's document that the command writes of a compose file."""
    monkeypatch.chdir(tmp_path)
    for name, text in BESIDE.items():
        (tmp_path / name).write_text(text)

    def of(text: str) -> dict:
        (tmp_path / "docker-compose.yml").write_text(text)
        said = CliRunner().invoke(app, ["init", "--from-compose", "docker-compose.yml"])
        assert said.exit_code == 0, said.output
        return parse(tmp_path / "system.yaml").value

    return of


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``refused(text)``: the one message of the command, which writes nothing."""
    monkeypatch.chdir(tmp_path)

    def of(text: str | None = None, name: str = "docker-compose.yml") -> str:
        if text is not None:
            (tmp_path / name).write_text(text)
        said = CliRunner().invoke(app, ["init", "--from-compose", name])
        assert said.exit_code == 2, said.output
        assert said.stderr.startswith("oneffect: ")
        assert said.stderr.count("\n") == 1, said.stderr
        assert not (tmp_path / "system.yaml").exists()
        return said.stderr

    return of
