"""What a system that runs already held before the run: left aside, once it is at rest."""

import pytest

from harness.addresses import Names
from harness.effects import Effects
from harness.errors import StackError
from harness.observers import before
from harness.observers.forms import Reach
from harness.observers.watch import Watch
from harness.stack import Record, RunNames
from harness.stacks.external.names import FixedNames
from harness.system import System
from tests.standin import StandIn

SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "small",
        "dependencies": {"kafka": {"topics": {"orders": 1}}},
        "services": {"ledger": {"command": "ledger", "env": {"KAFKA": "{kafka}"}}},
        "load": {"upload": {"to": "ledger", "post": "/"}},
        "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
        "effects": {"ledger": {"applies": ["x"], "sql": {"url": "sqlite:////x", "query": "SELECT"}}},
        "settle": "10ms",
    }
)
ORDERS = ("orders", 0)


class Broker(StandIn):
    """Moves on by the numbers it is given, one a look, and then rests."""

    def __init__(self, ends: list[int], committed: list[int]) -> None:
        self._ends, self._committed = ends, committed
        self.began: list[int] = []
        self.markers: set[int] = set()

    async def ends(self, topics):
        return {ORDERS: self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]}

    async def committed(self, service):
        if not self._committed:
            return {}
        return {ORDERS: self._committed.pop(0) if len(self._committed) > 1 else self._committed[0]}

    def leave_aside(self, ends):
        self.began.append(ends[ORDERS])

    async def assigned(self, service):
        return {ORDERS: "a member"}

    async def tail(self, topic, count):
        """A record at each offset but the markers', and nothing of what was left aside."""
        last, first = self._ends[0], max(self.began, default=0)
        places = [offset for offset in range(max(first, last - count), last) if offset not in self.markers]
        return [Record(topic, 0, offset, None, b"") for offset in places]

    async def require_settled(self, topics):
        pass

    async def reader(self, topics):
        return self


async def opened(broker: Broker, names: RunNames) -> None:
    await Watch(SYSTEM, StandIn(), kafka=broker, http=StandIn(), names=names).open(
        Reach(lambda text, _service: text), None
    )


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []

    async def look(url: str, query: str, take) -> None:
        read.append(url)

    monkeypatch.setattr("harness.clients.sql.each", look)
    monkeypatch.setattr(before, "BETWEEN_LOOKS", 0.001)
    return read


FIXED = FixedNames("r1", Names())


class Later(FixedNames):
    """Of consumers that start within the run."""

    begins_later = True


async def test_at_rest_it_begins_behind_what_there_is(rows: list[str]) -> None:
    broker = Broker([7], [7])
    await opened(broker, FIXED)
    assert (broker.began, len(rows)) == ([7], 1)


async def test_it_waits_for_what_is_under_way_and_begins_behind_that() -> None:
    # First a group is behind, which ends a look early; then a record comes during a look.
    broker = Broker([7, 7, 7, 7, 8], [6, 7, 8])
    await opened(broker, FIXED)
    assert broker.began == [8]


async def test_what_does_not_come_to_rest_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "COMES_TO_REST", 0.1)
    with pytest.raises(StackError, match=r"has not passed orders:0 \(ledger\)"):
        await opened(Broker([9], [6]), FIXED)


async def test_a_run_with_names_of_its_own_leaves_nothing_aside(rows: list[str]) -> None:
    broker = Broker([9], [6])
    await opened(broker, RunNames("r1"))
    assert (broker.began, rows) == ([], [])


async def test_the_marker_of_a_transaction_is_nothing_to_pass() -> None:
    broker = Broker([9], [8])
    broker.markers = {8}
    await opened(broker, FIXED)
    assert broker.began == [9]


async def test_of_those_who_start_later_what_none_of_them_has_passed_is_judged_by_nobody(monkeypatch) -> None:
    monkeypatch.setattr(before, "COMES_TO_REST", 0.1)
    with pytest.raises(StackError, match=r"records that the group has not passed: orders:0 \(ledger\)"):
        await opened(Broker([9], []), Later("r1", Names()))
    await opened(Broker([0], []), Later("r1", Names()))
    running = Broker([9], [])
    await opened(running, FIXED)
    assert running.began == [9]


async def test_it_waits_until_no_transaction_hides_effects_on_a_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    system = SYSTEM.model_copy(
        update={
            "effects": {
                "ledger": Effects.model_validate({"applies": ["paid"], "topic": {"name": "orders", "id": "/id"}})
            }
        }
    )

    class Transacted(Broker):
        opened = 2

        async def require_settled(self, topics):
            assert topics == {"orders": 1}
            self.opened -= 1
            if self.opened >= 0:
                raise StackError("a transaction is open on orders:0")

        async def pass_to_end(self):
            return []

        async def close(self):
            pass

    async def open_on(broker: Broker) -> None:
        watching = Watch(system, StandIn(), kafka=broker, http=StandIn(), names=FIXED)
        await watching.open(Reach(lambda text, _service: text), None)

    broker = Transacted([7], [7])
    await open_on(broker)
    assert (broker.began, broker.opened) == ([7], -2)
    monkeypatch.setattr(before, "COMES_TO_REST", 0.1)
    broker.opened = 10**6
    with pytest.raises(StackError, match=r"is busy \(a transaction is open on orders:0\)"):
        await open_on(broker)
