"""A run's stages without a stack."""

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import FaultError, StackError
from harness.load.answers import Answers
from harness.observers.awaited import Awaited
from harness.plan import make_plan
from harness.redaction import Redaction
from harness.run import run
from harness.stack import RunNames
from tests.standin import StandIn

SYSTEM = """
oneffect: 1
name: small
dependencies: {kafka: {topics: {orders: 2}}, redis: {config: {requirepass: in-the-config}}}
services: {shop: {command: python -m shop, env: {PORT: "{port}", KAFKA: "{kafka}", REDIS: "{redis}"}}}
load: {upload: {to: shop, post: /orders}}
events: {id: /id, type: /type, topics: [orders]}
"""
SCENARIO = """
oneffect: 1
name: one
system: system.yaml
load: {uploads: 40, rate: 20/s}
faults:
  - {fault: net.reset, on: "shop->redis", at: 1s, for: 1s}
  - {fault: net.reset, on: "shop->redis", at: 4s, for: 1s}
"""


class Progress:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, text: str) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


class Stack(StandIn):
    """Runs already, as far as this goes."""

    name = "native"

    def names(self, run: str) -> RunNames:
        return RunNames(run)

    def direct(self, name: str) -> str:
        return "127.0.0.1:1"

    def versions(self) -> dict[str, str]:
        return {}

    async def stop_services(self) -> None:
        pass


async def connected(_: object) -> None:
    """No broker is there to connect to."""


async def test_each_fault_tells_no_secrets_and_what_hides_them_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, text in (("system", SYSTEM), ("one", SCENARIO)):
        (tmp_path / f"{name}.yaml").write_text(text)
    plan = make_plan(tmp_path / "one.yaml", system_path=None, variant=None, seed=1, stack="auto")
    made: list[Redaction] = []

    def counted(*words: Any) -> Redaction:
        made.append(Redaction(*words))
        return made[-1]

    async def at_once(_: object, moment: object) -> None:
        pass

    async def only_faults(live_run: Any) -> None:
        logging.getLogger("aiokafka").warning("AUTH in-the-config was refused")
        live_run._over = True
        for planned in plan.faults:
            await live_run._fault(planned)
        await live_run._http.close()
        raise StackError("all faults were tried")

    async def fails(*_: object, **__: object) -> None:
        raise FaultError("AUTH in-the-config was refused")

    monkeypatch.setattr("harness.session.session.Redaction", counted)
    monkeypatch.setattr("harness.run.PATIENCE", 0.1)
    monkeypatch.setattr("harness.run._LiveRun.play", only_faults)
    monkeypatch.setattr("harness.session.live.LiveSystem.connect", connected)
    monkeypatch.setattr("harness.load.uploads.Load.reached", at_once)
    monkeypatch.setattr("harness.faults.apply.apply", fails)
    progress = Progress()
    with pytest.raises(StackError, match="all faults were tried"):
        await run(plan, out=tmp_path / "runs", stack=Stack(), progress=progress)
    assert [note for note in progress.notes if "AUTH" in note] == ["AUTH *** was refused"] * 2
    assert len(made) == 1
    log = tmp_path / "runs" / "latest" / "logs" / "harness.log"
    assert (await asyncio.to_thread(log.read_text)).endswith(" WARNING aiokafka: AUTH *** was refused\n")
    assert not caplog.records


async def test_an_outcome_that_is_seen_closes_a_batch_whose_upload_had_no_answer() -> None:
    from harness.observers.watch import Watch
    from harness.run import _LiveRun

    answers = Answers(1)
    topics: Any = SimpleNamespace(on_outcome=None, awaited=Awaited([]))
    watch = Watch.__new__(Watch)
    watch._topics = topics
    asked: list[tuple[str, str]] = []
    watch.asked = lambda of, key: asked.append((of, key))
    live_run: Any = SimpleNamespace(
        _load=SimpleNamespace(answers=answers), _watch=watch, _again=SimpleNamespace(drawn=SimpleNamespace(note=None))
    )
    _LiveRun._join(live_run)
    answers.note("unknown", "u1", batch="g0", acceptable=True, raw=None, sha256="")
    assert asked == []
    topics.on_outcome("u1")
    assert asked == [("batch", "g0")]


class Load:
    """Goes on as the test says."""

    def __init__(self) -> None:
        self.at = 0.0

    def position(self, moment: float | str) -> float:
        return self.at


class Moment(StandIn):
    """A planned fault, of which only its moment counts."""

    def __init__(self, name: str, at: float | str) -> None:
        self.id, self.at = name, at


async def test_a_fault_that_waits_for_its_turn_keeps_those_after_it_at_their_distance() -> None:
    from harness.run import _LiveRun, _Turn

    first, second, other = (Moment(name, at) for name, at in (("f1", "20%"), ("f2", "30%"), ("f3", 1.0)))
    live_run: Any = SimpleNamespace(
        _plan=SimpleNamespace(faults=[second, first, other]),
        _turns={name: _Turn() for name in ("f1", "f2", "f3")},
        _load=Load(),
        _over=False,
    )
    waiting = asyncio.create_task(_LiveRun._in_turn(live_run, second))
    live_run._load.at = 60.0
    await asyncio.sleep(0.1)
    assert not waiting.done(), "the first has not begun, and seconds are no per cent"
    _LiveRun._begins(live_run, first)
    await asyncio.sleep(0.1)
    assert not waiting.done(), "it follows ten per cent after the first"
    live_run._load.at = 70.0
    await asyncio.wait_for(waiting, 20)


async def test_nobody_waits_for_a_load_that_is_over() -> None:
    from harness.run import _LiveRun, _Turn

    first, second = Moment("f1", 1.0), Moment("f2", 90.0)
    live_run: Any = SimpleNamespace(
        _plan=SimpleNamespace(faults=[first, second]), _turns={"f1": _Turn(), "f2": _Turn()}, _load=Load(), _over=True
    )
    _LiveRun._begins(live_run, first)
    await asyncio.wait_for(_LiveRun._in_turn(live_run, second), 20)


async def test_a_window_waits_for_what_is_within_it_to_be_armed_and_to_last_its_share() -> None:
    from harness.run import _LiveRun, _Turn

    def fault(name: str, at: str, lasts: float, takes: str) -> Any:
        return SimpleNamespace(
            id=name, at=at, lasts=lasts, target=name, fault=SimpleNamespace(takes=lambda *_: [takes])
        )

    outer, inner, taking_turns = (
        fault("f1", "0%", 9.0, "a#1"),
        fault("f2", "10%", 0.1, "b"),
        fault("f3", "20%", 1.0, "a#1"),
    )
    on_its_link = fault("f4", "30%", 1.0, "nothing")
    on_its_link.target = "a#1->b"
    live_run: Any = SimpleNamespace(
        _plan=SimpleNamespace(faults=[outer, inner, taking_turns, on_its_link]),
        _turns={name: _Turn() for name in ("f1", "f2", "f3", "f4")},
        _load=SimpleNamespace(duration=10.0),
    )
    context: Any = SimpleNamespace(planned=outer)
    waiting = asyncio.create_task(_LiveRun._overlapped(live_run, context))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    live_run._turns["f2"].armed.set()
    await asyncio.wait_for(waiting, 20)
