"""The watch of ``oneffect up``: what ended by itself is said, and nothing else."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.hold import up
from harness.stacks.process import Launch, Process

PATIENCE = 20.0


async def serves(_timeout: float) -> bool:
    return True


class Slow(Process):
    """One whose end takes a while to be known to whoever ended it: a machine is busy."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.known = asyncio.Event()

    async def exited(self) -> int:
        await self.known.wait()
        return await super().exited()


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_a_fault_is_just_ending_is_not_said_to_have_ended_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "LOOK_EVERY", 0.01)
    words = Launch(
        (sys.executable, "-c", "import time; time.sleep(600)"), dict(os.environ), tmp_path, tmp_path / "log"
    )
    killed, crashed = Slow("killed", words, serves), Process("crashed", words, serves)
    for one in (killed, crashed):
        await one.start()
    said: list[str] = []
    recorded: list[str] = []
    recorder = SimpleNamespace(record=lambda op, phase, actor, name: recorded.append(name))
    watch = asyncio.ensure_future(
        up._watch(
            SimpleNamespace(dependencies={"killed": killed}, services={"crashed": crashed}), recorder, said.append
        )
    )
    try:
        killing = asyncio.ensure_future(killed.kill())
        await until(lambda: killed.pid is None)
        assert crashed.pid is not None
        os.kill(crashed.pid, signal.SIGKILL)
        await until(lambda: said)
        killed.known.set()
        assert await killing == -signal.SIGKILL
        await killed.start()
        assert killed.pid is not None
        os.kill(killed.pid, signal.SIGKILL)
        await until(lambda: len(said) > 1)
    finally:
        watch.cancel()
    assert said == ["crashed has ended by itself", "killed has ended by itself"]
    assert recorded == ["crashed", "killed"]
