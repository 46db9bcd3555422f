"""Watch reads every observer in harness/observers/."""

import asyncio
import inspect
import pkgutil
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

import harness.observers
from harness.errors import StackError
from harness.observers.activity import Activity
from harness.observers.forms import Reach
from harness.observers.watch import Watch
from harness.stack import Record, RunNames
from harness.system import System, checks
from tests.standin import StandIn

SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "small",
        "dependencies": {"kafka": {"topics": {"orders": 1, "dead": 1}}},
        "services": {"shop": {"command": "shop", "env": {"KAFKA": "{kafka}"}}},
        "load": {"upload": {"to": "shop", "post": "/"}},
        "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
        "effects": {
            "shop": {
                "applies": ["placed"],
                "sql": {"url": "sqlite:////x", "query": "SELECT"},
                "total": {"sql": {"url": "sqlite:////x", "query": "SELECT"}, "adds": "/n", "by": "/account"},
            }
        },
        "dead_letters": {"topic": "dead", "id": "/id", "consumer": "/consumer", "source": "/source", "kind": "/kind"},
    }
)


class Broker(StandIn):
    """Has one partition of each topic, and a group that has read everything."""

    async def ends(self, topics):
        return {(topic, 0): 1 for topic in topics}

    async def committed(self, service):
        return {("orders", 0): 1}

    async def require_settled(self, topics):
        pass

    async def assigned(self, service):
        return {("orders", 0): "a member"}

    async def reader(self, topics):
        return self

    async def pass_to_end(self) -> list[Record]:
        return []

    async def close(self) -> None:
        pass


class Notes(StandIn):
    """Records which passes began and which failed."""

    def __init__(self) -> None:
        self.final: dict[str, set[bool]] = {}
        self.failed: list[dict[str, object]] = []

    def now(self) -> int:
        return 0

    def record(self, *words: str, **fields: object) -> int:
        return 0

    @contextmanager
    def operation(self, op: str, actor: str, *, what: str, final: bool) -> Any:
        self.final.setdefault(what, set()).add(final)
        yield SimpleNamespace(index=1, ok=lambda **_: None, fail=lambda **fields: self.failed.append(fields))


class Watching(StandIn):
    """A watch that tells of its system's activity itself."""

    @property
    def activity(self) -> Any:
        return self


def observers() -> dict[str, str]:
    """Class name -> what it reads, for every observer in harness/observers/."""
    found = {}
    for module in pkgutil.iter_modules(harness.observers.__path__, "harness.observers."):
        for name, kind in inspect.getmembers(import_module(module.name), inspect.isclass):
            what = getattr(kind, "what", None)
            if kind.__module__ == module.name and isinstance(what, str) and hasattr(kind, "read"):
                found[name] = what
    return found


async def test_every_observer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rows(url: str, query: str, take: object) -> None:
        pass

    monkeypatch.setattr("harness.clients.sql.each", rows)
    notes = Notes()
    watch = Watch(SYSTEM, notes, kafka=Broker(), http=StandIn(), names=RunNames("r1"))
    await watch.open(Reach(lambda text, _service: text), "http://blobs/{id}")
    await watch.look()
    await watch.read_offsets()
    await watch.read_all()
    await watch.close()
    assert not notes.failed
    unread = [name for name, what in observers().items() if True not in notes.final.get(what, ())]
    assert not unread, (
        f"Watch does not read {', '.join(unread)}: add it to Watch._others in harness/observers/watch.py"
    )


async def test_the_effects_are_looked_at_as_soon_as_something_died(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = asyncio.Queue[str]()

    async def rows(url: str, query: str, take: object) -> None:
        looked.put_nowait(url)

    monkeypatch.setattr("harness.clients.sql.each", rows)
    watch = Watch(SYSTEM, Notes(), kafka=Broker(), http=StandIn(), names=RunNames("r1"))
    await watch.open(Reach(lambda text, _service: text), "http://blobs/{id}")
    looking = asyncio.create_task(watch.keep_looking_after_deaths())
    async with asyncio.timeout(60):
        for _ in range(2):
            watch.look_soon()
            assert await looked.get() == "sqlite:////x"
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    await watch.close()


async def test_rounds_pause_for_the_system_unless_it_is_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(watch: Watch) -> None:
        watch.rounds += 1
        await asyncio.sleep(0)

    monkeypatch.setattr("harness.observers.watch.BETWEEN_PASSES", 3600)
    monkeypatch.setattr(Watch, "look", look)
    watch = Watch(SYSTEM, Notes(), kafka=Broker(), http=StandIn(), names=RunNames("r1"))
    looking = asyncio.create_task(watch.keep_looking())
    try:
        async with asyncio.timeout(60):
            with watch.without_pauses():
                while watch.rounds < 3:
                    await asyncio.sleep(0)
            before = watch.rounds
            await asyncio.sleep(0.2)
        assert watch.rounds <= before + 1, "the one that had begun"
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


@pytest.mark.parametrize("turns", range(5))
async def test_a_wait_that_ends_as_it_is_cancelled_is_cancelled(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(watch: Watch) -> None:
        watch.rounds += 1
        await asyncio.sleep(0)

    monkeypatch.setattr("harness.observers.watch.BETWEEN_PASSES", 3600)
    monkeypatch.setattr(Watch, "look", look)
    watch = Watch(SYSTEM, Notes(), kafka=Broker(), http=StandIn(), names=RunNames("r1"))
    looking = asyncio.create_task(watch.keep_looking())
    for _ in range(5):
        await asyncio.sleep(0)
    watch._brisk.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    looking.cancel()
    watch._brisk.clear()
    await asyncio.wait([looking], timeout=5)
    assert looking.cancelled()


@pytest.mark.parametrize("idle", [True, False])
async def test_who_waits_for_rounds_of_a_system_at_rest_waits_for_no_pauses(idle: bool) -> None:
    from harness.session.rest import Rest

    brisk: list[int] = []

    class Rounds(Watching):
        rounds, round_seconds = 0, 0.0

        def idle(self) -> bool:
            return idle

        def quiet_for(self) -> float:
            return 1.0

        @contextmanager
        def without_pauses(self) -> Any:
            brisk.append(self.rounds)
            self.rounds += 3
            yield

    watch: Any = Rounds()
    live: Any = SimpleNamespace(system=SimpleNamespace(settle=0.01))
    rest = Rest(live, Notes(), watch, StandIn())
    deadline = asyncio.get_running_loop().time() + 0.1
    await rest._rounds(deadline)
    assert brisk == ([0] if idle else [])


@pytest.mark.parametrize(
    ("idle", "looks", "quiet", "hidden", "phase"),
    [
        pytest.param(lambda _: True, True, 1.0, lambda _: "", "drained", id="done"),
        pytest.param(lambda _: True, False, 1.0, lambda _: "", "deadline", id="done, and not seen again"),
        pytest.param(lambda _: False, True, 1.0, lambda _: "", "deadline", id="stuck"),
        pytest.param(lambda rounds: rounds > 20, True, 0.0, lambda _: "", "drained", id="moving, and done later"),
        pytest.param(
            lambda rounds: rounds > 20, True, 1.0, lambda _: "", "deadline", id="stuck, whatever comes later"
        ),
        pytest.param(lambda _: False, True, 0.0, lambda _: "", "deadline", id="moving and never done"),
        pytest.param(lambda _: True, True, 1.0, lambda _: "open", "deadline", id="done, but for what is hidden"),
        pytest.param(
            lambda _: True,
            True,
            1.0,
            lambda rounds: "open" * (rounds < 40),
            "drained",
            id="done, and hidden at first",
        ),
    ],
)
async def test_a_system_that_moves_or_is_done_is_not_given_up_at_its_deadline(  # noqa: PLR0917
    idle: Callable[[int], bool],
    looks: bool,
    quiet: float,
    hidden: Callable[[int], str],
    phase: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How long work takes, and how long it takes to be sure, depends on the machine. Nothing is at rest without new rounds."""
    from harness.session.rest import Rest

    monkeypatch.setattr("harness.session.rest._AT_MOST", 2.0)

    class Rounds(Watching):
        told_by_silence, _rounds, round_seconds = (), 0, 0.0

        async def hidden(self) -> str:
            return hidden(self._rounds)

        @property
        def rounds(self) -> int:
            self._rounds += looks
            return self._rounds

        def idle(self) -> bool:
            return idle(self._rounds)

        def pulse(self) -> int:
            return 1

        def quiet_for(self) -> float:
            return quiet

        def without_pauses(self) -> Any:
            return nullcontext()

        async def read_offsets(self) -> None:
            pass

    live: Any = SimpleNamespace(system=SimpleNamespace(settle=0.01))
    watch: Any = Rounds()
    rest = Rest(live, Notes(), watch, StandIn())
    passed = asyncio.get_running_loop().time() - 0.01
    assert await asyncio.wait_for(rest._drained(passed), 60) == phase


async def test_one_that_stops_at_its_deadline_is_watched_until_it_is_stuck_however_long_that_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from harness.session.rest import Rest

    monkeypatch.setattr("harness.session.rest._AT_MOST", 0.01)
    now = asyncio.get_running_loop().time
    stopped = now()

    class Rounds(Watching):
        rounds = 0

        def idle(self) -> bool:
            self.rounds += 1
            return False

        def pulse(self) -> int:
            return 1

        def quiet_for(self) -> float:
            return now() - stopped

        async def read_offsets(self) -> None:
            read.append(now() - stopped)

    read: list[float] = []
    live: Any = SimpleNamespace(system=SimpleNamespace(settle=0.2))
    watch: Any = Rounds()
    assert await asyncio.wait_for(Rest(live, Notes(), watch, StandIn())._drained(stopped), 60) == "deadline"
    assert min(read) >= 3 * 0.2


@pytest.mark.parametrize(("seconds", "phase"), [(100.0, "drained"), (0.0, "deadline")])
async def test_who_looks_slowly_is_given_longer_to_be_sure(
    seconds: float, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six rounds show that a system is at rest. If each takes long, they end long after the deadline."""
    from harness.session.rest import Rest

    monkeypatch.setattr("harness.session.rest._AT_MOST", 0.1)
    now = asyncio.get_running_loop().time
    begun = now()

    class Rounds(Watching):
        told_by_silence, round_seconds = (), seconds

        @property
        def rounds(self) -> int:
            return int((now() - begun) / 0.2)

        def idle(self) -> bool:
            return True

        def pulse(self) -> int:
            return 1

        def quiet_for(self) -> float:
            return 10.0

        def without_pauses(self) -> Any:
            return nullcontext()

        async def hidden(self) -> str:
            return ""

        async def read_offsets(self) -> None:
            pass

    live: Any = SimpleNamespace(system=SimpleNamespace(settle=0.01))
    watch: Any = Rounds()
    assert await asyncio.wait_for(Rest(live, Notes(), watch, StandIn())._drained(begun), 60) == phase


@pytest.mark.parametrize(
    ("service", "effects", "deferred"),
    [
        ({}, {}, []),
        ({"commits": "on_receipt"}, {}, ["shop"]),
        ({}, {"sql": None, "total": None, "topic": {"name": "orders", "id": "/of"}}, ["shop"]),
    ],
    ids=["in one transaction", "stored first", "on a topic"],
)
def test_only_silence_says_that_a_consumer_is_done_whose_effects_may_come_after_its_offsets(
    service: dict[str, Any], effects: dict[str, Any], deferred: list[str]
) -> None:
    told = SYSTEM.model_dump(exclude_none=True, exclude_unset=True)
    told["services"]["shop"] |= service
    told["effects"]["shop"] = {k: v for k, v in (told["effects"]["shop"] | effects).items() if v is not None}
    system = System.model_validate(told)
    topics, offsets = SimpleNamespace(types={}), SimpleNamespace(committing={"shop"})
    observers: list[Any] = [topics, offsets, SimpleNamespace()]
    activity = Activity(system, *observers, totals=None, letters=None)
    assert activity.told_by_silence == []
    topics.types["placed"] = {"orders"}
    assert activity.told_by_silence == deferred
    assert checks(system)["deferred"] == deferred


@pytest.mark.parametrize(("failures", "made"), [(0, 1), (2, 3), (9, 3)])
async def test_a_final_pass_that_fails_is_made_again(
    failures: int, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[str] = []

    async def rows(url: str, query: str, take: object) -> None:
        passes.append(url)
        if len(passes) <= failures:
            raise StackError("database is locked")

    monkeypatch.setattr("harness.clients.sql.each", rows)
    monkeypatch.setattr("harness.observers.watch.BETWEEN_TRIES", 0.0)
    notes = Notes()
    watch = Watch(SYSTEM, notes, kafka=Broker(), http=StandIn(), names=RunNames("r1"))
    await watch.open(Reach(lambda text, _service: text), None)
    await watch._finally(watch._effects, asyncio.get_running_loop().time() + 60)
    tried, failed = len(passes), len(notes.failed)
    passes.clear()
    await watch._finally(watch._effects, 0.0)
    assert len(passes) == 1, "it is too late to try again"
    await watch.close()
    assert (tried, failed) == (made, min(failures, made))


async def test_an_event_in_whose_place_a_fault_put_other_bytes_is_recorded() -> None:
    told: list[tuple[tuple[str, ...], dict[str, object]]] = []

    class Recorder(Notes):
        def record(self, *words: str, **fields: object) -> int:
            told.append((words, fields))
            return len(told)

    watch = Watch(SYSTEM, Recorder(), kafka=Broker(), http=StandIn(), names=RunNames("r1"))
    await watch.open(Reach(lambda text, _service: text), None)
    watch.overwritten(Record("orders", 0, 7, None, b'{"id": "e1", "type": "placed"}'))
    ((words, fields),) = told
    assert words == ("overwritten", "seen", "observer:topics")
    assert not fields.keys() & {"op", "phase", "actor"}, "a record has each of its fields once"
    assert [fields[name] for name in ("event_id", "event_type", "topic", "offset")] == ["e1", "placed", "orders", 7]


async def test_what_a_transaction_hides_fails_the_final_passes_of_topics_and_dead_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Open(Broker):
        async def require_settled(self, topics):
            raise StackError(f"a transaction is open on {', '.join(topics)}")

    async def rows(url: str, query: str, take: object) -> None:
        pass

    monkeypatch.setattr("harness.clients.sql.each", rows)
    monkeypatch.setattr("harness.observers.watch.BETWEEN_TRIES", 0.0)
    notes = Notes()
    watch = Watch(SYSTEM, notes, kafka=Open(), http=StandIn(), names=RunNames("r1"))
    await watch.open(Reach(lambda text, _service: text), None)
    await watch.look()
    assert not notes.failed
    assert await watch.hidden() == "a transaction is open on dead, orders"
    await watch.read_all()
    await watch.close()
    assert {(one["what"], one["error"]) for one in notes.failed} == {
        ("dead_letters", "StackError: a transaction is open on dead"),
        ("topics", "StackError: a transaction is open on orders"),
    }
