"""The reduction, with oracles that know what it takes to break."""

import asyncio

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import PlanRefused
from harness.faults.plan import plan_line
from harness.faults.targets import resolve
from harness.scenario import When
from harness.shrink.candidate import Candidate
from harness.shrink.reduction import FEWEST, SHORTEST, Reduction, narrower, with_row
from harness.system import System
from tests.unit.commands.conftest import SYSTEM
from tests.unit.shrink.conftest import Oracle, candidate

HANG = '{fault: net.hang, on: "ledger->redis", at: 10%, for: 6s}'
LATENCY = '{fault: net.latency, on: "*->kafka", at: 2s, for: 3s, latency: 80ms}'
KILL = "{fault: service.kill, on: ledger, at: 4s, for: 500ms}"
TWICE = "{fault: kafka.duplicate, on: orders, at: 60%, count: 5}"
LOSE = "{fault: redis.lose, on: redis, at: 80%, for: 1s}"
STORM = (HANG, LATENCY, KILL, TWICE, LOSE)


EFFECTS = """
outcomes: [{of: upload, by: /order, then: [placed]}]
effects: {ledger: {applies: [placed], sql: {url: "sqlite:///{data}/db", query: SELECT 1}}}
"""


def shrunk(system, whole: Candidate, predicate) -> tuple[Candidate, Oracle]:
    oracle = Oracle(predicate)
    return asyncio.run(Reduction(whole, system, oracle).reduce()), oracle


def has(part: Candidate, *names: str) -> bool:
    return {*names} <= {row.fault for row in part.faults}


def test_a_storm_becomes_one_short_row_on_one_target_under_a_small_load(system) -> None:
    result, _ = shrunk(system, candidate(*STORM), lambda part: has(part, "service.kill"))
    assert result.document() == {
        "load": {"uploads": FEWEST, "rate": "20/s"},
        # The moment moved along with the load's length.
        "faults": [{"fault": "service.kill", "on": "ledger#1", "at": "1s", "for": "100ms"}],
    }


def test_two_rows_that_need_one_another_stay_in_order(system) -> None:
    result, _ = shrunk(system, candidate(*STORM), lambda part: has(part, "net.hang", "redis.lose"))
    assert [row.fault for row in result.faults] == ["net.hang", "redis.lose"]


def test_what_breaks_without_a_fault_needs_none(system) -> None:
    result, oracle = shrunk(system, candidate(*STORM), lambda _: True)
    assert not result.rows
    assert oracle.asked[0].rows == (), "it is asked first"


def test_a_window_is_as_short_as_it_may_be(system) -> None:
    result, _ = shrunk(system, candidate(HANG), lambda part: bool(part.faults) and part.faults[0].lasts >= 1.4)
    assert result.faults[0].lasts == 1.5


def test_a_short_window_is_left_alone(system) -> None:
    whole = candidate('{fault: net.hang, on: "ledger#1->redis", at: 10%, for: 50ms}', load="{uploads: 30, rate: 9/s}")
    result, oracle = shrunk(system, whole, has_any := lambda part: bool(part.faults))
    assert result == whole
    assert [has_any(asked) for asked in oracle.asked] == [False]


def test_a_load_is_as_small_as_it_may_be_and_percentages_stay(system) -> None:
    whole = candidate(HANG, TWICE, load="{uploads: 400, rate: 20/s}", again="[{replay: all, at: 8s}]")
    result, _ = shrunk(system, whole, lambda part: len(part.rows) == 3 and part.load.uploads > 70)
    assert result.load.uploads == 100
    assert [row.at for row in result.rows] == ["10%", "60%", 2.0]


def test_a_load_in_batches_stays_whole(system) -> None:
    whole = candidate(KILL, load="{uploads: 100, rate: 20/s, batch: 25}")
    result, _ = shrunk(system, whole, lambda part: bool(part.rows))
    assert result.load.uploads == 50, "the fewest, in whole batches"
    one = candidate(KILL, load="{uploads: 100, rate: 20/s, batch: 100}")
    assert shrunk(system, one, lambda part: bool(part.rows))[0].load.uploads == 100


def test_a_row_that_a_large_load_needed_goes_once_the_load_is_small(system) -> None:
    def breaks(part: Candidate) -> bool:
        return has(part, "service.kill") and (part.load.uploads < 50 or has(part, "redis.lose"))

    assert [row.fault for row in shrunk(system, candidate(*STORM), breaks)[0].faults] == ["service.kill"]


def test_a_window_that_a_needless_row_kept_open_is_shortened_once_that_row_is_gone(system) -> None:
    def breaks(part: Candidate) -> bool:
        windows = {row.fault: row.lasts for row in part.faults}
        if part.load.uploads < 50:
            return "net.hang" in windows and ("redis.lose" not in windows or windows["net.hang"] == 6)
        return "redis.lose" in windows and windows.get("net.hang") == 6

    (row,) = shrunk(system, candidate(*STORM), breaks)[0].faults
    assert (row.fault, row.lasts) == ("net.hang", SHORTEST)


def test_a_request_of_again_is_a_row_too(system) -> None:
    whole = candidate(HANG, KILL, again="[{reprocess: 5, at: 20%}, {replay: all, at: 50%}]")
    result, _ = shrunk(system, whole, lambda part: any(row.reprocess for row in part.again))
    assert [row.reprocess for row in result.again] == [5]
    assert not result.faults


@pytest.mark.parametrize(
    ("on", "fault", "forms"),
    [
        ("*->kafka", "net.hang", ["shop->kafka", "ledger->kafka"]),
        ("ledger->kafka", "net.hang", ["ledger#1->kafka", "ledger#2->kafka"]),
        ("ledger#1->kafka", "net.hang", []),
        ("shop->kafka", "net.hang", []),
        ("*", "service.kill", ["shop", "ledger"]),
        ("ledger", "service.pause", ["ledger#1", "ledger#2"]),
        ("kafka", "net.partition", []),
        ("redis", "redis.lose", []),
        ("orders", "kafka.duplicate", []),
    ],
)
def test_narrower_targets(system, on: str, fault: str, forms: list[str]) -> None:
    row = candidate(f"{{fault: {fault}, on: '{on}', at: 10%}}").faults[0]
    assert list(narrower(row, system)) == forms


def test_the_second_replica_may_be_the_one(system) -> None:
    def breaks(part: Candidate) -> bool:
        return any(row.on in {"*->kafka", "ledger->kafka", "ledger#2->kafka"} for row in part.faults)

    assert shrunk(system, candidate(LATENCY), breaks)[0].faults[0].on == "ledger#2->kafka"


@pytest.mark.parametrize(
    ("on", "link", "narrower_link"),
    [
        ("ledger", "ledger->redis", "ledger#2->redis"),
        ("consumers", "consumers->redis", "ledger#2->redis"),
        # These were no target's own link before, and stay as they are.
        ("ledger", "shop->kafka", "shop->kafka"),
        ("ledger", "*->redis", "*->redis"),
    ],
)
def test_a_narrower_target_acts_at_its_own_message(on: str, link: str, narrower_link: str) -> None:
    """Else the one that is left would be killed at a message of another, which lives on."""
    system = System.model_validate(yaml.safe_load(SYSTEM + EFFECTS))
    kill = f'{{fault: service.kill, on: {on}, for: 500ms, when: {{reply: "*", on: "{link}"}}}}'
    result, _ = shrunk(system, candidate(kill), lambda part: any(row.on in {on, "ledger#2"} for row in part.faults))
    (row,) = result.faults
    assert (row.on, row.when.on) == ("ledger#2", narrower_link)
    (fault,) = plan_line(row, system, 41, after=0)
    assert set(fault.when.links) == set(resolve("link", narrower_link, system))


def at_message(part: Candidate, place: int, **when: object) -> Candidate:
    row = part.faults[place].model_copy(update={"at": None, "when": When(on="ledger#1->redis", **when)})
    return with_row(part, place, row)


def test_a_message_in_place_of_a_moment_makes_the_row_needless_that_kept_handlers_at_work(system) -> None:
    """By the clock the kill meets a handler at work only while the link is slow."""

    def breaks(part: Candidate) -> bool:
        kills = [row for row in part.faults if row.fault == "service.kill"]
        return any((row.when and row.when.reply) or has(part, "net.latency") for row in kills)

    async def offers(part: Candidate) -> list[Candidate]:
        places = [place for place, row in enumerate(part.faults) if row.fault == "service.kill" and row.at]
        return [at_message(part, place, **{side: "SET *"}) for place in places for side in ("request", "reply")]

    (row,) = asyncio.run(Reduction(candidate(*STORM), system, Oracle(breaks), offers).reduce()).faults
    assert (row.fault, row.on, row.at, row.when.reply) == ("service.kill", "ledger#1", None, "SET *")


def test_offers_that_do_not_break_change_nothing(system) -> None:
    asked = []

    async def offers(part: Candidate) -> list[Candidate]:
        asked.append(part)
        return [at_message(part, 0, reply="SET *")]

    oracle = Oracle(lambda part: any(row.at for row in part.faults))
    result = asyncio.run(Reduction(candidate(KILL), system, oracle, offers).reduce())
    assert (result.faults[0].when, len(asked)) == (None, 1)


def test_what_the_oracle_raises_leaves_the_smallest_so_far(system) -> None:
    def breaks(part: Candidate) -> bool:
        if len(part.faults) == 1:
            raise PlanRefused("enough")
        return has(part, "service.kill")

    reduction = Reduction(candidate(*STORM), system, Oracle(breaks))
    with pytest.raises(PlanRefused):
        asyncio.run(reduction.reduce())
    assert [row.fault for row in reduction.smallest.faults] == ["service.kill", "kafka.duplicate", "redis.lose"]


@st.composite
def monotone(draw):
    """What it takes: some rows, each with a shortest window, and a smallest load."""
    rows = draw(st.sets(st.sampled_from([row.fault for row in candidate(*STORM).faults])))
    windows = st.sampled_from([0.0, 0.1, 0.2, 0.5])
    return {name: 0.0 if name == "kafka.duplicate" else draw(windows) for name in rows}, draw(st.integers(1, 120))


@given(monotone())
def test_for_an_oracle_that_more_never_calms_the_result_breaks_and_nothing_can_go(system, needs) -> None:
    rows, uploads = needs

    def breaks(part: Candidate) -> bool:
        longest = {row.fault: row.lasts or 0.0 for row in part.faults}
        return part.load.uploads >= uploads and all(longest.get(name, -1) >= least for name, least in rows.items())

    result, oracle = shrunk(system, candidate(*STORM), breaks)
    assert breaks(result)
    assert {row.fault for row in result.faults} == set(rows)
    for row in result.faults:
        assert not narrower(row, system)
        half = (row.lasts or 0.0) / 2
        assert row.lasts is None or half < SHORTEST or half < rows[row.fault]
    assert result.load.uploads // 2 < max(FEWEST, uploads)
    assert len({part.identity for part in oracle.asked}) == len(oracle.asked), "nothing is asked twice"


@given(st.randoms(use_true_random=False))
def test_for_any_oracle_the_result_breaks_and_no_row_can_go(system, random) -> None:
    answers: dict[str, bool] = {}

    def breaks(part: Candidate) -> bool:
        return answers.setdefault(part.identity, random.random() < 0.4)

    whole = candidate(*STORM)
    result, oracle = shrunk(system, whole, breaks)
    assert result == whole or answers[result.identity]
    for row in range(len(result.rows)):
        assert not answers[result.only([*result.rows[:row], *result.rows[row + 1 :]]).identity]
    assert len({part.identity for part in oracle.asked}) == len(oracle.asked)
