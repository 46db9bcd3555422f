"""Deliveries that a death cut off: which count, how far they had come, and how they came again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.history.cuts import Cut, cuts
from harness.history.reader import History
from tests.histories.builder import MS, Tape, good_run
from tests.histories.cases import commit

KEY = "claim:placed-3"
"""``placed-3`` is at orders:1:1."""


def of(folder: Path, change: Callable[[Tape], None]) -> list[Cut]:
    with History(good_run(change).write(folder / "history.jsonl")) as history:
        return cuts(history)


def died(tape: Tape, *, looked: bool = True, again: str | None = "desk#2") -> None:
    """``desk#1`` asks for a claim and dies; a look between finds no effect; a replica gets the event again.

    Much later the desk commits an offset, so that its commits are known to pass a tap.
    """
    tape.wire(412, "desk#1->redis", "SET", key=KEY, kind="OK")
    tape.add(414, "service", "killed", name="desk#1")
    if looked:
        tape.look(414.2, "effects", took=0.3)
    if again is not None:
        tape.wire(416, f"{again}->redis", "SET", key=KEY, kind="OK")
    commit(tape, 440, "desk#2")


def applied(tape: Tape, **how: Any) -> None:
    """The look between finds the effect."""
    died(tape, **how)
    (look,) = tape.find("read", "invoke", t=int(414.2 * MS))
    tape.effect(look, "desk", "placed", 3)


def one(folder: Path, change: Callable[[Tape], None]) -> tuple[str, str | None, str | None]:
    (cut,) = of(folder, change)
    assert (cut.consumer, cut.event_id, cut.replica, cut.t) == ("desk", "placed-3", "desk#1", 414 * MS)
    return cut.stage, cut.again, cut.redis


def test_between_claim_and_effect(tmp_path: Path) -> None:
    assert one(tmp_path, died) == ("claimed", "other", "kept")


def test_at_the_same_replica_again(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape, again="desk#1")
        tape.add(415, "service", "started", name="desk#1")

    assert one(tmp_path, change) == ("claimed", "same", "kept")


def test_never_again(tmp_path: Path) -> None:
    assert one(tmp_path, lambda tape: died(tape, again=None)) == ("claimed", None, None)


def test_without_a_look_before_it_came_again_nobody_knows(tmp_path: Path) -> None:
    assert one(tmp_path, lambda tape: died(tape, looked=False)) == ("unseen", "other", "kept")


def test_with_the_effect(tmp_path: Path) -> None:
    assert one(tmp_path, applied) == ("applied", "other", "kept")


@pytest.mark.parametrize(
    ("began", "took", "stage"),
    [(413.5, 1.5, "applied"), (413.5, 4, "unseen"), (413.5, 2.5, "unseen"), (414.2, 4, "unseen")],
)
def test_the_effect_was_there_only_if_it_was_seen_before_the_event_came_again(
    tmp_path: Path, began: float, took: float, stage: str
) -> None:
    """A pass that takes long may have begun before the death, and see what was applied since."""

    def change(tape: Tape) -> None:
        died(tape, looked=False)
        look = tape.look(began, "effects", took=took)
        tape.effect(look, "desk", "placed", 3)["t"] = int((began + took) * MS)

    assert one(tmp_path, change)[0] == stage


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "nil"},
        {"changed": 0},
        {"kind": "error LOADING"},
        {"phase": "lost_request"},
        {"options": "NX EX GET", "kind": "bulk"},
        {"options": "XX GET", "kind": "nil"},
        {"command": "GET", "kind": "bulk"},
        {"command": "EXISTS", "kind": "integer"},
        {"command": "HGETALL", "kind": "array"},
        {"command": "EXPIRE", "kind": "integer"},
        {"command": "DEL", "kind": "integer", "changed": 0},
        {"command": "HSETNX", "kind": "error OOM"},
    ],
)
def test_what_was_not_granted_is_no_claim(tmp_path: Path, fields: dict[str, object]) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#1->redis").update(fields)

    assert one(tmp_path, change)[0] == "unclaimed"


@pytest.mark.parametrize(
    "fields",
    [
        {"options": "NX EX", "kind": "OK"},
        {"options": "NX EX GET", "kind": "nil"},
        {"options": "GET", "kind": "nil"},
        {"options": "GET", "kind": "bulk"},
        {"options": "XX GET", "kind": "bulk"},
        {"command": "SETNX", "kind": "integer", "changed": 1},
    ],
)
def test_what_was_granted_is_a_claim(tmp_path: Path, fields: dict[str, object]) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#1->redis").update(fields)

    assert one(tmp_path, change)[0] == "claimed"


@pytest.mark.parametrize(
    "fields",
    [
        {"phase": "unanswered"},
        {"kind": "QUEUED"},
        {"options": "IFEQ GET", "kind": "nil"},
        {"command": "INCR", "kind": "integer"},
        {"command": "HSETNX", "kind": "integer"},
        {"command": "SADD", "kind": "integer"},
        {"command": "SETEX", "kind": "OK"},
        {"command": "GETDEL", "kind": "bulk"},
    ],
)
def test_whether_it_was_claimed_is_not_known(tmp_path: Path, fields: dict[str, object]) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#1->redis").update(fields)

    assert one(tmp_path, change)[0] == "unseen"


@pytest.mark.parametrize(("command", "changed", "stage"), [("DEL", 1, "unseen"), ("UNLINK", 0, "claimed")])
def test_a_claim_that_was_given_back_is_none(tmp_path: Path, command: str, changed: int, stage: str) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.wire(412.5, "desk#1->redis", command, key=KEY, kind="integer", changed=changed, took=0.5)

    assert one(tmp_path, change)[0] == stage


@pytest.mark.parametrize(
    ("fields", "stage"),
    [
        ({"command": "SADD", "key": "seen"}, "unseen"),
        ({"command": "HSETNX", "key": "claims"}, "unseen"),
        ({"command": "EVAL"}, "unseen"),
        ({"command": "SET", "key": "lock:9f86d081", "options": "NX EX"}, "unseen"),
        ({"command": "SETNX", "key": "lock:9f86d081"}, "unseen"),
        ({"command": "INCR", "key": "lock:9f86d081"}, "unseen"),
        ({"command": "SET", "key": "rate:9f86d081", "options": "EX"}, "unclaimed"),
        ({"command": "SADD", "key": "seen:placed-1", "link": "desk#2->redis"}, "unclaimed"),
        ({"command": "INCRBY", "key": "total"}, "unclaimed"),
        ({"command": "SADD", "key": "seen", "link": "desk#1->kafka"}, "unclaimed"),
        ({"command": "SADD", "key": "seen", "link": "shop#1->redis"}, "unclaimed"),
    ],
)
def test_a_claim_whose_key_does_not_name_its_event_is_not_seen(
    tmp_path: Path, fields: dict[str, str], stage: str
) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#1->redis").update(command="GET", kind="nil")
        seen: dict[str, Any] = {"link": "desk#1->redis", "kind": "integer", **fields}
        tape.wire(300, **seen)

    assert one(tmp_path, change)[0] == stage


@pytest.mark.parametrize("kind", ["nil", "error OOM"])
def test_one_that_was_granted_no_claim_whose_key_names_an_event_may_claim_elsewhere(
    tmp_path: Path, kind: str
) -> None:
    """Such as by a row in a database, whose messages name tables only."""

    def change(tape: Tape) -> None:
        died(tape)
        for claim in tape.find("wire", command="SET"):
            claim["kind"] = kind

    assert one(tmp_path, change)[0] == "unseen"


def test_a_store_is_whatever_speaks_redis(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.header["plan"]["system"] = {"dependencies": {"redis": {"kind": "tcp", "speaks": "redis"}}}

    assert one(tmp_path, change) == ("claimed", "other", "kept")


def test_a_claim_whose_answer_was_lost_was_granted(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#1->redis")["phase"] = "lost_reply"

    assert one(tmp_path, change)[0] == "claimed"


def test_a_claim_that_an_earlier_delivery_may_have_left_tells_nothing(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.wire(405, "desk#2->redis", "SET", key=KEY, kind="OK")

    assert one(tmp_path, change)[0] == "unseen"


@pytest.mark.parametrize("phase", ["ok", "fail"])
def test_a_look_that_failed_may_have_seen_the_effect(tmp_path: Path, phase: str) -> None:
    """It is not seen again by the next one, which is whole."""

    def change(tape: Tape) -> None:
        died(tape, looked=False, again=None)
        look = tape.look(414.2, "effects", took=0.3, phase=phase)
        tape.effect(look, "desk", "placed", 3)
        tape.look(415, "effects", took=0.3)
        tape.wire(416, "desk#2->redis", "SET", key=KEY, kind="OK")

    assert one(tmp_path, change)[0] == "applied"


@pytest.mark.parametrize(
    ("fault", "link", "redis"),
    [
        (None, "", None),
        ("net.down", "desk#2->redis", "away"),
        ("net.hang", "desk#2->redis", "away"),
        ("net.latency", "desk#2->redis", None),
        ("net.down", "desk#2->blobs", None),
        ("net.down", "desk#1->redis", None),
    ],
)
def test_redis_is_away_only_if_it_could_not_be_asked(
    tmp_path: Path, fault: str | None, link: str, redis: str | None
) -> None:
    """The replica that got the event next asked Redis nothing; it may have died before."""

    def change(tape: Tape) -> None:
        died(tape, again=None)
        tape.wire(416, "desk#2->blobs", "GET", key="/blobs/b3", kind="200")
        if fault:
            tape.add(415, "fault", "injected", fault="f8", name=fault, target=link, heals=True)
            tape.add(420, "fault", "healed", fault="f8", name=fault, target=link, heals=True)

    assert one(tmp_path, change) == ("claimed", "other", redis)


@pytest.mark.parametrize("phase", ["refused", "refused_reply"])
def test_redis_is_not_away_if_a_tap_answered_for_it(tmp_path: Path, phase: str) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#2->redis")["phase"] = phase

    assert one(tmp_path, change)[2] is None


@pytest.mark.parametrize(("sharing", "stage"), [("placed-3", "applied"), ("placed-5", "unseen")])
def test_an_effect_that_several_events_could_have_tells_nothing(tmp_path: Path, sharing: str, stage: str) -> None:
    """By the desk's business key."""

    def change(tape: Tape) -> None:
        applied(tape)
        tape.checks["keyed"] = {"desk": "at /order"}
        for event in tape.find("event", event_type="placed"):
            key = "placed-3" if event["event_id"] == sharing else event["event_id"]
            event["keys"] = {"desk": key}
        for effect in tape.find("effect", consumer="desk"):
            effect["key"] = "placed-3" if effect["event_id"] == sharing else effect["event_id"]

    assert one(tmp_path, change)[0] == stage


def test_totals_alone_do_not_tell_what_has_been_applied(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.drop(tape.find("effect", consumer="desk"))

    assert one(tmp_path, change)[0] == "unseen"


@pytest.mark.parametrize("key", ["claim:u3", "/blobs/b3"])
@pytest.mark.parametrize(("type_", "cut_off"), [("placed", 0), ("audited", 1)])
def test_what_names_an_upload_is_of_no_event_of_several(
    tmp_path: Path, key: str, type_: str, *, cut_off: int
) -> None:
    """Such as of one that was published only after the death, when the upload was processed again."""

    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#1->redis")["key"] = key
        tape.event(tape.look(430, "topics"), 3, type_, 1, 10, event_id="second")
        commit(tape, 440, "desk#2", offset=11)

    assert len(of(tmp_path, change)) == cut_off


def test_who_was_given_the_upload_next_may_have_been_given_another_event(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#2->redis")["key"] = "claim:u3"
        tape.event(tape.look(430, "topics"), 3, "placed", 1, 10, event_id="second")
        commit(tape, 440, "desk#2", offset=11)

    assert one(tmp_path, change) == ("claimed", None, None)


def test_redis_did_not_answer_when_it_came_again(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#2->redis")["phase"] = "unanswered"

    assert one(tmp_path, change)[2] == "away"


def lose(tape: Tape, began: float, ended: float | None, *, target: str = "redis", emptied: bool = True) -> None:
    """A fault stops a store, which takes it half a millisecond, and brings it back empty or as it was."""
    name = "redis.lose" if emptied else "redis.restart"
    fault = {"fault": f"f-{target}", "name": name, "target": target, "heals": True}
    tape.add(began, "fault", "injected", **fault)
    tape.add(began + 0.5, "service", "killed" if emptied else "stopped", name=target, actor=f"fault:f-{target}")
    if ended is not None:
        tape.add(ended, "fault", "healed", **fault, evidence={"emptied": True} if emptied else {"keys": 7})


@pytest.mark.parametrize(
    ("windows", "redis"),
    [
        ([(415, 420)], "emptied"),
        ([(413, 415)], "emptied"),  # down at the death
        ([(413, 413.8)], "emptied"),  # back before, but this delivery asked it nothing more
        ([(411, 415)], None),  # what this delivery wrote may have come after
        ([(411.8, 415)], "emptied"),  # it wrote before
        ([(415.8, 420)], None),  # it came again before or after
        ([(408, 411)], "kept"),
        ([(417, 420)], "kept"),
        ([(415, None)], None),
        ([(200, 210), (415, 420)], "emptied"),  # of ``every``, each counts
        ([(200, 210), (417, 420)], "kept"),
        ([(410, 411), (415, 420)], "emptied"),
    ],
)
def test_redis_was_emptied_before_it_came_again(
    tmp_path: Path, windows: Sequence[tuple[float, float | None]], redis: str | None
) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        for began, ended in windows:
            lose(tape, began, ended)

    assert one(tmp_path, change)[2] == redis


def test_another_store_was_emptied(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        lose(tape, 415, 420, target="cache")

    assert one(tmp_path, change)[2] == "kept"


@pytest.mark.parametrize(("began", "ended"), [(415, 420), (415, None), (413, 415)])
def test_what_a_restart_of_redis_left_is_not_known(tmp_path: Path, began: float, ended: float | None) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        lose(tape, began, ended, emptied=False)

    assert one(tmp_path, change)[2] is None


def test_who_is_cut_off_from_redis_finds_it_as_it_was(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.add(415, "fault", "injected", fault="f2", name="net.partition", target="redis", heals=True)

    assert one(tmp_path, change)[2] == "kept"


@pytest.mark.parametrize("phase", ["answered", "lost_reply", "refused_reply", "cut_reply"])
def test_an_event_whose_offset_was_passed_is_over(tmp_path: Path, phase: str) -> None:
    def change(tape: Tape) -> None:
        applied(tape)
        commit(tape, 413, "desk#1", offset=2, phase=phase)

    assert not of(tmp_path, change)


@pytest.mark.parametrize("fields", [{"offset": 1}, {"phase": "lost_request"}, {"phase": "refused"}, {"places": []}])
def test_a_commit_that_passed_nothing_of_it_leaves_it_in_hand(tmp_path: Path, fields: dict[str, Any]) -> None:
    def change(tape: Tape) -> None:
        applied(tape)
        commit(tape, 413, "desk#1", **{"offset": 2, **fields})

    assert one(tmp_path, change)[0] == "applied"


@pytest.mark.parametrize("deed", [died, applied])
@pytest.mark.parametrize("fields", [{"phase": "unanswered"}, {"phase": "cut_request"}, {"places": None}])
def test_whether_its_offset_was_passed_is_not_known(
    tmp_path: Path, deed: Callable[[Tape], None], fields: dict[str, Any]
) -> None:
    def change(tape: Tape) -> None:
        deed(tape)
        commit(tape, 413, "desk#1", **{"offset": 2, "kind": None, **fields})

    assert one(tmp_path, change) == ("unseen", "other", "kept")


@pytest.mark.parametrize(("ms", "stage"), [(414.5, "unseen"), (416, "applied")])
def test_a_commit_that_comes_to_the_tap_after_the_death_may_be_a_dead_replicas(
    tmp_path: Path, ms: float, stage: str
) -> None:
    def change(tape: Tape) -> None:
        applied(tape)
        tape.add(415, "service", "started", name="desk#1")
        commit(tape, ms, "desk#1", offset=2)

    assert one(tmp_path, change)[0] == stage


def elsewhere(tape: Tape) -> None:
    """The desk keeps its offsets with its effects."""
    tape.drop(tape.find("wire", command="OffsetCommit"))


def of_another_topic(tape: Tape) -> None:
    """Those of this topic it keeps with its effects."""
    tape.one("wire", command="OffsetCommit")["places"] = [["shipping", 0, 9]]


@pytest.mark.parametrize("deed", [died, applied])
@pytest.mark.parametrize("change", [elsewhere, of_another_topic])
def test_who_commits_no_offset_at_a_tap_never_says_that_it_is_done(
    tmp_path: Path, deed: Callable[[Tape], None], change: Callable[[Tape], None]
) -> None:
    def both(tape: Tape) -> None:
        deed(tape)
        change(tape)

    assert not of(tmp_path, both)


@pytest.mark.parametrize("phase", ["plain", "failed"])
@pytest.mark.parametrize("link", ["desk#1->kafka", "desk#2->kafka", "desk#2->redis"])
def test_what_passes_a_tap_that_has_failed_is_not_known(tmp_path: Path, phase: str, link: str) -> None:
    def change(tape: Tape, ms: float) -> None:
        applied(tape)
        tape.add(ms, "wire", phase, link=link, error="NotUnderstood: b'x'")

    assert not of(tmp_path, lambda tape: change(tape, 411))
    assert not of(tmp_path, lambda tape: change(tape, 415))
    # Later it hides at most whether Redis was asked.
    assert one(tmp_path, lambda tape: change(tape, 418)) == ("applied", "other", None)


def test_another_services_tap_may_fail(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        applied(tape)
        tape.add(411, "wire", "plain", link="shop#1->kafka", error="NotUnderstood: b'x'")

    assert one(tmp_path, change)[0] == "applied"


def test_an_event_of_an_earlier_life_is_over(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.add(413, "service", "stopped", name="desk#1")
        tape.add(413.5, "service", "started", name="desk#1")

    assert not of(tmp_path, change)


def test_one_death_is_told_of_once(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.add(414.1, "service", "exited", name="desk#1", exit_status=-9)

    assert len(of(tmp_path, change)) == 1


def test_an_event_that_another_replica_has_in_hand_too_is_left_out(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.wire(413, "desk#2->redis", "SET", key=KEY, kind="nil")

    assert not of(tmp_path, change)


def test_an_event_that_was_applied_before_is_left_out(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        look = tape.look(408, "effects")
        tape.effect(look, "desk", "placed", 3)

    assert not of(tmp_path, change)


@pytest.mark.parametrize("key", ["claim:placed-31", "claim:7placed-3", "claim"])
def test_a_name_counts_only_whole(tmp_path: Path, key: str) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#1->redis")["key"] = key

    assert not of(tmp_path, change)


def test_the_upload_and_the_raw_blob_name_an_event_too(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape)
        tape.one("wire", link="desk#1->redis").update(link="desk#1->blobs", key="/blobs/b3")

    assert one(tmp_path, change) == ("unclaimed", "other", "kept")


def test_a_replica_that_came_back_can_die_again(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        died(tape, again=None)
        tape.add(416, "service", "started", name="desk#1")
        tape.wire(417, "desk#1->redis", "SET", key=KEY, kind="OK")
        tape.add(419, "service", "killed", name="desk#1")

    assert [cut.t for cut in of(tmp_path, change)] == [414 * MS, 419 * MS]


def test_an_effect_that_an_earlier_delivery_may_have_made_tells_nothing(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        applied(tape)
        tape.wire(405, "desk#2->redis", "SET", key=KEY, kind="OK")

    assert one(tmp_path, change)[0] == "unseen"
