"""A run's stages without a stack."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import FaultError, PlanRefused, StackError
from harness.faults.condition import Condition
from harness.load.answers import Answers
from harness.observers.awaited import Awaited
from harness.observers.known import Known
from harness.plan import make_plan, refuse_fault, refuse_taps
from harness.redaction import Redaction
from harness.run import run
from harness.session.following import Following
from harness.stack import RunNames, Tapping
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

    async def only_faults(live_run: Any, _after: Any) -> None:
        logging.getLogger("aiokafka").warning("AUTH in-the-config was refused")
        live_run._over_at = 0.0
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

    def note(of: str, key: str, _acceptable: bool) -> None:
        asked.append((of, key))

    setattr(watch, "asked", note)  # noqa: B010 - a method, as far as types go
    live_run: Any = SimpleNamespace(
        _load=SimpleNamespace(answers=answers), _watch=watch, _again=SimpleNamespace(drawn=SimpleNamespace(note=None))
    )
    _LiveRun._join(live_run)
    answers.note("unknown", "u1", batch="g0", acceptable=True, raw=None, sha256="")
    assert asked == []
    topics.on_outcome("u1")
    assert asked == [("batch", "g0")]


async def none_committed(_service: str) -> Mapping[tuple[str, int], int]:
    return {}


class Message(StandIn):
    """A held message: whether the service still waits, and whether it was let go."""

    link, key, commits = "a#1->redis", "claim:event-1", ()

    def __init__(self, *, waiting: bool = True) -> None:
        self.waiting, self.released = waiting, False

    def release(self) -> None:
        self.released = True


class Taps:
    """Taps that arm a trigger and give it messages: each of ``given`` at once."""

    def __init__(self, *given: Message) -> None:
        self.given = list(given)
        self.trigger: Any = None

    @contextmanager
    def armed(self, trigger: Any) -> Any:
        self.trigger = trigger
        trigger._wanted = False
        for held in self.given:
            trigger._take(held)
        yield trigger
        trigger.close()


def at_messages(taps: Taps, *, over: bool = False, fails: bool = False) -> Any:
    """A live run whose faults note at which message they were applied."""
    from harness.run import _LiveRun

    applied: list[Message] = []
    missed: list[str] = []
    noted: list[str] = []
    by_clock: list[str] = []

    async def due(_planned: object) -> None:
        pass

    async def looked() -> None:
        pass

    async def apply(_planned: object, held: Message | None = None, *, unmet: str = "") -> bool:
        if fails:
            raise StackError("the run ends")
        if held is None:
            by_clock.append(unmet)
            return True
        assert not held.released
        if held.waiting:
            applied.append(held)
        return held.waiting

    live_run: Any = SimpleNamespace(
        _session=SimpleNamespace(taps=taps),
        _plan=SimpleNamespace(system=SimpleNamespace(settle=0.05)),
        _over_at=0.0 if over else None,
        _due=due,
        _load=SimpleNamespace(answers=SimpleNamespace(begun=0)),
        _apply=apply,
        _missed=lambda _planned, why: missed.append(why),
        _progress=SimpleNamespace(note=noted.append),
        _following=Following([], Known(), looked, none_committed, 1),
        _to_come={"f1"},
        looked=looked,
        noted=noted,
        applied=applied,
        missed=missed,
        by_clock=by_clock,
    )
    live_run._at_messages = lambda planned: _LiveRun._at_messages(live_run, planned)
    live_run._met = partial(_LiveRun._met, live_run)
    live_run._begun = lambda uploads: _LiveRun._begun(live_run, uploads)
    return live_run


def acts_at(*, at: str | None = None, **when: Any) -> Any:
    condition = Condition("reply", ("SET *",), ("a#1->redis",), **when)
    planned = SimpleNamespace(id="f1", when=condition, at=at, target="a#1", row=1)
    planned.fault, planned.met_on = SimpleNamespace(name="service.kill", heals=True), lambda _link: planned
    return planned


async def play(live_run: Any, planned: Any) -> None:
    from harness.run import _LiveRun

    await asyncio.wait_for(_LiveRun._fault(live_run, planned), 20)


async def test_a_fault_acts_at_its_message_once_and_lets_it_go() -> None:
    one, two = Message(), Message()
    live_run = at_messages(Taps(one, two))
    await play(live_run, acts_at(nth=3))
    assert live_run.applied == [one]
    assert one.released
    assert two.released, "what nobody took is let go when the scope ends"
    assert not live_run.missed


async def test_a_message_that_the_service_gave_up_is_let_go_and_the_next_one_wanted() -> None:
    late, next_one = Message(waiting=False), Message()
    taps = Taps(late, next_one)
    live_run = at_messages(taps)
    await play(live_run, acts_at(nth=3))
    assert live_run.applied == [next_one]
    assert late.released
    assert taps.trigger._wanted, "it was asked for the next"


async def test_no_message_counts_before_so_many_uploads_have_begun() -> None:
    taps = Taps()
    live_run = at_messages(taps)
    playing = asyncio.create_task(play(live_run, acts_at(after=3)))
    answers = live_run._load.answers
    while taps.trigger is None:
        await asyncio.sleep(0.01)
    answers.begun = 2
    await asyncio.sleep(0.1)
    assert taps.trigger.early
    answers.begun = 3
    while taps.trigger.early:
        await asyncio.sleep(0.01)
    live_run._over_at = 0.0
    await playing


async def test_a_load_that_ends_before_so_many_uploads_have_begun_is_not_waited_for() -> None:
    live_run = at_messages(Taps(), over=True)
    await play(live_run, acts_at(after=3))
    assert live_run.missed == [
        "0 messages matched, and it acts at number 1 of reply 'SET *' on a#1->redis, after 3 uploads"
    ]


async def test_each_so_many_th_until_the_load_is_over() -> None:
    messages = [Message() for _ in range(3)]
    live_run = at_messages(Taps(*messages), over=True)
    await play(live_run, acts_at(every=5))
    assert live_run.applied == messages
    assert live_run.noted == ["service.kill on a#1"], "it is said once"
    assert all(message.released for message in messages)


async def test_a_message_that_never_comes_is_recorded_with_how_many_did() -> None:
    live_run = at_messages(Taps(), over=True)
    await play(live_run, acts_at(nth=7))
    assert live_run.missed == ["0 messages matched, and it acts at number 7 of reply 'SET *' on a#1->redis"]


async def test_one_that_may_act_by_the_clock_does_so_where_no_message_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.run.MESSAGE_WITHIN", 0.1)
    live_run = at_messages(Taps())
    await play(live_run, acts_at(at="20%"))
    why = "0 messages matched, and it acts at number 1 of reply 'SET *' on a#1->redis"
    assert (live_run.applied, live_run.by_clock, live_run.missed) == ([], [why], [])
    assert live_run.noted == [f"service.kill on a#1, by the clock: {why}"]


async def test_one_that_may_act_by_the_clock_does_so_where_no_link_has_a_tap() -> None:
    live_run = at_messages(Taps())
    live_run._session.taps = None
    await play(live_run, acts_at(at="20%"))
    assert live_run.by_clock == ["its link has no tap"]
    with pytest.raises(FaultError, match="has no message to act at"):
        await play(live_run, acts_at())


async def test_one_that_may_act_by_the_clock_acts_at_its_message_and_only_there() -> None:
    held = Message()
    live_run = at_messages(Taps(held))
    await play(live_run, acts_at(at="20%"))
    assert (live_run.applied, live_run.by_clock) == ([held], [])


@pytest.mark.parametrize("at", [None, "20%"])
async def test_messages_of_no_event_do_not_keep_a_fault_that_others_follow_waiting(
    at: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that commits by the clock does so for as long as it runs."""
    monkeypatch.setattr("harness.run.MESSAGE_WITHIN", 0.1)
    live_run = at_messages(Taps(), over=at is None)
    planned = acts_at(at=at)
    following: Any = SimpleNamespace(id="f2", row=2, when=Condition("reply", ("SET *",), ("a#1->redis",), follows=1))
    live_run._following = Following([planned, following], Known(), live_run.looked, none_committed, 1)
    playing = asyncio.create_task(play(live_run, planned))
    taps, given = live_run._session.taps, []
    while not playing.done():
        await asyncio.sleep(0.02)
        if taps.trigger is not None:
            given.append(Message())
            given[-1].key = "no event"
            taps.trigger._take(given[-1])
    await playing
    assert (bool(live_run.missed), bool(live_run.by_clock)) == (at is None, at is not None)
    assert len(given) > 1
    assert all(message.released for message in given)


async def test_a_message_is_let_go_though_the_run_ends() -> None:
    held = Message()
    with pytest.raises(StackError):
        await play(at_messages(Taps(held), fails=True), acts_at())
    assert held.released


class Untapped(Stack):
    """Its links lead nowhere else."""

    def lacks(self, need: type, on: str | None = None) -> str | None:
        return "there is no place for taps" if need is Tapping else None


async def test_what_may_act_by_the_clock_needs_no_taps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = SCENARIO.replace("at: 4s", 'at: 4s, when: {request: GET, on: "shop->redis"}')
    for name, text in (("system", SYSTEM), ("both", rows), ("only", rows.replace("at: 4s, ", ""))):
        (tmp_path / f"{name}.yaml").write_text(text)
    both, only = (
        make_plan(tmp_path / f"{name}.yaml", system_path=None, variant=None, seed=1, stack="auto")
        for name in ("both", "only")
    )
    assert both.taps == only.taps == {"shop#1->redis": "redis"}
    taps: list[object] = []

    async def play(live_run: Any, _after: Any) -> None:
        taps.append(live_run._session.taps)
        await live_run._http.close()
        raise StackError("enough")

    monkeypatch.setattr("harness.run._LiveRun.play", play)
    monkeypatch.setattr("harness.session.live.LiveSystem.connect", connected)
    stack: Any = Untapped()
    for planned in both.faults:
        refuse_fault(planned, stack)
    refuse_taps(both, stack)
    with pytest.raises(StackError, match="enough"):
        await run(both, out=tmp_path / "runs", stack=stack, progress=Progress())
    assert taps == [None]
    with pytest.raises(PlanRefused, match="there is no place for taps"):
        refuse_fault(only.faults[1], stack)
    with pytest.raises(PlanRefused, match="there is no place for taps"):
        refuse_taps(only, stack)


async def test_what_follows_a_fault_has_its_event_before_the_fault_acts_and_not_before_it_meets_it() -> None:
    known, held = Known(), Message()
    known.note({"event_id": "event-1", "topic": "orders", "partition": 0, "offset": 1})
    live_run = at_messages(Taps(Message(waiting=False), held))
    planned = acts_at()
    second: Any = SimpleNamespace(id="f2", row=2, when=Condition("reply", ("SET *",), ("a#2->redis",), follows=1))
    live_run._following = Following([planned, second], known, live_run.looked, none_committed, 1)
    waiting = second.when.trigger()
    live_run._following.wait(1, waiting)
    armed: list[bool] = []

    async def apply(_planned: object, _held: Message) -> bool:
        armed.append(waiting.event is not None and waiting.event.has("claim:event-1"))
        return True

    live_run._apply = apply
    assert waiting.event is None
    await play(live_run, planned)
    assert armed == [True]


async def test_what_follows_a_fault_has_the_event_at_which_it_acted_not_one_whose_message_was_given_up() -> None:
    known, held = Known(), [Message(), Message()]
    for number, one in enumerate(held):
        one.key = f"claim:event-{number}"
        known.note({"event_id": f"event-{number}", "topic": "orders", "partition": 0, "offset": number})
    live_run = at_messages(Taps(*held))
    planned = acts_at()
    second: Any = SimpleNamespace(id="f2", row=2, when=Condition("reply", ("SET *",), ("a#2->redis",), follows=1))
    live_run._following = Following([planned, second], known, live_run.looked, none_committed, 1)
    waiting = second.when.trigger()
    live_run._following.wait(1, waiting)

    async def apply(_planned: object, at: Message) -> bool:
        return at is held[1]

    live_run._apply = apply
    await play(live_run, planned)
    assert waiting.event.has("claim:event-1")
    assert not waiting.event.has("claim:event-0")


async def test_what_follows_a_fault_that_never_acted_is_not_waited_for_until_the_load_ends() -> None:
    live_run = at_messages(Taps())
    second = acts_at(follows=1)
    second.id, second.row = "f2", 2
    live_run._following = Following([acts_at(), second], Known(), live_run.looked, none_committed, 1)
    live_run._to_come = {"f2"}
    await play(live_run, second)
    (why,) = live_run.missed
    assert why.endswith("for the event of row 1: row 1 has met no event to follow")
