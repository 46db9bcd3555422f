"""Faults asked for at a socket, on faults that do as they are told."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from harness.errors import FaultError
from harness.faults.base import Evidence, Fault, Injected
from harness.hold.injections import Injections
from harness.stack import Killable
from harness.system import System
from tests.standin import StandIn

PATIENCE = 20.0


def found(level):
    async def look():
        return Evidence(level, f"it {level}, hush", {}, {})

    return look


class Told(Fault):
    """Obeys; ``broken`` cannot be injected."""

    name = "test.told"
    summary = "Does as it is told."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = ()
    heals = True
    broken: bool = False
    in_place: ClassVar[list[str]] = []

    @asynccontextmanager
    async def inject(self, on, context):
        if self.broken:
            raise FaultError("it is broken")
        self.in_place.append(on)
        context.note("killed", on.partition("->")[0], 7, -9)
        try:
            yield Injected(found("armed"), found("bit"))
        finally:
            await asyncio.sleep(0)
            self.in_place.remove(on)
            context.note("started", on.partition("->")[0], 8)


class Needy(Told):
    name = "test.needy"
    needs: ClassVar[tuple[type, ...]] = (Killable,)


class Notes(list, StandIn):
    def record(self, op, phase, actor, **fields):
        self.append((op, phase, fields))
        return len(self)


class Desk:
    """The injections of one live system, what they said and recorded, and those who ask."""

    def __init__(self, injections, path, said, notes) -> None:
        self.injections, self.path, self.said, self.notes = injections, path, said, notes

    async def ask(self, **asked):
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(json.dumps(asked).encode() + b"\n")
        return reader, writer

    async def answers(self, **asked):
        reader, writer = await self.ask(**asked)
        async with asyncio.timeout(PATIENCE):
            lines = [json.loads(line) async for line in reader]
        writer.close()
        return lines


@pytest.fixture
async def desk(tmp_path, monkeypatch):
    consumer = {"command": "c", "replicas": 2, "env": {"REDIS": "{redis}"}}
    system = System.model_validate(
        {
            "oneffect": 1,
            "name": "small",
            "dependencies": {"kafka": {"topics": {"work": 1}}, "redis": {}},
            "services": {"ledger": consumer},
            "load": {"upload": {"to": "ledger", "post": "/"}},
            "events": {"id": "/id", "type": "/type", "topics": ["work"]},
        }
    )
    known = {kind.name: kind for kind in (Told, Needy)}
    monkeypatch.setattr("harness.faults.plan.fault_type", known.__getitem__)
    locks = {}
    stack = SimpleNamespace(
        name="small",
        services={},
        turn=lambda name: locks.setdefault(name, asyncio.Lock()),
        lacks=lambda need, on: f"{on} cannot die" if need is Killable else None,
    )
    live: Any = SimpleNamespace(system=system, stack=stack, kafka=None, redis={})
    said, notes = [], Notes()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    injections = Injections(live, notes, seed=5, say=said.append, hide=lambda text: text.replace("hush", "***"))
    await injections.open(listener)
    Told.in_place.clear()
    yield Desk(injections, str(tmp_path / "s"), said, notes)
    await injections.close()
    assert not Told.in_place


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_fault_is_told_in_both_terminals_and_recorded(desk) -> None:
    answers = await desk.answers(fault="test.told", on="ledger#1->redis", **{"for": "100ms"}, parameters={})
    told = [one["told"] for one in answers[:-1]]
    assert told == [
        'f1 test.told on ledger#1->redis: injected {"broken":false}',
        "f1 ledger#1: killed, exit status -9",
        "f1 test.told on ledger#1->redis: armed: it armed, ***",
        "f1 test.told on ledger#1->redis: bit: it bit, ***",
        "f1 ledger#1: started",
        "f1 test.told on ledger#1->redis: healed",
    ]
    assert desk.said == told
    ended = {"healed": True, "bit": True, "failed": False}
    one = {"id": "f1", "name": "test.told", "target": "ledger#1->redis", "heals": True}
    assert answers[-1] == {"done": [one | ended]}
    assert [phase for op, phase, _ in desk.notes if op == "fault"] == ["injected", "armed", "bit", "healed"]


async def test_a_service_is_each_of_its_replicas_and_numbers_go_on(desk) -> None:
    for expected in (["f1", "f2"], ["f3", "f4"]):
        answers = await desk.answers(fault="test.told", on="ledger->redis", **{"for": "50ms"})
        assert [one["id"] for one in answers[-1]["done"]] == expected


async def test_a_word_more_heals_early(desk) -> None:
    reader, writer = await desk.ask(fault="test.told", on="ledger#1->redis", **{"for": "1h"})
    await until(lambda: Told.in_place)
    writer.write(b"\n")
    async with asyncio.timeout(PATIENCE):
        answers = [json.loads(line) async for line in reader]
    writer.close()
    assert answers[-1]["done"][0]["healed"]
    assert any("early" in one.get("told", "") for one in answers)
    assert not Told.in_place


async def test_who_goes_away_has_it_healed(desk) -> None:
    _, writer = await desk.ask(fault="test.told", on="ledger#1->redis", **{"for": "1h"})
    await until(lambda: Told.in_place)
    writer.close()
    await until(lambda: not Told.in_place)


async def test_the_end_of_all_heals_what_is_in_place(desk) -> None:
    reader, writer = await desk.ask(fault="test.told", on="ledger->redis", **{"for": "1h"})
    await until(lambda: len(Told.in_place) == 2)
    async with asyncio.timeout(PATIENCE):
        await desk.injections.close()
    assert not Told.in_place
    assert not any("done" in json.loads(line) for line in (await reader.read()).splitlines())
    writer.close()


async def test_several_are_in_place_at_once(desk) -> None:
    talks = [await desk.ask(fault="test.told", on=f"ledger#{number}->redis", **{"for": "1h"}) for number in (1, 2)]
    await until(lambda: sorted(Told.in_place) == ["ledger#1->redis", "ledger#2->redis"])
    for _, writer in talks:
        writer.close()


async def test_what_fails_is_told_and_done(desk) -> None:
    asked = {"fault": "test.told", "on": "ledger#1->redis", "for": "1h", "parameters": {"broken": True}}
    answers = await desk.answers(**asked)
    assert "it is broken" in answers[-2]["told"]
    assert answers[-1]["done"][0]["failed"]


REFUSED = {
    "no such link": ({"fault": "test.told", "on": "ledger#1->reds", "for": "1s"}, "redis"),
    "no time": ({"fault": "test.told", "on": "ledger#1->redis"}, "for"),
    "a time that is none": ({"fault": "test.told", "on": "ledger#1->redis", "for": "3"}, "250ms"),
    "no such parameter": (
        {"fault": "test.told", "on": "ledger#1->redis", "for": "1s", "parameters": {"brokn": 1}},
        "nearest: broken",
    ),
    "a parameter that is an option": (
        {"fault": "test.told", "on": "ledger#1->redis", "for": "1s", "parameters": {"at": "1s"}},
        "at is not a parameter",
    ),
    "what the stack cannot": ({"fault": "test.needy", "on": "ledger#1->redis", "for": "1s"}, "cannot die"),
}


@pytest.mark.parametrize(("asked", "word"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_planned_is_refused(desk, asked, word) -> None:
    (answer,) = await desk.answers(**asked)
    assert word in answer["refused"]
    assert answer["exit"] == 2
    assert not desk.notes
    assert desk.said == [f"refused: {answer['refused']}"]


@pytest.mark.parametrize("line", [b"x\n", b"[]\n", b'{"parameters": 3}\n', b"no end", b"x" * 100_000])
async def test_what_is_no_question_is_refused_and_the_next_one_served(desk, line) -> None:
    reader, writer = await asyncio.open_unix_connection(desk.path)
    writer.write(line)
    writer.write_eof()
    answer = json.loads(await reader.read())
    assert answer["exit"] == 2
    writer.close()
    assert "done" in (await desk.answers(fault="test.told", on="ledger#1->redis", **{"for": "50ms"}))[-1]
