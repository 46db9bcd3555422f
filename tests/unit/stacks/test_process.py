import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.errors import ServiceExited, StackError
from harness.stacks.process import Launch, Process

FAMILY = (
    "import subprocess, sys, time; c = subprocess.Popen(['sleep', '60']); print(c.pid, flush=True); time.sleep(60)"
)


async def serves(_timeout: float) -> bool:
    return True


async def refuses(_timeout: float) -> bool:
    raise ConnectionRefusedError


def process(tmp_path: Path, code: str = "import time; time.sleep(60)", answers=serves) -> Process:
    command = (sys.executable, "-c", code)
    return Process("one", Launch(command, dict(os.environ), tmp_path, tmp_path / "logs" / "one.log"), answers)


async def test_states_from_absent_to_exited(tmp_path) -> None:
    one = process(tmp_path)
    assert await one.state() == "absent"
    assert one.pid is None
    await one.start()
    assert await one.state() == "ready"
    await one.pause()
    assert await one.state() == "paused"
    await one.resume()
    assert await one.kill() == -9
    assert await one.state() == "exited"


async def test_one_that_does_not_answer_is_starting(tmp_path) -> None:
    one = process(tmp_path, answers=refuses)
    await one.start()
    assert await one.state() == "starting"
    with pytest.raises(StackError, match=r"not ready within 0\.1 s"):
        await one.ready(0.1)
    await one.kill()


async def test_an_answer_that_takes_longer_than_the_first_look_is_waited_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("harness.stacks.process._LOOK", 0.01)
    slow = 0.2

    async def slowly(timeout: float) -> bool:
        await asyncio.sleep(min(timeout, slow))
        if timeout < slow:
            raise TimeoutError
        return True

    one = process(tmp_path, answers=slowly)
    await one.start()
    try:
        await one.ready(10)
    finally:
        await one.kill()


async def test_a_kill_takes_its_children_too(tmp_path) -> None:
    one = process(tmp_path, FAMILY)
    await one.start()
    while not one.log_tail():
        await asyncio.sleep(0.01)
    child = psutil.Process(int(one.log_tail()))
    await one.kill()
    async with asyncio.timeout(20):
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.005)


async def test_a_stop_asks_first_and_kills_after_the_grace(tmp_path) -> None:
    polite = process(tmp_path)
    await polite.start()
    assert await polite.stop() == -15
    stubborn = process(
        tmp_path,
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
    )
    await stubborn.start()
    while "deaf" not in stubborn.log_tail():
        await asyncio.sleep(0.01)
    assert await stubborn.stop(grace=0.1) == -9


async def test_an_early_end_is_said_with_the_log(tmp_path) -> None:
    one = process(tmp_path, "raise SystemExit('because')", answers=refuses)
    await one.start()
    with pytest.raises(ServiceExited, match=r"(?s)status 1 .*because"):
        await one.ready(20)


async def test_it_is_started_once_at_a_time_and_again_after_its_end(tmp_path) -> None:
    one = process(tmp_path)
    await one.start()
    with pytest.raises(StackError, match="is already running"):
        await one.start()
    first = one.pid
    await one.kill()
    await one.start()
    assert one.pid != first
    await one.kill()


@pytest.mark.parametrize("end", [Process.kill, Process.stop])
async def test_that_it_ends_on_purpose_is_known_before_its_end_can_be_seen(tmp_path, end) -> None:
    one = process(tmp_path)
    await one.start()
    seen = []
    signal = one._signal

    def signalled(number: Any) -> None:
        signal(number)
        while one.pid is not None:
            pass
        seen.append(one.ended_on_purpose)

    one._signal = signalled
    assert not one.ended_on_purpose
    await end(one)
    assert seen == [True]
    await one.start()
    assert not one.ended_on_purpose
    one._signal = signal
    await one.kill()


async def test_what_ended_by_itself_did_so_also_once_it_was_to_be_killed(tmp_path) -> None:
    one = process(tmp_path, "pass")
    await one.start()
    await one.exited()
    assert await one.kill() == 0
    assert not one.ended_on_purpose


async def test_what_does_not_run_cannot_be_paused(tmp_path) -> None:
    with pytest.raises(StackError, match="cannot be paused"):
        await process(tmp_path).pause()


async def test_the_log_s_tail_is_its_last_lines(tmp_path) -> None:
    one = process(tmp_path, "print('\\n'.join(map(str, range(500))))")
    await one.start()
    await one.exited()
    assert one.log_tail(3).split() == ["497", "498", "499"]
