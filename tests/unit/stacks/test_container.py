"""What a stack asks the engine about a container."""

from pathlib import Path
from typing import Any

import pytest

from harness.errors import StackError
from harness.stacks.docker import container
from harness.stacks.docker.container import Box, Contained
from harness.stacks.process import Launch, Process

FREEZE = (
    "docker pause: Error response from daemon: Cannot pause container 7: OCI runtime pause failed: unable to freeze"
)


class Engine:
    """An engine that fails to pause so many times."""

    def __init__(self, error: str, fails: int) -> None:
        self.error, self.fails, self.asked = error, fails, 0
        self.command, self.environment = "docker", dict[str, str]()

    def ask(self, *words: str) -> str:
        assert words[0] == "pause"
        self.asked += 1
        if self.asked <= self.fails:
            raise StackError(self.error)
        return ""


class Running(Contained, Process):
    """A process that runs in a container."""

    pid = 7


def running(engine: Any, folder: Path) -> Running:
    async def answers(_timeout: float) -> bool:
        return True

    running = Running("shop", Launch([], {}, folder, folder / "log"), answers)
    running.contain(Box(engine, "token", "image", ()))
    return running


async def test_a_container_that_does_not_freeze_at_once_is_asked_again(tmp_path: Path) -> None:
    engine = Engine(FREEZE, 3)
    await running(engine, tmp_path).pause()
    assert engine.asked == 4


async def test_one_that_never_freezes_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_FREEZES_WITHIN", 0.1)
    with pytest.raises(StackError, match="unable to freeze"):
        await running(Engine(FREEZE, 1 << 30), tmp_path).pause()


async def test_another_error_is_not_tried_again(tmp_path: Path) -> None:
    engine = Engine("docker pause: no such container", 1)
    with pytest.raises(StackError, match="no such container"):
        await running(engine, tmp_path).pause()
    assert engine.asked == 1
