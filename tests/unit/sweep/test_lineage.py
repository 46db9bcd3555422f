"""What one event causes, read from a run whose links had taps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.history.reader import History
from harness.sweep.lineage import ACTIONS, LeftOut, Step, lineage, scenario
from harness.taps.trigger import Pattern


@pytest.fixture
def history(tmp_path: Path):
    opened = []

    def write(*records: dict[str, object]) -> History:
        header = {"oneffect_history": 1, "run": "r17", "seed": 1, "plan_digest": "d", "plan": {}, "versions": {}}
        lines = [header, *({"i": i, "actor": "x", **record} for i, record in enumerate(records, 1))]
        path = tmp_path / f"history{len(opened)}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        opened.append(History(path))
        return opened[-1]

    yield write
    for one in opened:
        one.close()


def steps(history: History, service: str) -> list[Step]:
    return lineage(history, service)[0]


def event(number: int) -> dict[str, object]:
    ids = {"event_id": f"event-{number}", "upload_id": f"up-{number}", "raw_file_storage_id": f"raw-{number}"}
    return {"op": "event", "phase": "seen", "t": 1, **ids}


def passed(at: int, target: str, command: str, key: str | None, *, replica: str = "ledger#1", **fields: object):
    link = f"{replica}->{target}"
    return {
        "op": "wire",
        "phase": "answered",
        "t": at + 1,
        "t_begin": at,
        "link": link,
        "command": command,
        "key": key,
    } | fields


def life(number: int, at: int, replica: str = "ledger#1") -> list[dict[str, object]]:
    """A claim, the raw blob, the claim settled."""
    claim = f"r17:ledger:event-{number}"
    return [
        passed(at, "redis", "EVAL", claim, replica=replica),
        passed(at + 10, "store", "GET", f"/v1/content/raw-{number}", replica=replica),
        passed(at + 20, "redis", "EVAL", claim, replica=replica),
    ]


LIFE = [
    Step("redis", "EVAL", "*:ledger:*", 1, 2),
    Step("store", "GET", "/v1/content/*", 1, 2),
    Step("redis", "EVAL", "*:ledger:*", 2, 2),
]


def test_they_are_in_the_order_in_which_an_event_causes_them_though_events_interleave(history) -> None:
    records = [event(1), event(2), *life(1, 100), *life(2, 105, "ledger#2")]
    assert steps(history(*records), "ledger") == LIFE


def test_what_names_no_event_what_another_service_sends_and_what_happens_once_are_left_out(history) -> None:
    records = [
        *[event(number) for number in (1, 2)],
        *life(1, 100),
        *life(2, 200),
        passed(90, "redis", "GET", "settings"),
        passed(91, "redis", "GET", "settings"),
        passed(92, "redis", "SET", "event-1", replica="other#1"),
        passed(93, "redis", "SET", "event-2", replica="other#1"),
        passed(94, "redis", "DEL", "r17:ledger:event-1"),
        passed(95, "redis", "TTL", "event-1", phase="unanswered"),
        passed(96, "redis", "TTL", "event-2", phase="unanswered"),
    ]
    assert steps(history(*records), "ledger") == LIFE


def test_a_name_is_whole(history) -> None:
    records = [event(1), event(17), *life(1, 100), *life(17, 200), passed(1, "redis", "GET", "event-170")]
    assert steps(history(*records), "ledger") == LIFE
    assert not steps(
        history(event(1), passed(1, "redis", "GET", "xevent-1"), passed(2, "redis", "GET", "event-12")), "ledger"
    )


def test_a_commit_counts_for_the_event_that_the_replica_dealt_with_last(history) -> None:
    records = [
        *[event(number) for number in (1, 2)],
        passed(50, "postgres", "COMMIT", "settings"),
        *life(1, 100),
        passed(115, "postgres", "COMMIT", "inbox"),
        passed(116, "postgres", "COMMIT", "inbox", replica="ledger#2"),
        *life(2, 200),
        passed(215, "postgres", "COMMIT", "inbox"),
        passed(216, "postgres", "SELECT", "inbox"),
    ]
    commit = Step("postgres", "COMMIT", "inbox", None, 2)
    assert steps(history(*records), "ledger") == [*LIFE[:2], commit, LIFE[2]]
    assert "per_key" not in commit.fault(ACTIONS[1], "ledger#1")["when"]


def busy(number: int, at: int) -> list[dict[str, object]]:
    """A claim, a charge, a transaction of which the tap knows no table, a total."""
    return [
        passed(at, "redis", "SET", f"claim:event-{number}"),
        passed(at + 1, "payments", "POST", "/v1/charges"),
        passed(at + 2, "postgres", "SET", None),
        passed(at + 3, "postgres", "SELECT", None),
        passed(at + 4, "postgres", "COMMIT", None),
        passed(at + 5, "redis", "INCRBY", "total"),
        passed(at + 6, "payments", "PUT", f"/v1/charges/c{at}"),
        passed(at + 7, "redis", "GET", "settings"),
    ]


def test_what_changes_something_counts_for_the_event_whatever_its_key(history) -> None:
    records = [event(1), event(2), event(3), *busy(1, 100), *busy(2, 200), *busy(3, 300)]
    found, left = lineage(history(*records, passed(310, "redis", "PING", None)), "ledger")
    assert [(str(step), step.pattern) for step in found] == [
        ("redis: SET claim:*", "SET claim:{id}"),
        ("payments: POST /v1/charges", "POST /v1/charges"),
        ("postgres: COMMIT", "COMMIT"),
        ("redis: INCRBY total", "INCRBY total"),
    ]
    assert left == [
        LeftOut("payments", "PUT", 3),
        LeftOut("postgres", "SELECT", 3),
        LeftOut("postgres", "SET", 3),
        LeftOut("redis", "GET", 3),
    ], "a PUT each time to something else, too"


def test_the_row_of_a_schedule() -> None:
    step = Step("redis", "EVAL", "*:ledger:*", 2, 9)
    when = {"per_key": 2, "nth": 2}
    rows = {action.name: step.fault(action, "ledger#1") for action in ACTIONS}
    assert rows == {
        "killed before": {
            "fault": "service.kill",
            "on": "ledger#1",
            "when": {"request": "EVAL {id}:ledger:{id}", **when, "on": "ledger#1->redis"},
            "for": "500ms",
        },
        "killed after": {
            "fault": "service.kill",
            "on": "ledger#1",
            "when": {"reply": "EVAL {id}:ledger:{id}", **when, "on": "ledger#1->redis"},
            "for": "500ms",
        },
        "request lost": {
            "fault": "tap.lose_request",
            "on": "ledger#1->redis",
            "when": {"request": "EVAL {id}:ledger:{id}", **when},
        },
        "reply lost": {
            "fault": "tap.lose_reply",
            "on": "ledger#1->redis",
            "when": {"reply": "EVAL {id}:ledger:{id}", **when},
        },
    }


def claim_and_more(number: int, at: int, *, name: str = "event") -> list[dict[str, object]]:
    """A claim under the event's name, and under a longer one what the claim came to."""
    key = f"claim:{name}-{number}"
    return [passed(at, "redis", "SET", key), passed(at + 10, "redis", "SET", f"{key}:done")]


def test_the_pattern_of_a_step_matches_its_own_messages_and_no_longer_ones(history) -> None:
    found = steps(history(event(1), event(2), *claim_and_more(1, 100), *claim_and_more(2, 200)), "ledger")
    assert [step.message for step in found] == ["SET claim:*", "SET claim:*:done"]
    claim, done = (step.fault(ACTIONS[0], "ledger#1")["when"]["request"] for step in found)
    assert (claim, done) == ("SET claim:{id}", "SET claim:{id}:done")
    assert Pattern(claim).matches("SET", "claim:event-1")
    assert not Pattern(claim).matches("SET", "claim:event-1:done")


def test_names_of_several_parts_leave_the_pattern_open(history) -> None:
    """Nothing tells from its characters where such a name ends."""
    events = [event(number) | {"event_id": f"urn:event-{number}"} for number in (1, 2)]
    records = [*claim_and_more(1, 100, name="urn:event"), *claim_and_more(2, 200, name="urn:event")]
    found = steps(history(*events, *records), "ledger")
    assert [step.pattern for step in found] == ["SET claim:*", "SET claim:*:done"]
    stars = [passed(at, "redis", "SET", f"all*:event-{number}") for at, number in ((100, 1), (200, 2))]
    (step,) = steps(history(event(1), event(2), *stars), "ledger")
    assert step.pattern == "SET all*:*"


def test_a_scenario_keeps_the_load_and_nothing_else_of_its_base() -> None:
    base = {"oneffect": 1, "name": "base", "load": {"uploads": 4}, "drain": "9s", "tags": ["gate"], "faults": [1]}
    made = scenario(base, "m1", "../system.yaml", [], taps=True)
    kept = {"oneffect": 1, "load": {"uploads": 4}, "drain": "9s"}
    assert made == {**kept, "name": "m1", "system": "../system.yaml", "taps": "all"}
