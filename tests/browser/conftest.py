"""Runs that were recorded, judged again, and a browser to look at their reports; without one these tests are left out."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.run import judge_directory
from tests.browser.chromium import NAMES, Chromium, found

HERE = Path(__file__).parent
HISTORIES = HERE.parent / "histories"
WITHOUT = f"tests/browser is left out: none of {', '.join(NAMES)} is on PATH"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if found():
        return
    mine = [item for item in items if item.path.is_relative_to(HERE)]
    items[:] = [item for item in items if item not in mine]
    config.hook.pytest_deselected(items=mine)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not found():
        terminalreporter.write_line(WITHOUT, yellow=True)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(found() or "", tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def reported(tmp_path: Path):
    """Makes the report of a recorded history, by its name in tests/histories."""

    def make(name: str) -> Path:
        directory = tmp_path / Path(name).name
        directory.mkdir()
        shutil.copyfile(HISTORIES / f"{name}.jsonl", directory / "history.jsonl")
        judge_directory(directory)
        return directory / "report.html"

    return make
