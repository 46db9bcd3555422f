"""Locust's own processes at a small front door: what they do is in the history, whole or said to be missing."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import orjson
import psutil
import pytest

from harness.announcement import Announcer
from harness.checkers.judge import judge
from harness.errors import StackError
from harness.history.merge import merge
from harness.history.part import PATTERN, Clock, Part
from harness.history.reader import History
from harness.history.recorder import HistoryRecorder
from harness.load.locust_load import LocustLoad, Users
from harness.load.target import VARIABLE
from harness.scenario import LoadShape
from harness.system_load import UploadLoad
from tests.unit.load.door import Door

DOOR = UploadLoad(to="front", post="/v1/files", blob="/raw")
SHAPE = LoadShape.model_validate({"uploads": 1, "rate": "1/s"})
HASTY = """
from locust import constant, task
from harness.load.locust_user import Uploader

class Hasty(Uploader):
    think = constant(0.05)
    retry_after = 0.05

    @task
    def hand_in(self):
        self.upload("accepted")
"""


@pytest.fixture
def door() -> Iterator[Door]:
    opened = Door()
    yield opened
    opened.close()


class Bench:
    """A history, and loads that are joined to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "history.jsonl"
        header = {"plan": {}, "plan_digest": "d", "seed": 1, "versions": {}, "started": "now", "run": "r1"}
        header["clock"] = Clock.now().document()
        self.recorder = HistoryRecorder(self.path, header, clock=time.monotonic_ns)

    def load(self, door: Door, text: str = HASTY, *, duration: float = 1.0, users: int = 3, options=()) -> LocustLoad:
        file = self.folder / "locustfile.py"
        file.write_text(dedent(text))
        wanted = Users(users, 50, duration, file, options=options)
        load = LocustLoad(wanted, SHAPE, DOOR, run="r1", seed=1, recorder=self.recorder, folder=self.folder / "load")
        load.open(door.url)
        load.prepare()
        return load

    def records(self, op: str, *phases: str) -> list[dict]:
        self.recorder.close()
        found = [orjson.loads(line) for line in self.path.read_bytes().splitlines()][1:]
        return [one for one in found if one["op"] == op and (not phases or one["phase"] in phases)]

    def workers(self) -> list[Part]:
        parts = [Part(path) for path in (self.folder / "load" / "parts").glob(PATTERN)]
        for part in parts:
            list(part.take())
        return parts

    def missing(self) -> list[str]:
        return [str(row["why"]) for row in self.against("load_incomplete")]

    def against(self, anomaly: str) -> list[Any]:
        """What the evidence says against the run."""
        self.recorder.close()
        with History(self.path) as history:
            (evidence,) = (one for one in judge(history) if one.checker == "evidence")
        return list(evidence.anomalies.get(anomaly, []))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.recorder.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.02)


async def test_every_request_is_an_operation_of_the_history(bench: Bench, door: Door) -> None:
    blobs: list[str] = []
    load = bench.load(door)
    load.answers.on_acknowledged = lambda raw, _: blobs.append(raw)
    asked: list[tuple[str, str]] = []
    load.answers.on_asked = lambda of, key, _acceptable: asked.append((of, key))
    await load.run()
    invokes, ends = bench.records("upload", "invoke"), bench.records("upload", "ok", "unknown")
    assert len(door.keys) > 5
    unknown = {one["upload_id"] for one in ends if one["phase"] == "unknown"}
    assert {one["upload_id"] for one in invokes} - unknown <= set(door.keys) <= {one["upload_id"] for one in invokes}
    assert all(one["upload_id"].startswith("r1-") for one in invokes)
    assert {one["of"] for one in ends} == {one["i"] for one in invokes}
    acknowledged = [one["upload_id"] for one in ends if one["phase"] == "ok"]
    assert sorted(asked) == sorted(("upload", one) for one in acknowledged)
    assert sorted(blobs) == sorted(f"blob-of-{one}" for one in acknowledged)
    (figures,) = bench.records("load", "figures")
    assert len(acknowledged) <= figures["evidence"]["requests"] <= len(invokes)
    assert bench.missing() == []


async def test_an_upload_is_sent_again_under_its_key_while_no_answer_says_yes_or_no(bench: Bench, door: Door) -> None:
    door.refusals = 4
    await bench.load(door, users=1).run()
    again = {key: count for key, count in door.keys.items() if count > 1}
    assert again
    (key, count), *_ = again.items()
    assert len(door.bodies[key]) == 1
    tries = [one for one in bench.records("upload", "unknown", "ok") if one["upload_id"] == key]
    assert [one["phase"] for one in tries] == ["unknown"] * (count - 1) + ["ok"]
    assert len({one["operation"] for one in tries}) == count


async def test_what_a_stall_held_back_is_late_although_its_own_answer_came_at_once(bench: Bench, door: Door) -> None:
    load = bench.load(door, duration=4.0, users=1)
    enough = asyncio.Event()
    running = asyncio.create_task(load.run(more=lambda: not enough.is_set()))
    await until(lambda: len(door.keys) > 3)
    door.open.clear()
    stalled = len(door.keys)
    await asyncio.sleep(1.5)  # the stall
    door.open.set()
    await until(lambda: len(door.keys) > stalled + 10)
    enough.set()
    await running
    begun = {one["i"]: one for one in bench.records("upload", "invoke")}
    naive = [end["t"] - begun[end["of"]]["t"] for end in bench.records("upload", "ok")]
    ours = [end["t"] - begun[end["of"]]["intended"] for end in bench.records("upload", "ok")]
    held = 500_000_000
    assert sum(one > held for one in naive) >= 1
    assert sum(one > held for one in ours) > sum(one > held for one in naive)


async def test_a_worker_that_is_killed_makes_the_load_incomplete(bench: Bench, door: Door) -> None:
    load = bench.load(door, duration=2.0, users=4, options=("--processes", "2"))
    running = asyncio.create_task(load.run())
    await load.reached(0.2)
    await until(lambda: sum(part.begun for part in bench.workers()) == 3)
    victim = next(part for part in bench.workers() if not part.worker.startswith("master"))
    os.kill(victim.pid, signal.SIGKILL)
    await running
    assert bench.missing() == ["its master heard no more of it"]
    ended = {one["worker"] for one in bench.records("load", "ended")}
    assert victim.worker not in ended
    assert len(ended) == 2


async def test_a_locust_that_is_killed_makes_the_load_incomplete(bench: Bench, door: Door) -> None:
    load = bench.load(door, duration=30.0)
    running = asyncio.create_task(load.run())
    await load.reached(0.2)
    (part,) = bench.workers()
    os.kill(part.pid, signal.SIGKILL)
    await running
    assert any("status -9" in why for why in bench.missing())


async def test_users_who_upload_nothing_are_said_to(bench: Bench, door: Door) -> None:
    idle = HASTY.replace('self.upload("accepted")', 'raise SystemExit("enough")')
    with pytest.raises(StackError, match="before a user uploaded anything"):
        await bench.load(door, idle).run()


async def test_a_load_that_is_refused_ends_and_says_how(bench: Bench, door: Door) -> None:
    door.answer = 422
    await bench.load(door).run()
    (row,) = bench.against("too_few_operations")
    assert row["n"] == 0
    assert "fail 422" in row["others"]


async def test_workers_elsewhere_make_the_load_and_their_parts_are_merged(bench: Bench, door: Door) -> None:
    """Their machine is one with another boot, which a copy of the target and their parts are taken from."""
    port = free_port()
    far = bench.folder / "far"
    load = bench.load(
        door, duration=3.0, options=("--master", "--expect-workers", "2", "--master-bind-port", str(port))
    )
    running = asyncio.create_task(load.run())
    target = bench.folder / "load" / "target.json"
    await until((bench.folder / "load" / "locust.log").is_file)
    far.mkdir()
    # No process of theirs has the harness's id.
    (far / "target.json").write_bytes(
        orjson.dumps(orjson.loads(target.read_bytes()) | {"owner": 2**22, "machine": "far"})
    )
    words: list[Any] = ["-m", "locust", "-f", bench.folder / "locustfile.py", "--worker", "--master-port", str(port)]
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            env=os.environ | {VARIABLE: str(far / "target.json")},
            stderr=asyncio.subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    try:
        await running
        async with asyncio.timeout(60):
            assert [await worker.wait() for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()
    assert bench.missing() == ["its part of the history is not here"] * 2
    parts = sorted((far / "parts").glob(PATTERN))
    assert len(parts) == 2
    for part in parts:
        head, rest = part.read_bytes().split(b"\n", 1)
        told = orjson.loads(head)
        part.write_bytes(orjson.dumps(told | {"clock": told["clock"] | {"boot": "far"}}) + b"\n" + rest)
    merge(bench.path, parts[:1])
    assert bench.missing() == ["its part of the history is not here"]
    merge(bench.path, parts)
    assert bench.missing() == []
    acknowledged = bench.records("upload", "ok")
    assert {one["upload_id"] for one in acknowledged} <= set(door.keys)
    assert {one["upload_id"] for one in bench.records("upload", "invoke")} == set(door.keys)
    assert all(one["placed"] for one in acknowledged)


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["one process", "workers"])
async def test_answers_that_come_after_the_end_of_the_load_are_waited_for(
    bench: Bench, door: Door, options: tuple[str, ...]
) -> None:
    load = bench.load(door, duration=2.0, users=4, options=options)
    running = asyncio.create_task(load.run())
    await load.reached("50%")
    door.open.clear()
    await until(lambda: "Got SIGTERM" in (bench.folder / "load" / "locust.log").read_text())
    await asyncio.sleep(2)  # the stall: Locust's own patience with its workers is half a second
    door.open.set()
    await running
    assert bench.missing() == []
    assert {one["of"] for one in bench.records("upload", "ok", "unknown")} == {
        one["i"] for one in bench.records("upload", "invoke")
    }


async def test_a_locust_that_ends_by_itself_makes_the_load_incomplete(bench: Bench, door: Door) -> None:
    await bench.load(door, duration=60.0, options=("--run-time", "1s")).run()
    assert any("before its time was over" in why for why in bench.missing())


async def test_users_whose_code_raises_make_the_load_incomplete(bench: Bench, door: Door) -> None:
    wrong = (
        HASTY
        + """
    @task
    def mistyped(self):
        self.upload("reject")
"""
    )
    await bench.load(door, wrong).run()
    assert bench.missing() == ["its users' code raised KeyError: 'reject'"]


async def test_a_configuration_of_the_users_own_names_no_other_front_door(
    bench: Bench, door: Door, monkeypatch
) -> None:
    other = Door()
    (bench.folder / "locust.conf").write_text(f"host = {other.url.removesuffix('/v1/files')}\n")
    monkeypatch.chdir(bench.folder)
    try:
        await bench.load(door).run()
    finally:
        other.close()
    assert door.keys
    assert not other.keys


async def test_users_post_to_the_whole_of_the_front_doors_target(bench: Bench, door: Door) -> None:
    door.url += "?wait=no&tenant=a%2Fb"
    await bench.load(door, users=1).run()
    assert door.targets == {"/v1/files?wait=no&tenant=a%2Fb"}


async def test_a_worker_goes_to_the_front_door_that_it_was_told(bench: Bench, door: Door) -> None:
    """As it does on another machine, which reaches the front door at another address."""
    port = free_port()
    nearer = Door()
    load = bench.load(
        door, duration=2.0, options=("--master", "--expect-workers", "1", "--master-bind-port", str(port))
    )
    running = asyncio.create_task(load.run())
    target = bench.folder / "load" / "target.json"
    await until((bench.folder / "load" / "locust.log").is_file)
    words: list[Any] = ["-m", "locust", "-f", bench.folder / "locustfile.py", "--worker", "--master-port", str(port)]
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        *["--host", nearer.url.removesuffix("/v1/files")],
        env=os.environ | {VARIABLE: str(target)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await running
        async with asyncio.timeout(60):
            await worker.wait()
    finally:
        nearer.close()
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    assert nearer.keys
    assert not door.keys
    assert bench.missing() == []


async def test_a_cancelled_load_leaves_no_process(bench: Bench, door: Door) -> None:
    load = bench.load(door, duration=60.0, options=("--processes", "2"))
    running = asyncio.create_task(load.run())
    await load.reached(0.1)
    pids = [part.pid for part in bench.workers()]
    assert len(pids) == 3
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


async def test_a_harness_that_is_killed_leaves_no_load(tmp_path: Path, door: Door) -> None:
    script = f"""
        import asyncio, sys
        from pathlib import Path
        from tests.unit.load.door import Door
        from tests.unit.load.test_locust_load import Bench
        bench = Bench(Path({str(tmp_path)!r}))
        load = bench.load(Door(), duration=600.0, options=("--processes", "2"))
        asyncio.run(load.run())
    """
    root = Path(__file__).parents[3]
    harness = await asyncio.create_subprocess_exec(sys.executable, "-c", dedent(script), cwd=root)
    try:
        folder = tmp_path / "load" / "parts"
        await until(lambda: len(list(folder.glob(PATTERN))) == 3)
        parts = [Part(path) for path in folder.glob(PATTERN)]
        for part in parts:
            list(part.take())
    finally:
        harness.kill()
        await harness.wait()
    await until(lambda: not any(psutil.pid_exists(part.pid) for part in parts))


async def test_locust_alone_uploads_to_what_is_up(tmp_path: Path, door: Door) -> None:
    """With the project's own locustfile, whose users upload what must be taken and what must not."""
    file = Path(__file__).parents[3] / "scenarios" / "locustfile.py"
    told = {"run": "r1", "front_door": door.url, "upload": DOOR.model_dump(mode="json"), "format": 1, "links": {}}
    words: list[Any] = ["-m", "locust", "-f", file, "--headless", "--users", "40", "--spawn-rate", "40"]
    env = {name: value for name, value in os.environ.items() if name != VARIABLE}
    with Announcer(tmp_path):
        (tmp_path / ".oneffect" / "up.json").write_bytes(orjson.dumps(told))
        locust = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=tmp_path, env=env, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await until(lambda: len(door.keys) > 60)
        finally:
            # Not SIGINT: whoever runs the tests in the background may have had it ignored, and that is inherited.
            locust.terminate()
            await locust.wait()
    (path,) = (tmp_path / ".oneffect" / "parts" / "r1").glob(PATTERN)
    part = Part(path)
    acceptable = {record["acceptable"] for record in part.take()}
    assert part.ended
    assert acceptable == {True, False}
