"""Which pairs of faults are tried, and why the others are not."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.history.reader import History
from harness.sweep.lineage import ACTIONS, Action, Step
from harness.sweep.pair_map import PairMap
from harness.sweep.pairs import ALONE, EQUAL, NOTHING, UNNAMED, First, Met, Pair, Pairs, after, event_of, pairs
from harness.sweep.struck import astray

BEFORE, KILLED, REQUEST, REPLY = ACTIONS

CLAIM = Step("redis", "EVAL", "claim:*", 1, 9)
READ = Step("store", "GET", "/v1/content/*", 1, 9)
SETTLED = Step("redis", "EVAL", "claim:*", 2, 9)
PRODUCED = Step("kafka", "Produce", "outbox", None, 9)
COMMITTED = Step("kafka", "OffsetCommit", "ledger", None, 9)
LINEAGE = [CLAIM, READ, SETTLED, PRODUCED, COMMITTED]

LIFE = (
    Met(CLAIM, "integer", passes=False),
    Met(READ, "200", passes=False),
    Met(SETTLED, "integer", passes=False),
    Met(COMMITTED, "ok", passes=True),
)


def tried(first: First) -> set[tuple[Step, str]]:
    return {(pair.second, pair.action.name) for pair in pairs([first], LINEAGE).kept}


def first(step: Step, action: Action, after: tuple[Met, ...] = LIFE) -> First:
    return First(step, action, valid=True, after=after)


def test_each_message_that_follows_gets_a_second_fault_but_where_it_would_be_no_other() -> None:
    made = pairs([first(CLAIM, KILLED)], LINEAGE)
    both = {action.name for action in ACTIONS}
    before = {BEFORE.name, REQUEST.name}
    wanted = {CLAIM: both, READ: before, SETTLED: both, COMMITTED: before}
    assert {(pair.second, pair.action.name) for pair in made.kept} == {
        (step, name) for step, names in wanted.items() for name in names
    }
    # A read that was executed is as one that was not; behind the last commit nothing is to come; a record names no event.
    assert made.left_out == Counter({EQUAL: 2, NOTHING: 2, UNNAMED: 4})
    assert str(made) == (
        "20 pairs, 12 to try: 4 are at messages that name no event, 2 are equal to another up to the event, "
        "2 support no effect"
    )


def test_a_commit_before_the_effect_is_not_the_end() -> None:
    early = (LIFE[0], LIFE[3], LIFE[1])
    assert {name for step, name in tried(first(CLAIM, KILLED, early)) if step == COMMITTED} == {
        action.name for action in ACTIONS
    }


def test_killed_before_it_began_the_event_is_as_new_and_the_second_fault_alone_was_tried() -> None:
    alone = [First(step, action, valid=False) for step in LINEAGE[1:] for action in ACTIONS]
    alone += [First(CLAIM, action, valid=False) for action in ACTIONS]
    assert pairs([first(CLAIM, BEFORE), *alone], LINEAGE).left_out[EQUAL] == 16
    # What was not tried alone is no other's equal.
    assert tried(first(CLAIM, BEFORE))
    # A process that lives has seen an error; what is claimed is not new; and neither is what comes back otherwise.
    assert tried(first(CLAIM, REQUEST))
    assert tried(first(CLAIM, KILLED))
    assert tried(first(CLAIM, BEFORE, LIFE[1:]))
    assert tried(first(SETTLED, BEFORE))


def test_what_is_left_by_a_read_is_the_same_before_and_after_it_if_it_shows() -> None:
    made = pairs([first(READ, action) for action in ACTIONS], LINEAGE)
    assert {pair.first_action for pair in made.kept} == {BEFORE, REQUEST}
    assert made.left_out[EQUAL] == 2 * 16 + 2 * 2
    otherwise = pairs([first(READ, BEFORE), first(READ, KILLED, LIFE[1:])], LINEAGE)
    assert {pair.first_action for pair in otherwise.kept} == {BEFORE, KILLED}
    writes = pairs([first(SETTLED, BEFORE), first(SETTLED, KILLED)], LINEAGE)
    assert {pair.first_action for pair in writes.kept} == {BEFORE, KILLED}


def test_who_asks_again_and_again_is_met_at_the_first_and_the_last() -> None:
    asks = tuple(Met(Step("redis", "EVAL", "claim:*", turn, 1), "integer", passes=False) for turn in range(1, 6))
    assert {step.turn for step, _ in tried(first(CLAIM, KILLED, asks))} == {1, 5}
    other = tuple(Met(met.step, "nil" if met.step.turn == 3 else met.kind, passes=False) for met in asks)
    assert {step.turn for step, _ in tried(first(CLAIM, KILLED, other))} == {1, 2, 3, 4, 5}


def test_a_first_fault_that_fails_alone_or_meets_no_known_event_or_ends_it_has_no_second() -> None:
    made = pairs(
        [
            First(CLAIM, KILLED, valid=False),
            First(PRODUCED, KILLED, valid=True, named=False),
            First(COMMITTED, KILLED, valid=True),
        ],
        LINEAGE,
    )
    assert not made.kept
    assert made.left_out == Counter({ALONE: 20, UNNAMED: 20 + 4, NOTHING: 16})


def test_the_rows_of_a_schedule() -> None:
    kill, lose = (Pair(CLAIM, KILLED, SETTLED, action).faults("ledger") for action in (BEFORE, REPLY))
    assert kill[0] == lose[0] == CLAIM.fault(KILLED, "ledger#1")
    when = {"follows": 1, "per_key": 2}
    assert kill[1] == {
        "fault": "service.kill",
        "on": "ledger",
        "when": {"request": "EVAL claim:{id}", **when, "on": "ledger->redis"},
        "for": "500ms",
    }
    assert lose[1] == {"fault": "tap.lose_reply", "on": "ledger->redis", "when": {"reply": "EVAL claim:{id}", **when}}
    (_, commit) = Pair(CLAIM, KILLED, COMMITTED, REQUEST).faults("ledger")
    assert commit["when"] == {"request": "OffsetCommit ledger", "follows": 1}


def wire(at: int, target: str, command: str, key: str, *, replica: int = 2, **fields: object) -> dict[str, object]:
    link = f"ledger#{replica}->{target}"
    return {
        "op": "wire",
        "phase": "answered",
        "t": at + 1,
        "t_begin": at,
        "link": link,
        "command": command,
        "key": key,
        "kind": "ok",
    } | fields


def commit(at: int, offset: int, **fields: Any) -> dict[str, object]:
    return wire(at, "kafka", "OffsetCommit", "ledger", **{"places": [["orders", 0, offset]], **fields})


def event(number: int) -> dict[str, object]:
    ids = {"event_id": f"event-{number}", "raw_file_storage_id": f"raw-{number}", "upload_id": f"up-{number}"}
    return {"op": "event", "phase": "seen", "t": 1, "topic": "orders", "partition": 0, "offset": number, **ids}


def struck(at: int, message: str) -> dict[str, object]:
    return {"op": "fault", "phase": "injected", "fault": "f1", "t": at, "evidence": {"message": message}}


LEDGER = partial(after, service="ledger")


@pytest.fixture
def told(tmp_path: Path):
    def tell(*records: dict[str, object], by: Any = LEDGER) -> Any:
        header = {"oneffect_history": 1, "run": "r17", "seed": 1, "plan_digest": "d", "plan": {}, "versions": {}}
        lines = [header, event(1), event(2), *records]
        path = tmp_path / "history.jsonl"
        path.write_text("".join(json.dumps({"i": i, "actor": "x", **line}) + "\n" for i, line in enumerate(lines)))
        with History(path) as history:
            return by(history)

    return tell


AT_CLAIM = (
    wire(100, "redis", "EVAL", "r17:claim:event-1", replica=1, phase="lost_reply", t=120),
    struck(110, "the reply to EVAL r17:claim:event-1 on ledger#1->redis"),
)


def test_what_an_event_causes_after_a_fault_is_read_from_whichever_replica_gets_it(told) -> None:
    found = told(
        wire(50, "redis", "EVAL", "r17:claim:event-1", replica=1),  # before the fault
        *AT_CLAIM,
        wire(130, "redis", "EVAL", "r17:claim:event-2"),
        wire(140, "redis", "EVAL", "r17:claim:event-1"),
        wire(150, "store", "GET", "/v1/content/raw-1"),
        wire(155, "kafka", "Produce", "outbox"),
        commit(158, 1),  # the next to read is the event's own record
        wire(160, "redis", "EVAL", "r17:claim:event-1", replica=1),
        commit(170, 2),
        commit(180, 3),  # passes what was passed before
    )
    assert found == (
        Met(Step("redis", "EVAL", "*:claim:*", 1, 1), "ok", passes=False),
        Met(Step("store", "GET", "/v1/content/*", 1, 1), "ok", passes=False),
        Met(Step("redis", "EVAL", "*:claim:*", 2, 1), "ok", passes=False),
        Met(Step("kafka", "OffsetCommit", "ledger", None, 1), "ok", passes=True),
    )


def test_at_a_commit_the_event_is_the_one_right_before_it(told) -> None:
    at_commit = [
        commit(100, 2, replica=1, phase="lost_request", t=120),
        struck(110, "OffsetCommit ledger on ledger#1->kafka"),
    ]
    again = [wire(140, "redis", "EVAL", f"claim:event-{number}") for number in (1, 2)]
    found = told(*at_commit, *again, commit(150, 2))
    assert found is not None
    assert [met.step.command for met in found] == ["EVAL", "OffsetCommit"]


def test_at_a_commit_that_was_sent_again_it_is_one_that_had_not_been_passed(told) -> None:
    places = [["orders", 0, 2], ["orders", 1, 1]]
    other = event(9) | {"partition": 1, "offset": 0}
    refused = commit(60, 2, kind="REBALANCE_IN_PROGRESS")
    both = (
        commit(100, 2, replica=1, phase="lost_request", t=120, places=places),
        struck(110, "OffsetCommit ledger on ledger#1->kafka"),
    )
    assert "event-1" in told(other, refused, *both, by=event_of).names
    for earlier in (commit(80, 2), commit(80, 2, phase="unanswered", kind=None)):
        assert "event-9" in told(other, refused, earlier, *both, by=event_of).names
    assert told(other, commit(80, 2), commit(90, 1, places=[["orders", 1, 1]]), *both, by=event_of) is None


def test_what_was_passed_does_not_come_again(told) -> None:
    executed = [
        commit(100, 2, replica=1, phase="lost_reply", t=120),
        struck(110, "the reply to OffsetCommit ledger on ledger#1->kafka"),
    ]
    assert told(*executed, commit(150, 3)) == ()


def test_a_message_that_names_no_known_event_is_none(told) -> None:
    lost = wire(100, "kafka", "Produce", "outbox", replica=1, phase="lost_request", t=120)
    assert told(lost, struck(110, "Produce outbox on ledger#1->kafka"), commit(150, 2)) is None
    assert told(wire(100, "kafka", "Produce", "outbox")) is None


def test_a_pairs_event_is_the_first_faults_though_the_second_met_a_commit_of_others_too(told) -> None:
    second = [
        commit(140, 3, phase="lost_request", t=160),
        struck(150, "OffsetCommit ledger on ledger#2->kafka") | {"fault": "f2"},
    ]
    event = told(*AT_CLAIM, *second, by=event_of)
    assert event is not None
    assert event.names == {"event-1", "raw-1", "up-1"}


def test_a_message_that_was_given_up_while_it_was_held_is_not_the_one(told) -> None:
    given_up = (
        wire(60, "redis", "EVAL", "r17:claim:event-2", replica=1, phase="unanswered", t=80),
        struck(70, "the reply to EVAL r17:claim:event-2 on ledger#1->redis"),
    )
    event = told(*given_up, *AT_CLAIM, by=event_of)
    assert event is not None
    assert event.names == {"event-1", "raw-1", "up-1"}


OWN = Step("redis", "EVAL", "*:claim:*", 1, 9)
ITS_COMMIT = Step("kafka", "OffsetCommit", "ledger", None, 9)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([OWN], ""),
        ([Step("redis", "EVAL", "*:claim:*:done", 1, 9)], "the reply to EVAL r17:claim:event-1 on ledger#1->redis"),
        ([Step("cache", "EVAL", "*:claim:*", 1, 9)], "the reply to EVAL r17:claim:event-1 on ledger#1->redis"),
        ([Step("redis", "EVALSHA", "*:claim:*", 1, 9)], "the reply to EVAL r17:claim:event-1 on ledger#1->redis"),
        ([OWN, ITS_COMMIT], ""),
        ([OWN, OWN], "OffsetCommit ledger on ledger#2->kafka"),
    ],
)
def test_a_fault_is_astray_at_any_message_but_the_steps_own(told, steps: list[Step], message: str) -> None:
    second = struck(150, "OffsetCommit ledger on ledger#2->kafka") | {"fault": "f2"}
    assert told(*AT_CLAIM, *([second] if len(steps) > 1 else []), by=partial(astray, steps=steps)) == message


def test_where_no_message_was_recorded_a_fault_is_astray(told) -> None:
    assert told(*AT_CLAIM, by=partial(astray, steps=[OWN, OWN])) == "one that was not recorded"
    by_the_clock = struck(110, "") | {"evidence": {"by_clock": "no message came"}}
    assert told(by_the_clock, by=partial(astray, steps=[OWN])) == "one that was not recorded"


TXN = Step("kafka", "TxnOffsetCommit", "ledger", None, 9)
ENDED = Step("kafka", "EndTxn", "ledger-1", None, 9)


def test_the_offsets_of_a_transaction_are_passed_at_its_end_alone() -> None:
    """Killed between the two, the consumer gets the event again."""
    met = (LIFE[0], Met(TXN, "ok", passes=True))
    for lineage in ([CLAIM, TXN, ENDED], [CLAIM, TXN]):
        made = pairs([first(CLAIM, KILLED, met)], lineage)
        assert {pair.action for pair in made.kept if pair.second == TXN} == set(ACTIONS)
        assert made.left_out[NOTHING] == 0


def test_a_commit_whose_transaction_was_not_heard_of_is_met_again(told) -> None:
    places = [["orders", 0, 2]]
    lost = wire(100, "kafka", "TxnOffsetCommit", "ledger", replica=1, phase="lost_reply", t=120, places=places)
    again = wire(140, "kafka", "TxnOffsetCommit", "ledger", places=places)
    found = told(lost, struck(110, "the reply to TxnOffsetCommit ledger on ledger#1->kafka"), again)
    assert [met.step.command for met in found] == ["TxnOffsetCommit"]


def test_a_commit_that_was_refused_passes_nothing(told) -> None:
    found = told(*AT_CLAIM, commit(140, 2, kind="REBALANCE_IN_PROGRESS"), commit(170, 2))
    assert found == (Met(Step("kafka", "OffsetCommit", "ledger", None, 1), "ok", passes=True),)


def test_what_names_no_event_and_comes_behind_the_commit_may_be_the_effect() -> None:
    met = (LIFE[0], LIFE[3])
    inserted = Step("postgres", "INSERT", "", None, 9)
    assert pairs([first(CLAIM, KILLED, met)], [CLAIM, COMMITTED]).left_out[NOTHING] == 2
    assert pairs([first(CLAIM, KILLED, met)], [CLAIM, COMMITTED, inserted]).left_out[NOTHING] == 0


@pytest.mark.parametrize(("why", "verdict"), [(UNNAMED, "unknown"), (EQUAL, "valid"), (NOTHING, "valid")])
def test_without_any_pair_nothing_was_shown_of_messages_that_name_no_event(why: str, verdict: str) -> None:
    assert PairMap(Pairs(left_out=Counter({why: 16}))).verdict == verdict
