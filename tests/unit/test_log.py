"""What is logged goes to the run's file, and nowhere else."""

import asyncio
import logging
from pathlib import Path

import pytest

from harness.log import logged

LIBRARY = logging.getLogger("aiokafka.client")


class Terminal(logging.Handler):
    """Whatever else listens to the root logger."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def terminal():
    made = Terminal()
    logging.getLogger().addHandler(made)
    yield made
    logging.getLogger().removeHandler(made)


def hide(text: str) -> str:
    return text.replace("hush", "***")


def test_it_goes_to_the_file_alone_without_secrets(tmp_path: Path, terminal: Terminal) -> None:
    path = tmp_path / "logs" / "harness.log"
    before = logging.getLogger().handlers[:]
    with logged(path, hide):
        assert not path.parent.exists()
        LIBRARY.error("no connection to %s", "hush@kafka", exc_info=ConnectionError("AUTH hush was refused"))
    LIBRARY.warning("after")
    text = path.read_text()
    assert "ERROR aiokafka.client: no connection to ***@kafka\nConnectionError: " in text
    assert text.endswith("ConnectionError: AUTH *** was refused\n")
    assert terminal.said == ["after"]
    assert logging.getLogger().handlers == before


async def test_two_runs_at_once_have_a_log_each(tmp_path: Path, terminal: Terminal) -> None:
    met = asyncio.Barrier(2)

    async def run(name: str) -> None:
        with logged(tmp_path / name, hide):
            await met.wait()
            task = asyncio.create_task(asyncio.to_thread(LIBRARY.warning, f"by {name}"))
            await task
            await met.wait()

    async with asyncio.timeout(20), asyncio.TaskGroup() as lanes:
        for name in ("one", "two"):
            lanes.create_task(run(name))
    for name in ("one", "two"):
        (line,) = (tmp_path / name).read_text().splitlines()
        assert line.endswith(f"by {name}")
    assert not terminal.said


async def test_what_is_of_no_run_is_in_each_log_that_is_open(tmp_path: Path, terminal: Terminal) -> None:
    asked, said = asyncio.Event(), asyncio.Event()

    async def elsewhere() -> None:
        await asked.wait()
        LIBRARY.warning("whose")
        said.set()

    task = asyncio.create_task(elsewhere())
    with logged(tmp_path / "one", hide), logged(tmp_path / "two", hide):
        asked.set()
        await said.wait()
    await task
    assert all("whose" in (tmp_path / name).read_text() for name in ("one", "two"))
    assert not terminal.said


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path, terminal: Terminal, capfd) -> None:
    (tmp_path / "logs").touch()
    with logged(tmp_path / "logs" / "harness.log", hide):
        LIBRARY.warning("anything")
    assert (terminal.said, capfd.readouterr().err) == ([], "")
