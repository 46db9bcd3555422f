"""What a scenario has asked for again: of whom, when, and what the history is told of it."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.clients.http import Answer
from harness.errors import StackError
from harness.observers.set_aside import SetAside
from harness.plan import make_plan
from harness.run import run
from harness.session.again import AT_ONCE, Again
from harness.stack import RunNames
from tests.unit.test_run import Progress, Stack, connected

SYSTEM = """
oneffect: 1
name: small
dependencies: {kafka: {topics: {orders: 2, letters: 1}}}
services: {shop: {command: python -m shop}, billing: {command: python -m billing, env: {KAFKA: "{kafka}"}}}
events: {id: /id, type: /type, topics: [orders]}
load: {upload: {to: shop, post: /orders}}
outcomes: [{of: upload, by: /order, then: [placed]}]
effects: {billing: {applies: [placed], sql: {url: "sqlite:///{data}/db", query: SELECT 1}}}
reprocess: {post: "http://{shop}/orders/{upload_id}/again"}
dead_letters: {topic: letters, id: /id, consumer: /consumer, source: /source, kind: /kind}
replay: {post: "http://{shop}/again/{consumer}/{event_id}/{topic}/{partition}/{offset}"}
"""


class Tape:
    """A recorder that keeps operations and how each ended."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, str, dict[str, object]]] = []

    @contextmanager
    def operation(self, op: str, actor: str, **fields: object) -> Iterator[SimpleNamespace]:
        def end(phase: str):
            return lambda **told: self.ends.append((op, phase, told))

        yield SimpleNamespace(ok=end("ok"), fail=end("fail"), unknown=end("unknown"))


class Door:
    """Answers each path with a status; the rest with 202."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.statuses: dict[str, int | None] = {}
        self.at_once = self.most = 0

    async def post(self, url: str) -> Answer:
        self.urls.append(url)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return Answer(next((status for part, status in self.statuses.items() if part in url), 202))


class Watch:
    """What was seen of the system."""

    def __init__(self) -> None:
        self.outcomes: set[str] = set()
        self.again: list[str] = []
        self.seen: list[SetAside] = []
        self.looks = 0

    def settled(self, of: str, key: str) -> bool:
        self.looks += 1
        return of == "upload" and key in self.outcomes

    def asked_again(self, of: str, key: str) -> None:
        assert of == "upload"
        self.again.append(key)

    def letters(self) -> list[SetAside]:
        return self.seen


class Live:
    """A system that runs, as far as this goes."""

    names = RunNames("r1")
    lacking = False

    def filled(self, text: str, service: str | None = None) -> str:
        return text.replace("{shop}", "127.0.0.1:7")

    def environment(self, service: str) -> Mapping[str, str]:
        if self.lacking:
            raise StackError(f"data.{service}: no folder is named")
        return {}


class World(SimpleNamespace):
    """One run's parts."""

    again: Again
    tape: Tape
    door: Door
    watch: Watch
    live: Live

    def ended(self) -> list[tuple[str, object]]:
        return sorted((phase, fields["upload_id"]) for _, phase, fields in self.tape.ends)


def world(folder: Path, *lines: str, system: str = SYSTEM, patience: float = 20.0) -> World:
    (folder / "system.yaml").write_text(system)
    path = folder / "one.yaml"
    rows = "".join(f"  - {line}\n" for line in lines)
    path.write_text(f"oneffect: 1\nname: one\nload: {{uploads: 40, rate: 20/s}}\nagain:\n{rows}")
    plan = make_plan(path, system_path=None, variant=None, seed=1, stack="auto")
    tape, door, watch, live = Tape(), Door(), Watch(), Live()
    again = Again(plan, live, watch, tape, door, patience=patience)  # type: ignore[arg-type]
    return World(again=again, tape=tape, door=door, watch=watch, live=live, plan=plan)


def letter(offset: int, consumer: str = "billing") -> SetAside:
    fields: dict[str, Any] = {
        "consumer": consumer,
        "event_id": f"e{offset}",
        "source_topic": "orders",
        "source_partition": 0,
        "source_offset": offset,
    }
    place = {"topic": "r1.orders", "partition": "0", "offset": str(offset)}
    return SetAside(fields, {"consumer": consumer, "event_id": f"E{offset}", **place})


async def test_uploads_are_asked_for_once_their_outcome_was_seen_and_each_is_an_operation(tmp_path: Path) -> None:
    one = world(tmp_path, "{reprocess: 2, at: 50%}")
    for number in range(5):
        one.again.drawn.note(f"u{number}", acceptable=True, raw=f"blob-{number}")
    one.watch.outcomes |= {"u1"}
    asked = asyncio.create_task(one.again.ask(0))
    while one.watch.looks < 20:
        await asyncio.sleep(0.01)
    assert not one.door.urls
    one.watch.outcomes |= {"u3"}
    assert await asked == 2
    assert one.ended() == [("ok", "u1"), ("ok", "u3")]
    assert {fields["raw_file_storage_id"] for _, _, fields in one.tape.ends} == {"blob-1", "blob-3"}
    assert sorted(one.door.urls) == [f"http://127.0.0.1:7/orders/u{n}/again" for n in (1, 3)]
    assert sorted(one.watch.again) == ["u1", "u3"]


async def test_only_what_was_answered_with_yes_must_have_another_outcome(tmp_path: Path) -> None:
    one = world(tmp_path, "{reprocess: 3, at: 50%}")
    for number in range(3):
        one.again.drawn.note(f"u{number}", acceptable=True, raw=None)
        one.watch.outcomes.add(f"u{number}")
    one.door.statuses = {"u0": 503, "u1": 409}
    assert await one.again.ask(0) == 3
    assert one.ended() == [("fail", "u1"), ("ok", "u2"), ("unknown", "u0")]
    assert one.watch.again == ["u2"]


async def test_no_upload_is_asked_for_twice_and_few_at_a_time(tmp_path: Path) -> None:
    one = world(tmp_path, "{reprocess: 10, at: 50%}", "{reprocess: 20, at: 60%}", patience=0.3)
    for number in range(15):
        one.again.drawn.note(f"u{number}", acceptable=number % 2 == 0, raw=None)
        one.watch.outcomes.add(f"u{number}")
    assert await one.again.ask(0) == 10
    assert await one.again.ask(1) == 5
    assert len(set(one.door.urls)) == 15
    assert one.door.most <= AT_ONCE


async def test_each_dead_letter_is_replayed_once_in_the_words_of_the_system(tmp_path: Path) -> None:
    one = world(tmp_path, "{replay: all, at: 50%}", "{replay: all, at: 90%}", patience=5)
    one.watch.seen = [letter(1), letter(2), letter(1), letter(1, "other")]
    assert await one.again.ask(0) == 3
    assert sorted(one.door.urls) == [
        "http://127.0.0.1:7/again/billing/E1/r1.orders/0/1",
        "http://127.0.0.1:7/again/billing/E2/r1.orders/0/2",
        "http://127.0.0.1:7/again/other/E1/r1.orders/0/1",
    ]
    (op, phase, fields), *_ = sorted(one.tape.ends, key=str)
    assert (op, phase) == ("replay", "ok")
    assert {name: one for name, one in fields.items() if one is not None} == {**letter(1).fields, "status": 202}
    one.watch.seen.append(letter(3))
    assert await one.again.ask(1) == 1


async def test_as_many_dead_letters_as_are_asked_for_drawn_from_the_seed(tmp_path: Path) -> None:
    one = world(tmp_path, "{replay: 2, at: 50%}")
    one.watch.seen = [letter(offset) for offset in range(9)]
    assert await one.again.ask(0) == 2
    other = world(tmp_path, "{replay: 2, at: 50%}")
    other.watch.seen = [letter(offset) for offset in reversed(range(9))]
    await other.again.ask(0)
    assert sorted(other.door.urls) == sorted(one.door.urls)


async def test_a_system_that_is_slow_is_waited_for_while_more_comes(tmp_path: Path) -> None:
    one = world(tmp_path, "{replay: 20, at: 50%}", patience=0.5)

    class Slow(Watch):
        def letters(self) -> list[SetAside]:
            self.seen.append(letter(len(self.seen)))
            return self.seen

    one.again._watch = Slow()  # type: ignore[assignment]
    assert await one.again.ask(0) == 20


async def test_what_never_comes_is_waited_for_no_longer_than_patience(tmp_path: Path) -> None:
    one = world(tmp_path, "{replay: all, at: 50%}", "{reprocess: 1, at: 50%}", patience=0.2)
    assert [await one.again.ask(row) for row in (0, 1)] == [0, 0]
    assert one.tape.ends == []


def test_an_environment_that_cannot_be_filled_in_is_told_before_the_load(tmp_path: Path) -> None:
    system = SYSTEM.replace('{post: "http://{shop}/again/', '{command: "again ')
    one = world(tmp_path, "{replay: all, at: 50%}", system=system)
    one.again.open()
    one.live.lacking = True
    with pytest.raises(StackError, match="billing"):
        one.again.open()


async def test_a_consumer_that_is_no_service_has_no_environment(tmp_path: Path) -> None:
    system = SYSTEM.replace('{post: "http://{shop}/again/', '{command: "python -c pass ')
    one = world(tmp_path, "{replay: all, at: 50%}", system=system)
    one.watch.seen = [letter(1, "somebody")]
    one.live.lacking = True
    assert await one.again.ask(0) == 1
    assert [phase for _, phase, _ in one.tape.ends] == ["ok"]


async def test_the_load_goes_on_until_all_was_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = world(tmp_path, "{reprocess: 1, at: 100%}", "{replay: all, at: 5s}").plan
    told: list[object] = []

    class Load:
        scale = "some"

        def __init__(self) -> None:
            self.answered = asyncio.Event()

        async def reached(self, moment: float | str) -> None:
            told.append(moment)

        async def run(self, more: Any) -> None:
            while more():
                self.answered.set()
                await asyncio.sleep(0)
            told.append("load over")
            self.answered.set()

    async def under_load(live_run: Any, _after: Any) -> None:
        load = live_run._load = Load()

        async def ask(row: int) -> int:
            await load.answered.wait()
            told.append(f"asked {row}")
            return 1

        monkeypatch.setattr(live_run._again, "ask", ask)
        await live_run._load_under_faults()
        await live_run._http.close()
        raise StackError("enough")

    monkeypatch.setattr("harness.run._LiveRun.play", under_load)
    monkeypatch.setattr("harness.session.live.LiveSystem.connect", connected)
    with pytest.raises(StackError, match="enough"):
        await run(plan, out=tmp_path / "runs", stack=Stack(), progress=Progress())
    assert sorted(map(str, told[:4])) == ["100%", "5.0", "asked 0", "asked 1"]
    assert told[4:] == ["load over"]
