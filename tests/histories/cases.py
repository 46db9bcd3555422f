"""What each history on disk changes in a good run. ``python -m tests.histories.cases`` writes the files anew."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.histories.builder import MS, REJECTED, UPLOADS, Record, Tape, accepted, final, good_run, kind_of, sha

FOLDER = Path(__file__).parent

LATE_BEGUN = 3000
"""Milliseconds: between the final offsets and the final effects of a good run."""


def effects_of(tape: Tape, event_id: str, consumer: str = "shop") -> list[dict]:
    return tape.find("effect", event_id=event_id, consumer=consumer)


def everywhere(tape: Tape, event_id: str) -> None:
    """Take an event's effects at both consumers away."""
    for consumer in ("shop", "desk"):
        tape.drop(effects_of(tape, event_id, consumer))


def committed(
    tape: Tape, value: int | None, *, partition: int = 0, consumer: str = "shop", only_final: bool = True
) -> None:
    """Say how far a group had come on a partition of orders."""
    for row in tape.find("offset", consumer=consumer, partition=partition, topic="orders"):
        if not only_final or row["read"] is final(tape, "offsets"):
            row["committed"] = value


def ends(tape: Tape, partition: int, end: int) -> None:
    """One record more, or less, was visible and passed on a partition of orders, in every look."""
    for row in tape.find("offset", partition=partition, topic="orders"):
        row["visible_end"] = row["committed"] = end


def topics(tape: Tape) -> dict:
    return tape.one("read", "invoke", what="topics", final=False)


def conflict(tape: Tape) -> dict:
    """The harness publishes other data under the id of placed-4, which both consumers pass."""
    ends(tape, 0, 12)
    return tape.event(
        topics(tape), 4, "placed", 0, 11, digest="c" * 8, injected="kafka.conflict", joins={}, upload_id=None
    )


def malformed(tape: Tape) -> dict:
    """The harness publishes a record that is no event, which both consumers pass."""
    ends(tape, 0, 12)
    return tape.malformed(topics(tape), 0, 11)


def letters(tape: Tape, kind: str, event: dict, *consumers: str) -> None:
    for n, consumer in enumerate(consumers):
        tape.letter(final(tape, "dead_letters"), n, consumer, kind, event)


def reading(tape: Tape, what: str, *, later: float, final_one: bool = True) -> None:
    """Move a pass with all its rows."""
    invoke = tape.one("read", "invoke", what=what, final=final_one)
    for record in tape.records:
        if record is invoke or record.get("of") is invoke or record.get("read") is invoke:
            record["t"] += int(later * MS)
            if "t_begin" in record:
                record["t_begin"] += int(later * MS)


def failing(tape: Tape, what: str) -> None:
    """The final pass of a kind fails."""
    tape.one("read", "ok", of=final(tape, what)).update(phase="fail", error="TimeoutError: no answer in 10 s")


# exactly one effect


def lost(tape: Tape) -> None:
    tape.drop(effects_of(tape, "placed-4"))


def duplicate(tape: Tape) -> None:
    tape.effect(final(tape, "effects"), "shop", "placed", 4, effect="shop-entry-4-again")


def duplicate_under_one_name(tape: Tape) -> None:
    """The query names effects by a business key: two rows of one pass are two effects all the same."""
    tape.effect(final(tape, "effects"), "shop", "placed", 4)


def unexercised(tape: Tape) -> None:
    """The system file names a type that nobody publishes."""
    tape.checks["consumers"]["clerk"] = ["plaecd"]


def waiting_at_rest(tape: Tape) -> None:
    """A record stood before the group when the run had taken the system for at rest."""
    stalled(tape)
    tape.add(13_000, "run", "drained")


def not_at_rest(tape: Tape) -> None:
    tape.add(13_000, "run", "deadline", evidence={"backlog": 3, "awaited": 2, "passed_per_second": 1.5})


def refused_wrongly(tape: Tape) -> None:
    tape.upload(260, 30, phase="unknown")
    tape.upload(270, 30, phase="fail")


def phantom(tape: Tape) -> None:
    tape.effect(final(tape, "effects"), "shop", "placed", 99)


def corrupt(tape: Tape) -> None:
    for effect in effects_of(tape, "placed-4"):
        effect["digest"] = "d" * 8


def rounded_integers(tape: Tape) -> dict:
    """The data of placed-4 has integers that a double cannot hold."""
    event = tape.one("event", event_id="placed-4")
    event["digest_rounded"] = "r" * 8
    return event


def corrupt_though_integers_are_rounded(tape: Tape) -> None:
    """Neither form of what was published is what the effect carries."""
    rounded_integers(tape)
    corrupt(tape)


def type_not_applied(tape: Tape) -> None:
    """The desk has an effect of a type that the system file does not name."""
    tape.effect(final(tape, "effects"), "desk", "refused", REJECTED)


def effect_vanished(tape: Tape) -> None:
    tape.effect(
        tape.one("read", "invoke", what="effects", final=False), "shop", "placed", 4, effect="shop-entry-4-first"
    )


def conflated(tape: Tape) -> None:
    tape.drop(tape.injected(event := conflict(tape)))
    event["joins"] = {"0": "u4", "1": "order-4"}


def conflated_in_rounded_digits(tape: Tape) -> None:
    """The two facts differ only in digits that a double cannot hold."""
    conflated(tape)
    for event in tape.find("event", event_id="placed-4"):
        event["digest_rounded"] = "r" * 8


def conflated_under(tape: Tape, event_id: str) -> None:
    """An event has the id and the data of placed-4, and so no effect of its own."""
    everywhere(tape, event_id)
    other = tape.one("event", event_id="placed-4")
    tape.one("event", event_id=event_id).update(event_id="placed-4", digest=other["digest"])


def conflated_of_two_types(tape: Tape) -> None:
    conflated_under(tape, "refused-7")


def conflated_of_two_uploads(tape: Tape) -> None:
    conflated_under(tape, "placed-6")


def total_undecided_of_two_uploads(tape: Tape) -> None:
    """Two orders of one amount have one id: the purse adds up one of them."""
    with_totals(tape)
    conflated_under(tape, "placed-8")
    tape.one("event", upload_id="u8")["amounts"] = {"purse": "16.25"}
    moved_by(tape, "acc-0", "-256.25")


def conflict_unreported(tape: Tape) -> None:
    letters(tape, "conflict", conflict(tape), "desk")


def effect_and_dead_letter(tape: Tape) -> None:
    letters(tape, "poison", tape.one("event", event_id="placed-4"), "shop")


def neither(tape: Tape) -> None:
    letters(tape, "malformed", malformed(tape), "shop")


def dead_lettered_wrongly(tape: Tape) -> None:
    tape.drop(effects_of(tape, "placed-4"))
    letters(tape, "poison", tape.one("event", event_id="placed-4"), "shop")


def premature_commit(tape: Tape) -> None:
    # Offsets were read at 420 ms, effects at 430 ms; this one is there only in the final pass.
    tape.drop(effects_of(tape, "placed-4")[:1])


def premature_commit_before_a_copy(tape: Tape) -> None:
    """A fault publishes a copy of the event when its offset is passed already."""
    premature_commit(tape)
    tape.event(tape.look(440, "topics"), 4, "placed", 0, 11, injected="kafka.duplicate")
    for row in tape.find("offset", partition=0, topic="orders", read=final(tape, "offsets")):
        row["visible_end"] = row["committed"] = 12


def stalled(tape: Tape) -> None:
    committed(tape, 10, only_final=False)
    tape.drop(effects_of(tape, "placed-20"))


def arrived_late(tape: Tape) -> None:
    last = tape.one("read", "invoke", what="topics", final=True)
    tape.event(last, 4, "placed", 0, 11, injected="kafka.duplicate")


def multiplicity_unseen(tape: Tape) -> None:
    for effect in tape.find("effect", consumer="desk"):
        effect["effect"] = effect["event_id"]


def undecided(tape: Tape) -> None:
    lost(tape)
    reading(tape, "effects", later=-LATE_BEGUN / 2)


def dead_letter_doubled(tape: Tape) -> None:
    event = malformed(tape)
    letters(tape, "malformed", event, "shop", "desk", "shop")


def multiplicity_unseen_by_an_order(tape: Tape) -> None:
    """The desk's effects are rows of a table whose key is the order's number, which the event carries."""
    for effect in tape.find("effect", consumer="desk"):
        number = effect["event_id"].removeprefix("placed-")
        effect.update(effect=f"order-{number}", template="order-{/data/number}")


def by_key(tape: Tape, consumer: str = "desk") -> None:
    """The effects of a consumer name the order's number, which the events hold, in place of the event's id."""
    tape.checks["keyed"] = {consumer: "/data/order"}
    for event in tape.find("event", event_type="placed"):
        event["keys"] = {consumer: event["event_id"].replace("placed", "A")}
    for effect in tape.find("effect", consumer=consumer):
        effect["key"] = effect["event_id"].replace("placed", "A")


def key_shared(tape: Tape) -> None:
    """Two events have one order's number: their two effects may be one event's, applied twice."""
    by_key(tape)
    tape.one("event", event_id="placed-6")["keys"] = {"desk": "A-4"}
    for effect in tape.find("effect", key="A-6"):
        effect["key"] = "A-4"


def key_missing(tape: Tape) -> None:
    """An event has no order's number: nobody knows whether it has an effect."""
    by_key(tape)
    tape.one("event", event_id="placed-4")["keys"] = {}
    tape.drop(tape.find("effect", key="A-4"))


def keys_differ(tape: Tape) -> None:
    """The query gives another number than the events have."""
    by_key(tape)
    for effect in tape.find("effect", consumer="desk"):
        effect["key"] = effect["key"].replace("A-", "row ")


def duplicate_by_key(tape: Tape) -> None:
    by_key(tape)
    (effect,) = tape.find("effect", key="A-4", read=final(tape, "effects"))
    tape.records.append({**effect, "effect": "desk-entry-4-again"})


def lost_by_key(tape: Tape) -> None:
    by_key(tape)
    tape.drop(tape.find("effect", key="A-4"))


def lost_of_a_shared_key(tape: Tape) -> None:
    """Two events have one key, and there is no effect of it at all: both are lost."""
    key_shared(tape)
    tape.drop(tape.find("effect", key="A-4"))


def phantom_by_key(tape: Tape) -> None:
    by_key(tape)
    (effect,) = tape.find("effect", key="A-4", read=final(tape, "effects"))
    tape.records.append({**effect, "effect": "desk-entry-99", "key": "A-99", "digest": None})


def corrupt_by_key(tape: Tape) -> None:
    by_key(tape)
    for effect in tape.find("effect", key="A-4"):
        effect["digest"] = "d" * 8


def id_differs_by_key(tape: Tape) -> None:
    """The table has the number in lower case."""
    by_key(tape)
    for effect in tape.find("effect", key="A-4"):
        effect["key"] = "a-4"


def multiplicity_unseen_by_key(tape: Tape) -> None:
    """The table is unique by the order's number."""
    by_key(tape)
    for effect in tape.find("effect", consumer="desk"):
        effect["effect"] = effect["key"]


def undecided_by_key(tape: Tape) -> None:
    """Two effects have one key, but a record that nobody can read as an event may have it too."""
    duplicate_by_key(tape)
    event = malformed(tape)
    tape.drop(tape.injected(event))
    event.pop("marked", None)
    letters(tape, "malformed", event, "shop", "desk")


def effects_by_a_business_key(tape: Tape) -> None:
    by_key(tape)


def effects_on_a_topic_that_a_fault_wrote_to(tape: Tape) -> None:
    """The effects are records of a topic, on which a fault published one of them again, and bytes that are none."""
    for effect in tape.find("effect", consumer="desk"):
        n = int(effect["event_id"].removeprefix("placed-"))
        effect.update(effect=f"billed:0:{n}", topic="billed", partition=0, offset=n)
    place = {"topic": "billed", "partition": 0, "offset": 500}
    for effect in effects_of(tape, "placed-4", "desk"):
        tape.records.append({**effect, **place, "effect": "billed:0:500", "marked": "kafka.duplicate"})
    tape.publish(300, "kafka.duplicate", place, offset=500)
    place = {"topic": "billed", "partition": 0, "offset": 501}
    tape.publish(310, "kafka.malformed", place, offset=501)
    tape.seen(final(tape, "effects"), "effect", {"consumer": "desk", **place, "error": "not JSON"})


def record_unreadable_of_effects(tape: Tape) -> None:
    """A record of the topic of effects names no event."""
    read = final(tape, "effects")
    place = {"topic": "billed", "partition": 0, "offset": 3}
    tape.seen(read, "effect", {"consumer": "desk", **place, "error": "it has nothing at `id`"})


def with_totals(tape: Tape, *, opened: int = 1000) -> None:
    """A purse adds the amount of each order to its account, of which there are four; each order has another amount."""
    tape.checks["totals"] = {"purse": {"types": ["placed"], "by": "/data/account", "adds": "/data/amount"}}
    sums = {f"acc-{n}": opened * 100 for n in range(4)}
    before = tape.look(2, "totals")
    during, after = tape.look(432, "totals"), tape.look(14_405, "totals", final=True)
    for account, cents in sums.items():
        tape.total(before, account, cents)
    for event in tape.find("event", event_type="placed"):
        n = int(event["event_id"].removeprefix("placed-"))
        event["keys"] = {**event.get("keys", {}), "purse.total": f"acc-{n % 4}"}
        event["amounts"] = {"purse": f"{2**n}.25"}
        sums[f"acc-{n % 4}"] += 2**n * 100 + 25
    for read in (during, after):
        for account, cents in sums.items():
            tape.total(read, account, cents)
    for read in tape.find("read", "invoke", what="offsets"):
        for partition in (0, 1):
            tape.offset(read, "purse", ("orders", partition), committed=11, end=11)


def totals_alone(tape: Tape) -> None:
    """No effects are described, only the purse's accounts."""
    with_totals(tape)
    tape.checks["consumers"] = {}
    tape.drop(tape.find("effect"))
    tape.drop(row for row in tape.find("offset") if row["consumer"] != "purse")


def neither_of_a_total(tape: Tape) -> None:
    """The purse drops a malformed record of a type that it adds up."""
    with_totals(tape)
    event = malformed(tape)
    event["event_type"] = "placed"
    letters(tape, "malformed", event, "shop", "desk")


def neither_of_totals_alone(tape: Tape) -> None:
    totals_alone(tape)
    malformed(tape)


def neither_of_silent_totals_alone(tape: Tape) -> None:
    """The purse keeps its offsets elsewhere."""
    neither_of_totals_alone(tape)
    tape.drop(tape.find("offset"))


def dead_lettered_wrongly_of_totals_alone(tape: Tape) -> None:
    """The purse adds an event up, and sets it aside as well."""
    totals_alone(tape)
    letters(tape, "poison", tape.one("event", event_id="placed-4"), "purse")


def moved_by(tape: Tape, account: str, amount: str) -> None:
    """A sum is off by an amount from the first look after the load on."""
    for one in tape.find("total", key=account)[1:]:
        one["total"] = str(Decimal(one["total"]) + Decimal(amount))


def total_wrong(tape: Tape) -> None:
    """The event placed-4 was applied twice."""
    with_totals(tape)
    moved_by(tape, "acc-0", "16.25")


def total_wrong_of_a_lost_event(tape: Tape) -> None:
    with_totals(tape)
    moved_by(tape, "acc-1", "-32.25")


def total_wrong_of_two(tape: Tape) -> None:
    """One was applied twice, another never."""
    with_totals(tape)
    moved_by(tape, "acc-0", "240")


def total_wrong_for_no_reason(tape: Tape) -> None:
    """Nobody's event is worth a cent."""
    with_totals(tape)
    moved_by(tape, "acc-0", "0.01")


def total_wrong_without_a_row(tape: Tape) -> None:
    with_totals(tape, opened=0)
    tape.drop(tape.find("total", key="acc-2"))


def total_wrong_whatever_was_replayed(tape: Tape) -> None:
    """Nobody knows whether the letter of placed-4 was replayed, and neither answer explains the sum."""
    total_unclear_replay(tape)
    moved_by(tape, "acc-0", "-1")


def total_undecided(tape: Tape) -> None:
    """An event has no account."""
    with_totals(tape)
    del tape.one("event", event_id="placed-4")["keys"]["purse.total"]
    moved_by(tape, "acc-0", "-16.25")


def total_undecided_without_an_amount(tape: Tape) -> None:
    with_totals(tape)
    tape.one("event", event_id="placed-4")["amounts"] = {}


def total_undecided_before(tape: Tape) -> None:
    """The sums were not read before the load."""
    with_totals(tape)
    first = min(tape.find("read", "ok", what="totals"), key=lambda read: read["t"])
    first.update(phase="fail", error="TimeoutError: no answer")


def total_undecided_by_its_key(tape: Tape) -> None:
    with_totals(tape)
    for one in tape.find("total"):
        one["key"] = one["key"].replace("acc-", "row ")


def total_undecided_by_its_spelling(tape: Tape) -> None:
    """The table has one account in capitals."""
    with_totals(tape)
    for one in tape.find("total", key="acc-1"):
        one["key"] = "ACC-1"


def total_undecided_of_nothing(tape: Tape) -> None:
    """The system file names a type that nobody publishes."""
    with_totals(tape)
    tape.drop(tape.find("total"))
    tape.checks["totals"]["purse"]["types"] = ["plaecd"]


def total_undecided_too_early(tape: Tape) -> None:
    total_wrong(tape)
    reading(tape, "totals", later=-LATE_BEGUN / 2)


def total_undecided_illegible(tape: Tape) -> None:
    """The sum is off, and a record that nobody can read as an event may say why."""
    total_wrong(tape)
    event = malformed(tape)
    tape.drop(tape.injected(event))
    event.pop("marked", None)
    letters(tape, "malformed", event, "shop", "desk", "purse")


def total_cancels(tape: Tape) -> None:
    """Two orders of one account have one amount: of these, one lost and one applied twice would not show."""
    with_totals(tape)
    tape.one("event", event_id="placed-4")["amounts"] = {"purse": "1.25"}
    moved_by(tape, "acc-0", "-15")


def total_cancels_of_nothing(tape: Tape) -> None:
    """An order of no amount: whether it was applied, or how often, changes nothing."""
    with_totals(tape)
    tape.one("event", event_id="placed-4")["amounts"] = {"purse": "0"}
    moved_by(tape, "acc-0", "-16.25")


def total_cancels_of_opposite_amounts(tape: Tape) -> None:
    """An order and its refund: that neither was applied does not show."""
    with_totals(tape)
    tape.one("event", event_id="placed-4")["amounts"] = {"purse": "-1.25"}
    moved_by(tape, "acc-0", "-17.5")


def totals_that_are_right(tape: Tape) -> None:
    with_totals(tape)


def total_counted_beside(tape: Tape) -> None:
    """Two orders of one account have one amount, and the desk, which keeps the accounts too, has an effect of each."""
    total_cancels(tape)
    tape.checks["totals"]["desk"] = tape.checks["totals"].pop("purse")
    tape.drop(tape.find("offset", consumer="purse"))
    for one in tape.find("total"):
        one["consumer"] = "desk"
    for event in tape.find("event", event_type="placed"):
        event["keys"] = {"desk.total": event["keys"]["purse.total"]}
        event["amounts"] = {"desk": event["amounts"]["purse"]}


def total_unclear_replay(tape: Tape) -> None:
    """The purse set placed-4 aside; nobody knows whether its replay was granted, and it was not applied."""
    with_totals(tape)
    moved_by(tape, "acc-0", "-16.25")
    place = {"source_topic": "orders", "source_partition": 0, "source_offset": 2}
    about = {"consumer": "purse", "event_id": "placed-4", **place}
    tape.add(460, "replay", "unknown", of=tape.add(450, "replay", "invoke", **about), **about)


def total_replay_without_an_answer(tape: Tape) -> None:
    """The purse set placed-4 aside; nobody knows whether its replay was granted, and it was applied."""
    total_unclear_replay(tape)
    moved_by(tape, "acc-0", "16.25")


def total_undecided_for_a_copy(tape: Tape) -> None:
    """Of placed-4 a copy was passed, but not the original: another replica may be at work on it."""
    with_totals(tape)
    moved_by(tape, "acc-0", "-16.25")
    tape.event(topics(tape), 4, "placed", 1, 11, injected="kafka.duplicate")
    ends(tape, 1, 12)
    for row in tape.find("offset", consumer="purse", partition=0):
        row["committed"] = 2
    tape.add(10_000, "run", "drained")


def total_cancels_apart(tape: Tape) -> None:
    """Effects are counted as well, but in another store: what is committed here may be lost there."""
    total_counted_beside(tape)
    tape.checks["totals"]["desk"]["apart"] = True


def id_differs(tape: Tape) -> None:
    for effect in effects_of(tape, "placed-4"):
        effect["event_id"] = "PLACED-4"


def dead_letter_contradicts(tape: Tape) -> None:
    """It names an event that was applied, and the place of a malformed record."""
    letters(tape, "malformed", malformed(tape), "desk")
    event = tape.one("event", event_id="orders:0:11")
    tape.letter(final(tape, "dead_letters"), 5, "shop", "malformed", event, event_id="placed-4")


def dead_letter_contradicts_an_event(tape: Tape) -> None:
    """It names a malformed record, and the place of an event that has no effect; the place decides."""
    dead_lettered_wrongly(tape)
    tape.one("dead_letter")["event_id"] = "orders:0:99"


def offsets_unseen(tape: Tape) -> None:
    """The desk keeps its offsets in its own database."""
    tape.drop(tape.find("offset", consumer="desk"))


def lost_without_offsets(tape: Tape) -> None:
    """A consumer that never subscribed: no offset, no effect, and nothing moves any more."""
    tape.drop(tape.find("offset", consumer="desk"))
    tape.drop(tape.find("effect", consumer="desk"))


def without_a_place(tape: Tape, **named: Any) -> None:
    """No dead letter names the place of its record, apart from what is given."""
    for letter in tape.find("dead_letter"):
        letter.update({"source_topic": None, "source_partition": None, "source_offset": None, **named})


def undecided_letter_without_a_place(tape: Tape) -> None:
    """A malformed record claims an event's id, and that is all that the dead letters name."""
    event = malformed(tape)
    event.update(claims="placed-4", event_type="placed")
    letters(tape, "malformed", event, "shop", "desk")
    without_a_place(tape, event_id="placed-4")


def undecided_letter_with_a_topic(tape: Tape) -> None:
    """The dead letters name the topic, and neither partition nor offset nor id."""
    letters(tape, "malformed", malformed(tape), "shop", "desk")
    without_a_place(tape, source_topic="orders", event_id=None)


def undecided_letter_of_either(tape: Tape) -> None:
    """A dead letter without a kind or a place may be about an event, or about the malformed record that claims its id."""
    event = malformed(tape)
    event["claims"] = "placed-4"
    letters(tape, "unsaid", event, "shop", "desk")
    without_a_place(tape, event_id="placed-4")


def dead_letter_unmatched(tape: Tape) -> None:
    """The system file's pointer leads to the letter's own id, and the event was applied."""
    effect_and_dead_letter(tape)
    without_a_place(tape, event_id="letter-0")


def dead_letter_unmatched_in_spelling(tape: Tape) -> None:
    effect_and_dead_letter(tape)
    without_a_place(tape, event_id="Placed-4")


def dead_letter_unmatched_elsewhere(tape: Tape) -> None:
    """It names a place on a topic that is not read, and no id."""
    effect_and_dead_letter(tape)
    tape.one("dead_letter").update(event_id=None, source_topic="orders-retry")


def dead_letter_unmatched_of_nothing(tape: Tape) -> None:
    """It names nothing, and no record is malformed."""
    effect_and_dead_letter(tape)
    without_a_place(tape, event_id=None, kind="malformed")


def dead_letter_unmatched_of_nobody(tape: Tape) -> None:
    """Nor does it name a service."""
    effect_and_dead_letter(tape)
    without_a_place(tape, event_id="letter-0", consumer="schop")
    tape.header["plan"]["system"] = {"services": {"shop": {}, "desk": {}}}


def undecided_letter_of_an_event_called_malformed(tape: Tape) -> None:
    """It names an event that was applied, and says that a record was malformed; none is."""
    effect_and_dead_letter(tape)
    without_a_place(tape, kind="malformed")


def lost_beside_a_letter_of_a_malformed_record(tape: Tape) -> None:
    """A letter of a malformed record that claims the id of the lost event stands for no effect."""
    event = malformed(tape)
    event.update(claims="placed-4", event_type="placed")
    letters(tape, "malformed", event, "shop", "desk")
    without_a_place(tape, event_id="placed-4")
    lost(tape)


def undecided_letter_of_a_copy(tape: Tape) -> None:
    """Desk's letter names the place of a copy on a retry topic that is not read."""
    letters(tape, "malformed", malformed(tape), "shop", "desk")
    tape.one("dead_letter", consumer="desk").update(source_topic="orders-retry", source_offset=0)


def undecided_letter_of_anyone(tape: Tape) -> None:
    """A letter at the place of a malformed record does not say whose it is; desk has left no other."""
    letters(tape, "malformed", malformed(tape), "shop", "desk")
    tape.one("dead_letter", consumer="desk")["consumer"] = None


def undecided_conflict_of_anyone(tape: Tape) -> None:
    """Nor does the report of a conflict."""
    letters(tape, "conflict", conflict(tape), "shop", "desk")
    tape.one("dead_letter", consumer="shop")["consumer"] = None


def letter_of_another_service(tape: Tape) -> None:
    """A service whose effects are not described sets aside what it reads elsewhere."""
    record = {"topic": "mails", "partition": 0, "offset": 7, "event_id": "mail-7"}
    letters(tape, "poison", record, "mailer")
    tape.header["plan"]["system"] = {"services": {"shop": {}, "desk": {}, "mailer": {}}}


def undecided_conflict_without_a_name(tape: Tape) -> None:
    """Shop's dead letter says that there was a conflict, and not which."""
    letters(tape, "conflict", conflict(tape), "shop", "desk")
    tape.one("dead_letter", consumer="shop").update(
        source_topic=None, source_partition=None, source_offset=None, event_id=None
    )


def neither_beside_a_letter_without_a_place(tape: Tape) -> None:
    """Shop's dead letters name no place: one is about an event that was published, another about another topic."""
    letters(tape, "malformed", malformed(tape), "desk")
    everywhere(tape, "refused-7")
    tape.letter(final(tape, "dead_letters"), 6, "shop", "poison", tape.one("event", event_id="refused-7"))
    tape.letter(final(tape, "dead_letters"), 7, "shop", "malformed", tape.one("event", event_id="shipped-4"))
    for letter in tape.find("dead_letter", consumer="shop"):
        letter.update(source_partition=None, source_offset=None, source_topic=None)
    tape.one("dead_letter", kind="malformed", consumer="shop").update(source_topic="shipping", event_id=None)


def letters_that_name_nothing(tape: Tape) -> None:
    """Each consumer set one record aside as malformed, and says no more of it; there is one."""
    letters(tape, "malformed", malformed(tape), "shop", "desk")
    without_a_place(tape, event_id=None)


def undecided_letters_of_some(tape: Tape) -> None:
    """Of two malformed records each consumer left two letters, which do not say of which: both may be about one of them."""
    malformed(tape)
    ends(tape, 0, 13)
    letters(tape, "malformed", tape.malformed(topics(tape), 0, 12), "shop", "desk", "shop", "desk")
    without_a_place(tape, event_id=None)


def letters_that_name_a_record_without_a_place(tape: Tape) -> None:
    """A malformed record's id is its place."""
    letters(tape, "malformed", malformed(tape), "shop", "desk")
    without_a_place(tape)


def undecided_conflict_that_may_be_unread(tape: Tape) -> None:
    """A dead letter is about a second fact, of which nobody knows, for the topics were not read to their end."""
    event = conflict(tape)
    letters(tape, "conflict", event, "shop", "desk")
    tape.drop([event])
    failing(tape, "topics")


def undecided_cause_that_may_be_unread(tape: Tape) -> None:
    """Two follow-ups of one number, whose second order may stand where the topics were not read."""
    sharing_a_key(tape, "placed-4", "placed-6")
    tape.drop([tape.one("event", event_id="placed-6")])
    everywhere(tape, "placed-6")
    failing(tape, "topics")


def undecided_cause_that_may_be_illegible(tape: Tape) -> None:
    """Two follow-ups of one number, whose second order may be a record that cannot be read as an event."""
    sharing_a_key(tape, "placed-4", "placed-6")
    event = tape.one("event", event_id="placed-6")
    everywhere(tape, "placed-6")
    event.update(event_id="orders:0:3", malformed="not JSON", joins=None, upload_id=None, event_type=None)
    letters(tape, "malformed", event, "shop", "desk")


def lost_after_a_replay(tape: Tape) -> None:
    """Its dead letter was taken back, and nothing came of it."""
    replayed(tape)
    tape.drop(effects_of(tape, "placed-4"))


def kept_elsewhere(tape: Tape) -> None:
    """Shop commits no offset on the topic refunds, but each of its events has its effect."""
    tape.event(topics(tape), 4, "placed", 0, 0, topic="refunds")
    for read in tape.find("read", "invoke", what="offsets"):
        tape.offset(read, "shop", ("refunds", 0), committed=None, end=1)


def committed_behind(tape: Tape) -> None:
    """Shop commits every eighth record; all its effects are there."""
    committed(tape, 8, only_final=False)


def committed_behind_a_letter(tape: Tape) -> None:
    """Shop has set the only record of refunds aside, and commits no offset there."""
    event = tape.malformed(topics(tape), 0, 0, topic="refunds", event_id="refunds:0:0")
    letters(tape, "malformed", event, "shop")
    for read in tape.find("read", "invoke", what="offsets"):
        tape.offset(read, "shop", ("refunds", 0), committed=None, end=1)


def committed_behind_a_letter_of_an_event(tape: Tape) -> None:
    """Each of two facts with one id was set aside as a conflict; the offset of the second stays behind."""
    letters(tape, "conflict", conflict(tape), "shop", "desk")
    committed(tape, 11, only_final=False)


def stalled_behind_what_is_done(tape: Tape) -> None:
    """Shop works ahead of its offset, and stands still before placed-20."""
    stalled(tape)
    committed(tape, 8, only_final=False)


def stalled_before_another_fact(tape: Tape) -> None:
    """Shop has the effect of the one fact, and stands still before the other, which has its id."""
    letters(tape, "conflict", conflict(tape), "desk")
    committed(tape, 11, only_final=False)


def stalled_head(tape: Tape) -> None:
    """One record blocks its partition: the three behind it wait for no reason of their own."""
    committed(tape, 7, only_final=False)
    for event in ("placed-14", "placed-16", "placed-18", "placed-20"):
        tape.drop(effects_of(tape, event))


def undecided_slow(tape: Tape) -> None:
    """The group still moved a little while before the end: it is slow, and not stuck."""
    stalled(tape)
    moving(tape, 8000)


def lost_after_its_receipt(tape: Tape) -> None:
    """Offsets say what the consumer has stored, and nothing moves any more."""
    lost(tape)
    tape.checks["deferred"] = ["shop"]


def undecided_after_its_receipt(tape: Tape) -> None:
    """The consumer still applied what it had stored a little while before the end."""
    lost_after_its_receipt(tape)
    moving(tape, 8000)


def undecided_conflict_after_its_receipt(tape: Tape) -> None:
    """Shop and desk may still report what they have stored, for somebody is not well at the end."""
    conflict_unreported(tape)
    unwell(tape)


def undecided_malformed_after_its_receipt(tape: Tape) -> None:
    """The same of a record that they have to set aside."""
    neither(tape)
    unwell(tape)


def unwell(tape: Tape) -> None:
    """All consumers work after their offsets, and a service that is none of them is ill at the end."""
    tape.checks["deferred"] = ["shop", "desk"]
    end = max(record["t"] for record in tape.find("health", when="end"))
    tape.add(end / MS + 0.1, "health", "bad", name="mailer", when="end", error="no answer")


def total_wrong_after_its_receipt(tape: Tape) -> None:
    total_wrong_of_a_lost_event(tape)
    tape.checks["deferred"] = ["purse"]


def total_undecided_after_its_receipt(tape: Tape) -> None:
    total_wrong_after_its_receipt(tape)
    moving(tape, 8000)


def overwritten(tape: Tape) -> None:
    """An upload's event was published, and the broker got other bytes: it is on no topic, and nothing follows from it."""
    everywhere(tape, "placed-4")
    tape.drop(tape.find("event", event_id="shipped-4"))
    letters(tape, "malformed", tape.overwrite(tape.one("event", event_id="placed-4")), "shop", "desk")


def neither_of_what_was_overwritten(tape: Tape) -> None:
    """Desk passes the bytes, and sets nothing aside."""
    overwritten(tape)
    tape.drop(tape.find("dead_letter", consumer="desk"))


def undecided_after_what_was_overwritten(tape: Tape) -> None:
    """A batch needs all its events, and one of them was overwritten."""
    overwritten(tape)
    tape.drop(tape.find("event", event_id="closed-2"))


def undecided_after_what_was_overwritten_unread(tape: Tape) -> None:
    """The record that was overwritten is no JSON that every parser reads, or nobody knows which one it was."""
    overwritten(tape)
    record = tape.one("overwritten")
    for name in ("event_id", "event_type", "joins", "digest", "upload_id", "raw_file_storage_id", "causation_id"):
        record.pop(name, None)


def undecided_followup_after_what_was_overwritten(tape: Tape) -> None:
    """Nobody knows what another follow-up followed from."""
    overwritten(tape)
    tape.drop(tape.find("event", event_id="shipped-8"))


def undecided_copy_that_was_overwritten(tape: Tape) -> None:
    """Desk passes an event as it puts a copy on its retry topic, and that was overwritten."""
    tape.drop(effects_of(tape, "placed-4", "desk"))
    copied = tape.event(topics(tape), 4, "placed", 0, 0, topic="retry")
    for read in tape.find("read", "invoke", what="offsets"):
        tape.offset(read, "desk", ("retry", 0), committed=1, end=1)
    letters(tape, "malformed", tape.overwrite(copied), "desk")


def came_late(tape: Tape) -> None:
    """What a slow front door published stands before the groups, and came only 19 ms before the offsets were read."""
    tape.upload(250, 30)
    tape.event(tape.look(10_980, "topics"), 30, "placed", 0, 11)
    tape.blob(final(tape, "blobs"), 30)
    for row in tape.find("offset", topic="orders", partition=0, read=final(tape, "offsets")):
        row["visible_end"] = 12


def total_undecided_just_came(tape: Tape) -> None:
    """Only the purse has it in hand; the others have applied it."""
    with_totals(tape)
    came_late(tape)
    tape.one("event", event_id="placed-30").update(keys={"purse.total": "acc-2"}, amounts={"purse": "7.75"})
    committed(tape, 12)
    committed(tape, 12, consumer="desk")
    for consumer in ("shop", "desk"):
        tape.effect(final(tape, "effects"), consumer, "placed", 30)
    tape.event(tape.look(11_500, "topics"), 30, "shipped", 0, 30)


def stalled_where_another_came_late(tape: Tape) -> None:
    """One partition stands still; on the other, a record has only just come, of which nothing is proven."""
    came_late(tape)
    committed(tape, 10, partition=1, only_final=False)
    tape.drop(effects_of(tape, "placed-21"))


def undecided_illegible(tape: Tape) -> None:
    """An effect of something that nobody is seen to have published, and a record that only this reader cannot read."""
    phantom(tape)
    record = malformed(tape)
    tape.drop(tape.injected(record))
    letters(tape, "malformed", record, "shop", "desk")


def undecided_outcomes_slow(tape: Tape) -> None:
    """The same of an outcome that has not come."""
    outcome_missing(tape)
    moving(tape, 8000)


def moving(tape: Tape, ms: float) -> None:
    """The shop passed another offset at that time."""
    for row in tape.find("offset", consumer="shop", partition=1):
        if row["read"] is not final(tape, "offsets"):
            row["committed"] = 10
    tape.offset(tape.look(ms, "offsets"), "shop", ("orders", 1), committed=11, end=11)


def asked_too_little(tape: Tape) -> None:
    """Two uploads were to be processed again; one was asked for, and it was refused."""
    tape.header["plan"]["scenario"] = {"again": [{"reprocess": 2, "replay": None, "at": "60%"}]}
    invoke = tape.add(310, "reprocess", "invoke", upload_id="u4")
    tape.add(320, "reprocess", "fail", upload_id="u4", of=invoke, status=409)


def record_unreadable(tape: Tape) -> None:
    place = {"topic": "orders", "partition": 0, "offset": 11}
    tape.seen(topics(tape), "event", {**place, "error": "JSONEncodeError: Recursion limit reached"})


def record_malformed(tape: Tape) -> None:
    """The system itself published a record that is no event, where nobody reads."""
    fields = {"topic": "shipping", "partition": 0, "offset": 40, "event_id": "shipping:0:40", "digest": "f" * 8}
    tape.seen(topics(tape), "event", {**fields, "event_type": "shipped", "malformed": "no id"})


def unexercised_where_it_reads(tape: Tape) -> None:
    """Another's topic has events of a type that it applies; its own has none."""
    tape.checks["consumers"]["clerk"] = ["shipped"]
    tape.offset(final(tape, "offsets"), "clerk", ("orders", 0), committed=3, end=11)


# hazards on the wire


def claim_released_by_another(tape: Tape) -> None:
    """A claim runs out while its holder works, another replica takes it, and the first one gives it back."""
    tape.claim(100, "shop#1")
    tape.claim(150, "shop#2")
    tape.release(170, "shop#1")


def claim_released_by_another_denied(tape: Tape) -> None:
    """A replica gives back what it was denied, as a `finally` does that stands around the whole."""
    tape.claim(100, "shop#1")
    tape.wire(120, "shop#2->redis", "SETNX", key="claim:placed-4", kind="integer", changed=0)
    tape.wire(130, "shop#2->redis", "UNLINK", key="claim:placed-4", kind="integer", changed=1)


def claim_asked_again(tape: Tape) -> None:
    """The client sends it once more by itself, and takes the answer for another's."""
    tape.claim(100, "shop#1", phase="lost_reply")
    tape.claim(110, "shop#1", denied=True, connection=2)


def claim_asked_again_refused(tape: Tape) -> None:
    """An error came in place of the answer."""
    tape.wire(100, "shop#1->redis", "SETNX", phase="refused_reply", key="claim:placed-4", kind="integer", changed=1)
    tape.wire(105, "shop#1->redis", "SETNX", key="claim:placed-4", kind="integer", changed=0)


def effects_late(tape: Tape) -> None:
    """A look at 300 ms finds no effect yet; the next, at 430 ms, finds all of them."""
    tape.look(300, "effects")


def offset_sent_before_effect(tape: Tape) -> None:
    """The offset of placed-0 and placed-2 is committed before the look that does not find their effects."""
    effects_late(tape)
    tape.wire(290, "shop#2->kafka", "OffsetCommit", key="shop", kind="ok", places=[["orders", 0, 2]])


def published_before_effect(tape: Tape) -> None:
    """That an order was shipped is published before the desk has an effect of it."""
    effects_late(tape)
    tape.wire(290, "desk#1->kafka", "Produce", key="shipping", kind="ok", places=[["shipping", 0, 3]])


# outcomes


def outcome_missing(tape: Tape) -> None:
    tape.drop(tape.find("event", event_id="refused-7"))
    everywhere(tape, "refused-7")


def outcome_doubled(tape: Tape) -> None:
    event = tape.one("event", event_id="refused-7")
    ends(tape, 1, 12)
    tape.event(event["read"], 7, "refused", 1, 11, event_id="refused-7-again")
    for read in ("effects", "last"):
        where = final(tape, "effects") if read == "last" else tape.one("read", "invoke", what="effects", final=False)
        tape.effect(where, "shop", "refused", 7, event_id="refused-7-again", effect="shop-entry-7-again")


def outcome_missing_healthy_at_last(tape: Tape) -> None:
    """A replica did not answer at first; the check that was repeated found it healthy."""
    outcome_missing(tape)
    tape.add(450, "health", "bad", name="shop#1", when="end", error="TimeoutError: no answer in 30 s")


def again(tape: Tape, ms: float, *, n: int = REJECTED, phase: str = "ok") -> None:
    """An upload was asked to be processed again."""
    invoke = tape.add(ms, "reprocess", "invoke", upload_id=f"u{n}")
    tape.add(ms + 10, "reprocess", phase, upload_id=f"u{n}", of=invoke)


def outcome_doubled_before_it_was_reprocessed(tape: Tape) -> None:
    """Two outcomes were there when it was asked for again, which was granted, and nothing came of that."""
    outcome_doubled(tape)
    again(tape, 600)


def outcome_doubled_of_a_batch_before_it_was_reprocessed(tape: Tape) -> None:
    """The batch had closed twice when nobody had asked for anything yet."""
    outcome_doubled_batch(tape)
    again(tape, 600, n=4, phase="unknown")


def outcome_missing_since_it_was_reprocessed(tape: Tape) -> None:
    """It may have been reprocessed once, and was, and then again, and nothing came of that."""
    outcome_doubled(tape)
    again(tape, 310, phase="unknown")
    again(tape, 600)


def outcome_missing_batch(tape: Tape) -> None:
    """An upload of it is rightly refused by an event, the other one is not."""
    tape.drop(tape.find("event", event_id=f"closed-{REJECTED // 2}"))


def outcome_missing_though_effects_were_read_again(tape: Tape) -> None:
    """The last read of the effects failed after it gave the shop's, and was made again."""
    outcome_missing_batch(tape)
    failed = tape.look(14_000, "effects", final=True, phase="fail")
    for n in range(UPLOADS):
        tape.effect(failed, "shop", kind_of(n), n)


def outcome_missing_though_everything_was_read_again(tape: Tape) -> None:
    """Something arrived while everything was read for the last time, so that was done again; since then nothing moved."""
    outcome_missing_batch(tape)
    late = effects_of(tape, "placed-2")[0]
    tape.drop([late])
    committed(tape, 1, only_final=False)
    committed(tape, UPLOADS // 2)
    middle = tape.look(490, "offsets")
    tape.offset(middle, "shop", ("orders", 0), committed=UPLOADS // 2, end=UPLOADS // 2)
    superseded = tape.look(500, "effects", final=True)
    for n in range(UPLOADS):
        tape.effect(superseded, "shop", kind_of(n), n)


def outcome_doubled_batch(tape: Tape) -> None:
    tape.event(topics(tape), 2, "closed", 1, 11, event_id="closed-2-again")


def outcome_doubled_after_a_refusal(tape: Tape) -> None:
    """What was refused to be done again gives no outcome."""
    outcome_doubled(tape)
    invoke = tape.add(310, "reprocess", "invoke", upload_id=f"u{REJECTED}")
    tape.add(320, "reprocess", "fail", upload_id=f"u{REJECTED}", of=invoke)


def outcome_unasked_batch(tape: Tape) -> None:
    tape.event(topics(tape), 99, "closed", 1, 11)


def outcome_wrong(tape: Tape) -> None:
    for record in tape.find("upload", upload_id=f"u{REJECTED}"):
        record["acceptable"] = True


def outcome_unasked(tape: Tape) -> None:
    upload = tape.one("upload", "ok", upload_id=f"u{REJECTED}")
    upload.update(phase="fail", status=400, raw_file_storage_id=None)  # not acceptable, so rightly refused


def followup_missing(tape: Tape) -> None:
    tape.drop(tape.find("event", event_id="shipped-4"))


def followup_doubled(tape: Tape) -> None:
    tape.event(topics(tape), 4, "shipped", 0, 40, event_id="shipped-4-again")


def sharing_a_key(tape: Tape, *causes: str) -> None:
    """The orders of u4 and u6 have one number; each ``shipped`` of it names its cause."""
    for n, cause in zip((4, 6), causes, strict=True):
        tape.one("event", event_id=f"placed-{n}")["joins"]["1"] = "order-4"
        tape.one("event", event_id=f"shipped-{n}").update(joins={"1": "order-4"}, causation_id=cause)


def followup_unclear(tape: Tape) -> None:
    """Two orders with one number, and two follow-ups, both of the first."""
    sharing_a_key(tape, "placed-4", "placed-4")


def followups_of_one_number(tape: Tape) -> None:
    sharing_a_key(tape, "placed-4", "placed-6")


def outcome_key_missing(tape: Tape) -> None:
    """A second follow-up without a number: it may be of any order."""
    tape.event(topics(tape), 4, "shipped", 0, 40, event_id="shipped-4-again", joins={})


def outcome_of_two_kinds(tape: Tape) -> None:
    """What was refused is shipped back, under a number of its own, by which a second rule counts it."""
    back = {"of": "refused", "by": "/refusal", "then": ["shipped"], "accepted": None, "rejected": None}
    tape.checks["outcomes"].append(back)
    tape.one("event", event_type="refused")["joins"]["3"] = "refusal-7"
    tape.event(topics(tape), REJECTED, "shipped", 0, 40, joins={"3": "refusal-7"})


def outcome_key_missing_of_two_kinds(tape: Tape) -> None:
    """The rule that has its number knows of nothing with it."""
    outcome_of_two_kinds(tape)
    tape.event(topics(tape), 8, "shipped", 0, 41, event_id="shipped-8-again", joins={"3": "refusal-8"})


def outcome_unexercised_without_keys(tape: Tape) -> None:
    """The rule's pointer leads nowhere."""
    tape.drop(tape.find("event", event_type="shipped"))
    for event in tape.find("event", event_type="placed"):
        del event["joins"]["1"]


def outcome_not_asked(tape: Tape) -> None:
    """An order without a number, and nothing that could be its follow-up."""
    del tape.one("event", event_id="placed-4")["joins"]["1"]
    tape.drop(tape.find("event", event_id="shipped-4"))


def outcome_unexercised(tape: Tape) -> None:
    """The only rule is of a type that nobody publishes."""
    tape.checks["outcomes"] = [{"of": "plaecd", "then": ["billed"], "accepted": None, "rejected": None}]


def outcome_unexercised_batches(tape: Tape) -> None:
    """Of each batch nobody knows whether its third upload was taken: none has to close, and none does."""
    tape.header["plan"]["scenario"] = {"load": {"batch": 3}}
    tape.drop(tape.find("event", event_type="closed"))
    for k in range(UPLOADS // 2):
        invoke = tape.upload(15 + 10 * k, 2 * k, phase="unknown")
        for record in (invoke, tape.one("upload", "unknown", of=invoke)):
            record.update(upload_id=f"u{900 + k}", sha256=sha(900 + k))


def outcome_unseen(tape: Tape) -> None:
    """One of the rules is of a type that nobody publishes."""
    tape.checks["outcomes"].append({"of": "plaecd", "then": ["billed"], "accepted": None, "rejected": None})


def outcome_undecided(tape: Tape) -> None:
    followup_missing(tape)
    tape.one("health", when="end", name="shop#1").update(phase="bad", error="TimeoutError: no answer in 10 s")


def outcome_missing_of_a_batch_with_an_unknown_upload(tape: Tape) -> None:
    """Nobody knows whether one of its uploads was answered; its outcome was seen, which is as good."""
    unknown_upload_with_an_outcome(tape)
    tape.drop(tape.find("event", event_id="closed-2"))


def archived(tape: Tape) -> None:
    """By a second rule each upload is archived; nobody knows whether u4 was answered."""
    unknown_upload_with_an_outcome(tape)
    tape.checks["outcomes"].append({"of": "upload", "then": ["archived"], "accepted": None, "rejected": None})
    for n in range(UPLOADS):
        tape.event(topics(tape), n, "archived", 0, 100 + n, joins={"3": f"u{n}"})


def archived_if_accepted(tape: Tape) -> None:
    """By a second rule each upload that should pass validation is archived; the other one need not be."""
    tape.checks["outcomes"].append({"of": "upload", "then": ["archived"], "accepted": ["archived"], "rejected": None})
    for n in accepted():
        tape.event(topics(tape), n, "archived", 0, 100 + n, joins={"3": f"u{n}"})


def outcome_missing_of_its_kind(tape: Tape) -> None:
    archived_if_accepted(tape)
    tape.drop(tape.find("event", event_id="archived-4"))


def undecided_whether_of_the_kind(tape: Tape) -> None:
    """Nobody knows whether an upload should pass validation, and it was not archived."""
    archived_if_accepted(tape)
    for record in tape.find("upload", upload_id=f"u{REJECTED}"):
        record["acceptable"] = None


def outcome_unseen_of_a_kind(tape: Tape) -> None:
    """What should not pass validation is archived, and nothing of the kind was sent."""
    tape.checks["outcomes"][0].update(accepted=None, rejected=None)
    tape.checks["outcomes"].append({"of": "upload", "then": ["archived"], "accepted": None, "rejected": ["archived"]})
    for record in tape.find("upload", upload_id=f"u{REJECTED}"):
        record["acceptable"] = True


def outcome_missing_by_a_second_rule(tape: Tape) -> None:
    """Its outcome by the first rule shows that it was taken."""
    archived(tape)
    tape.drop(tape.find("event", event_id="archived-4"))


def outcome_missing_after_a_reprocess(tape: Tape) -> None:
    invoke = tape.add(310, "reprocess", "invoke", upload_id="u4")
    tape.add(320, "reprocess", "ok", upload_id="u4", of=invoke)


def stored(tape: Tape, *again: int) -> None:
    """By a second rule each upload is stored; of these it is said once more when they are reprocessed, as some were."""
    tape.checks["outcomes"].append({"of": "upload", "then": ["stored"], "accepted": None, "rejected": None})
    for n in range(UPLOADS):
        tape.event(topics(tape), n, "stored", 0, 100 + n, joins={"3": f"u{n}"})
    for n in again:
        tape.event(topics(tape), n, "stored", 0, 200 + n, event_id=f"stored-{n}-again", joins={"3": f"u{n}"})


def reprocessed_by_one_rule(tape: Tape) -> None:
    """It is not stored once more."""
    stored(tape)
    reprocessed(tape)


def outcome_missing_by_either_rule(tape: Tape) -> None:
    """Others have a new outcome by one of the rules."""
    reprocessed_by_one_rule(tape)
    outcome_missing_after_a_reprocess(tape)


def undecided_whether_met_again(tape: Tape) -> None:
    """It has a new outcome by one rule, and not by the other, by which another upload has one."""
    stored(tape, 4)
    reprocessed(tape)
    outcome_missing_after_a_reprocess(tape)


def followup_doubled_with_a_forwarded_header(tape: Tape) -> None:
    """The system passes the headers of what it reads on to what it publishes."""
    followup_doubled(tape)
    for event in tape.find("event", event_type="shipped"):
        event["marked"] = "kafka.duplicate"


def undecided_spelling_of_a_followup(tape: Tape) -> None:
    """The follow-up has the order's number in capitals."""
    tape.one("event", event_id="shipped-4")["joins"] = {"1": "ORDER-4"}


def undecided_spelling_of_an_upload(tape: Tape) -> None:
    """The outcome has the upload's id in capitals."""
    tape.one("event", event_id="placed-4")["joins"]["0"] = "U4"


def undecided_spelling_of_a_second_followup(tape: Tape) -> None:
    """Two follow-ups with the order's number in capitals, besides the right one."""
    for n in (40, 41):
        tape.event(topics(tape), 4, "shipped", 0, n, event_id=f"shipped-4-{n}", joins={"1": "ORDER-4"})


def followup_unasked(tape: Tape) -> None:
    """An order was shipped that nobody placed: by a timer, for example, or one that was placed before the run."""
    tape.event(topics(tape), 99, "shipped", 0, 40, causation_id="placed-99")


def followups_unasked_of_one_number(tape: Tape, *causes: str) -> None:
    """Two orders were shipped under a number that stands for none, each for a reason of its own."""
    for n, cause in enumerate(causes or ("job-0", "job-1")):
        tape.event(topics(tape), 98 + n, "shipped", 0, 40 + n, joins={"1": "0"}, causation_id=cause)


def undecided_followups_of_one_unseen_cause(tape: Tape) -> None:
    followups_unasked_of_one_number(tape, "job-0", "job-0")


def undecided_followup_of_a_known_cause(tape: Tape) -> None:
    """The order was shipped twice, once under a number that nobody has."""
    followup_unasked(tape)
    for event in tape.find("event", event_type="shipped"):
        event["causation_id"] = event["event_id"].replace("shipped", "placed")
    tape.one("event", event_id="shipped-99")["causation_id"] = "placed-4"


def undecided_followups_by_another_value(tape: Tape) -> None:
    """The follow-ups have another number at `by` than the orders."""
    for event in tape.find("event", event_type="shipped"):
        event["joins"] = {"1": f"shipment-{int(event['event_id'].split('-')[1]) // 2}"}


def undecided_outcomes_by_another_value(tape: Tape) -> None:
    """The outcomes have another id at `by` than the uploads."""
    for event in tape.find("event"):
        if "0" in event["joins"]:
            event["joins"]["0"] = event["upload_id"] = f"file-{event['joins']['0']}"


def closed_by_a_timer(tape: Tape) -> None:
    """A batch that nobody sent was closed, for which there is a rule of its own."""
    outcome_unasked_batch(tape)
    tape.checks["outcomes"].append({"of": "timer", "then": ["closed"], "accepted": None, "rejected": None})
    for event in tape.find("event", event_type="closed"):
        event["joins"]["3"] = event["joins"]["2"]
    tape.event(topics(tape), 99, "timer", 1, 12, joins={"3": "g99"})


def mailed(tape: Tape, *of: str) -> None:
    """There is to be a mail of each order, of each shipment and of each gift; there is one of each ``of``."""
    for rule, kind in enumerate(("placed", "shipped", "gift"), 3):
        tape.checks["outcomes"].append({"of": kind, "then": ["mailed"], "accepted": None, "rejected": None})
        for event in tape.find("event", event_type=kind):
            event["joins"][str(rule)] = f"order-{event['event_id'].split('-')[1]}"
    tape.event(topics(tape), 99, "gift", 0, 200, joins={"5": "order-99"})
    for at, event in enumerate([e for kind in of for e in tape.find("event", event_type=kind)]):
        mail(tape, event["event_id"], 50 + at)


def mail(tape: Tape, cause: str, offset: int, event_id: str = "") -> None:
    """One mail, by each rule."""
    kind, _, n = cause.partition("-")
    joins = dict.fromkeys("345", f"order-{n}")
    name = event_id or f"mail-of-{cause}"
    tape.event(topics(tape), int(n), "mailed", 1, offset, event_id=name, causation_id=cause, digest=kind, joins=joins)


def mailed_for_each(tape: Tape) -> None:
    mailed(tape, "placed", "shipped", "gift")


def followup_missing_of_one_rule(tape: Tape) -> None:
    """A mail is missing where another rule has one for the same order."""
    mailed_for_each(tape)
    tape.drop(tape.find("event", event_id="mail-of-shipped-4"))


def undecided_followups_of_one_rule(tape: Tape) -> None:
    """Every mail of a shipment is lost, or the mail of the order was for both."""
    mailed(tape, "placed", "gift")


def undecided_followups_of_one_rule_late(tape: Tape) -> None:
    """A mail may be missing, and may yet come."""
    followup_missing_of_one_rule(tape)
    tape.one("event", event_id="shipped-4")["t"] = final(tape, "topics")["t"] + 1


def undecided_followups_without_causes(tape: Tape) -> None:
    """Two mails for each order, and nothing says of what they are."""
    mailed_for_each(tape)
    for event in tape.find("event", event_type="mailed"):
        event["causation_id"] = None


def undecided_followups_of_one_cause(tape: Tape) -> None:
    """Two mails for an order, both of which name the order, and not the shipment, as their cause."""
    mailed_for_each(tape)
    tape.one("event", event_id="mail-of-shipped-4")["causation_id"] = "placed-4"


def followup_doubled_of_several_rules(tape: Tape) -> None:
    """Three mails for an order and its shipment."""
    mailed_for_each(tape)
    mail(tape, "placed-4", 150, "mail-again")


def returned(tape: Tape) -> None:
    """Orders are shipped or cancelled, and what is shipped is kept or cancelled, as one is."""
    tape.checks["outcomes"][1]["then"] = ["shipped", "cancelled"]
    kept = {"of": "shipped", "then": ["kept", "cancelled"], "accepted": None, "rejected": None}
    tape.checks["outcomes"].append(kept)
    for at, event in enumerate(tape.find("event", event_type="shipped")):
        n = int(event["event_id"].split("-")[1])
        event["causation_id"] = f"placed-{n}"
        event["joins"]["3"] = f"order-{n}"
        kind = "cancelled" if n == 4 else "kept"
        joins = {"1": f"order-{n}", "3": f"order-{n}"} if kind == "cancelled" else {"3": f"order-{n}"}
        tape.event(topics(tape), n, kind, 1, 50 + at, causation_id=event["event_id"], joins=joins)


def invoiced(tape: Tape) -> None:
    """One invoice is for an order and for its shipment, whose numbers it holds, and these are equal."""
    for rule, (kind, by) in enumerate((("placed", "/data/order"), ("shipped", "/data/shipment")), 3):
        tape.checks["outcomes"].append(
            {"of": kind, "by": by, "then": ["invoiced"], "accepted": None, "rejected": None}
        )
        for event in tape.find("event", event_type=kind):
            event["joins"][str(rule)] = event["event_id"].split("-")[1]
    for n in accepted():
        tape.event(topics(tape), n, "invoiced", 1, 50 + n, joins=dict.fromkeys("34", str(n)))


def followup_doubled_of_a_faults_event(tape: Tape) -> None:
    """What a fault published was shipped twice."""
    followup_of_a_faults_event(tape)
    tape.event(topics(tape), 99, "shipped", 0, 41, event_id="shipped-99-again")


def undecided_followup_of_nothing(tape: Tape) -> None:
    """The system file has another name for what orders are shipped for."""
    tape.checks["outcomes"][1]["of"] = "plaecd"


def delivered(tape: Tape) -> None:
    """An order was shipped that nobody placed: a gift, for which there is a rule of its own."""
    followup_unasked(tape)
    tape.checks["outcomes"].append({"of": "gift", "then": ["shipped"], "accepted": None, "rejected": None})
    for event in tape.find("event", event_type="shipped"):
        event["joins"]["3"] = event["joins"]["1"]
    tape.event(topics(tape), 99, "gift", 0, 41, joins={"3": "order-99"})


def followup_of_a_faults_event(tape: Tape) -> None:
    """What a fault published has another number, for which an order was shipped."""
    event = conflict(tape)
    event["joins"] = {"1": "order-99"}
    letters(tape, "conflict", event, "shop", "desk")
    tape.event(topics(tape), 99, "shipped", 0, 40)


def undecided_last_seen(tape: Tape) -> None:
    """A cause that was seen only when the topics were read for the last time."""
    tape.upload(250, 50, phase="unknown")
    joins = {"0": "u50", "1": "order-50"}
    tape.event(final(tape, "topics"), 50, "placed", 0, 11, joins=joins, upload_id=None, raw_file_storage_id=None)
    ends(tape, 0, 12)
    for read in tape.find("read", "invoke", what="effects"):
        for consumer in ("shop", "desk"):
            tape.effect(read, consumer, "placed", 50)


# raw retained


def raw_missing_of_an_unknown_upload(tape: Tape) -> None:
    unknown_upload_with_an_outcome(tape)
    gone(tape, 4, only_final=True)


def gone(tape: Tape, n: int, *, only_final: bool = False) -> None:
    for blob in tape.find("blob", raw_file_storage_id=f"b{n}"):
        if not only_final or blob["why"] == "final":
            blob.update(phase="missing", sha256=None)


def raw_missing(tape: Tape) -> None:
    gone(tape, 4, only_final=True)


def raw_dropped_on_rejection(tape: Tape) -> None:
    gone(tape, REJECTED)


def raw_different(tape: Tape) -> None:
    for blob in tape.find("blob", raw_file_storage_id="b4"):
        blob.update(phase="different", sha256="a" * 8)


def raw_different_of_two_events(tape: Tape) -> None:
    """The events about two uploads name each other's blob."""
    for n, other in ((4, 5), (5, 4)):
        tape.one("event", event_id=f"placed-{n}")["raw_file_storage_id"] = f"b{other}"


def raw_different_of_an_event_alone(tape: Tape) -> None:
    """The event names a blob that no answer does, with the bytes of another upload."""
    of_an_event_alone(tape, "unreachable", "present", sha256=sha(5))


def raw_shared_by_equal_bytes(tape: Tape) -> None:
    """The store keeps equal bytes once, and the event about the second upload names the first one's blob."""
    raw_different_of_two_events(tape)
    for record in [*tape.find("upload", upload_id="u5"), *tape.find("blob", raw_file_storage_id="b5")]:
        record["sha256"] = sha(4)


def raw_unread_beside_an_upload_without_a_hash(tape: Tape) -> None:
    """Nobody knows the bytes of an upload that was refused; those that the event about u4 names are not its own."""
    raw_unread_of_no_upload(tape)
    invoke = tape.upload(260, 99, phase="fail", acceptable=False)
    for record in (invoke, tape.one("upload", "fail", upload_id="u99")):
        record.update(sha256=None, batch=None)


def raw_overwritten(tape: Tape) -> None:
    for record in [*tape.find("upload", "ok", upload_id="u5"), *tape.find("event", upload_id="u5")]:
        record["raw_file_storage_id"] = "b4"
    tape.drop(tape.find("blob", raw_file_storage_id="b5"))


def raw_late(tape: Tape) -> None:
    tape.find("blob", raw_file_storage_id="b4", why="event")[0].update(phase="missing", sha256=None)


def raw_late_and_unread(tape: Tape) -> None:
    """It was missing after the answer, and could not be read at the end."""
    raw_late(tape)
    raw_unread(tape)


def raw_dangling(tape: Tape) -> None:
    tape.one("event", event_id="placed-4")["raw_file_storage_id"] = "b99"
    for read in ("event", "final"):
        tape.blob(tape.find("blob", why=read)[0]["read"], 99, "missing", why=read)


def of_an_event_alone(tape: Tape, *phases: str, **last: Any) -> None:
    """An event names a blob that no answer names; what each read finds of it."""
    tape.one("event", event_id="placed-4")["raw_file_storage_id"] = "b99"
    for read, phase in zip(("event", "final"), phases, strict=True):
        found = {"sha256": sha(4)} if phase == "present" else {}
        changed = last if read == "final" else {}
        tape.blob(tape.find("blob", why=read)[0]["read"], 99, phase, why=read, **found | changed)


def raw_vanished(tape: Tape) -> None:
    of_an_event_alone(tape, "present", "missing")


def raw_changed(tape: Tape) -> None:
    of_an_event_alone(tape, "present", "present")
    tape.one("blob", raw_file_storage_id="b99", why="event")["sha256"] = sha(5)


def raw_unread_of_no_upload(tape: Tape) -> None:
    """The bytes may be those of an upload without an answer, cut short: nothing says whose they are."""
    of_an_event_alone(tape, "unreachable", "present", sha256="0" * 8 + "ff")


def raw_named_by_an_event_alone(tape: Tape) -> None:
    of_an_event_alone(tape, "present", "present")


def raw_unexercised(tape: Tape) -> None:
    """Events are published, and none names a blob."""
    tape.drop(tape.find("blob"))
    for event in tape.find("event"):
        event.pop("raw_file_storage_id", None)
    uploads = tape.find("upload", "ok")
    tape.drop(tape.find("upload"))
    tape.checks["outcomes"] = []
    for upload in uploads:
        put = {"topic": "orders", "event_id": f"{kind_of(int(upload['upload_id'][1:]))}-{upload['upload_id'][1:]}"}
        event = tape.one("event", event_id=put["event_id"])
        tape.put(upload["t"] / MS - 5, {**put, "partition": event["partition"], "offset": event["offset"]})


def raw_unread(tape: Tape) -> None:
    tape.find("blob", raw_file_storage_id="b4", why="final")[0].update(
        phase="unreachable", sha256=None, error="TimeoutError: no answer in 5 s"
    )


def raw_unread_of_an_unknown_upload(tape: Tape) -> None:
    """Nobody knows whether the upload was answered; it was taken, and nothing names its blob."""
    unknown_upload_with_an_outcome(tape)
    del tape.one("event", event_id="placed-4")["raw_file_storage_id"]
    tape.drop(tape.find("blob", raw_file_storage_id="b4"))


# evidence


def fault_never_bit(tape: Tape) -> None:
    tape.drop(tape.find("fault", "bit"))


def fault_never_bit_by_the_clock(tape: Tape) -> None:
    """The message at which it was to act did not come."""
    fault_never_bit(tape)
    why = "0 messages matched, and it acts at number 1 of request 'OffsetCommit' on shop#1->kafka"
    tape.one("fault", "injected")["evidence"] = {"what": f"by the clock: {why}", "by_clock": why}


def fault_not_healed(tape: Tape) -> None:
    tape.drop(tape.find("fault", "healed"))


def fault_not_healed_once(tape: Tape) -> None:
    """A fault acted twice, and the second heal failed: what does not move is no finding."""
    stalled(tape)
    fault = {"fault": "f1", "name": "net.hang", "target": "shop#1->redis", "heals": True}
    tape.add(150, "fault", "injected", **fault)
    tape.add(160, "fault", "failed", **fault, error="TimeoutError")


def too_few_operations(tape: Tape) -> None:
    for n in (9, 10, 11):
        tape.one("upload", "ok", upload_id=f"u{n}").update(phase="unknown", raw_file_storage_id=None)


def unhealthy_end(tape: Tape) -> None:
    """A replica ended by itself; what it left, another one did."""
    tape.one("health", when="end", name="shop#1").update(phase="bad", error="shop#1 ended with status 3")


def load_fell_behind(tape: Tape) -> None:
    """Fewer than half of the operations that were due each second were begun."""
    tape.header["plan"]["scenario"] = {"load": {"rate": 250.0}}


def load_of_locust(tape: Tape) -> None:
    """Its users begin work when they have their answers, whatever the scenario's rate."""
    load_fell_behind(tape)
    tape.header["plan"]["users"] = {"count": 20}


def load_at_its_rate(tape: Tape) -> None:
    tape.header["plan"]["scenario"] = {"load": {"rate": 100.0}}


def window_too_quiet(tape: Tape) -> None:
    tape.one("fault", "healed")["t"] = 75 * MS


def window_too_quiet_for_its_consumer(tape: Tape) -> None:
    """Many uploads were begun, and the consumer that the fault hit was given next to nothing."""
    tape.one("fault", "healed")["given"] = 4


def unhealthy_start(tape: Tape) -> None:
    tape.one("health", when="start").update(phase="bad", error="TimeoutError: no answer in 10 s")


def read_failed(tape: Tape) -> None:
    failing(tape, "blobs")


def history_incomplete(tape: Tape) -> None:
    tape.one("run", "finished").update(phase="interrupted", error="KeyboardInterrupt")


def history_incomplete_without_a_line(tape: Tape) -> None:
    """Somebody took out the line that shows that an event was applied twice."""
    duplicate(tape)
    tape.one("effect", effect="shop-entry-4-again")["gone"] = True


def load_incomplete(tape: Tape) -> None:
    """A worker was killed; another's part is whole."""
    tape.add(5, "load", "began", worker="w1")
    tape.add(6, "load", "began", worker="w2")
    tape.add(290, "load", "ended", worker="w1")
    tape.add(291, "load", "lost", worker="w2", error="it ended without a word")


def load_incomplete_elsewhere(tape: Tape) -> None:
    """A worker on another machine: its part is not here, and an event follows an upload of its own."""
    tape.add(5, "load", "joined", worker="w1")
    for record in tape.find("upload", upload_id="u20"):
        tape.drop([record])


def load_incomplete_raised(tape: Tape) -> None:
    """Its part is whole, and its users did not do what they should have."""
    tape.add(5, "load", "began", worker="w1")
    tape.add(50, "load", "raised", worker="w1", error="its users' code raised KeyError: 'reject'")
    tape.add(290, "load", "ended", worker="w1")


def tap_failed(tape: Tape) -> None:
    """A mistake of the harness's own ended two connections."""
    for at in (120, 130):
        tape.add(at, "wire", "failed", link="desk#1->redis", error="AssertionError: no exchange")


def link_unused(tape: Tape) -> None:
    """Code that a test started knows the store by another address."""
    tape.add(290, "link", "unused", link="shop#1->redis")


def tap_plain(tape: Tape) -> None:
    """The system is judged as ever."""
    tape.add(120, "wire", "plain", link="desk#1->redis", error="NotUnderstood: b'x' begins no Redis reply")
    tape.add(121, "wire", "answered", link="desk#1->redis", command="SET", key="claim:1", t_begin=120 * MS)


def cut_off(tape: Tape, *, applied: bool) -> None:
    """``desk#1`` dies with ``placed-3`` in hand, which ``desk#2`` then gets; a look in between tells whether it was applied."""
    tape.wire(412, "desk#1->redis", "SET", key="claim:placed-3", kind="OK")
    tape.add(414, "service", "killed", name="desk#1")
    between = tape.look(414.2, "effects", took=0.3)
    if applied:
        tape.effect(between, "desk", "placed", 3)
    tape.wire(415, "desk#2->redis", "SET", key="claim:placed-3", kind="nil" if applied else "OK")
    commit(tape, 440, "desk#2")


def commit(tape: Tape, ms: float, replica: str, *, offset: int = UPLOADS // 2, **changes: Any) -> Record:
    """A replica commits an offset of the partition of ``placed-3``; by default, of its end."""
    seen: dict[str, Any] = {"key": replica.partition("#")[0], "kind": "ok", "places": [["orders", 1, offset]]}
    return tape.wire(ms, f"{replica}->kafka", "OffsetCommit", **seen | changes)


def wants(tape: Tape, **cover: object) -> None:
    """What the scenario wants to see tried."""
    tape.header["plan"]["scenario"] = {"taps": "all", "covers": [{"least": 1, **cover}]}


def not_covered(tape: Tape) -> None:
    """The one death came when the effect was there; the scenario wants one before."""
    cut_off(tape, applied=True)
    wants(tape, cut="claimed", consumer="desk")


def not_covered_elsewhere(tape: Tape) -> None:
    """It came between claim and effect, but the same replica should have got the event again."""
    cut_off(tape, applied=False)
    wants(tape, cut="claimed", consumer="desk", again="same")


def not_covered_by_each(tape: Tape) -> None:
    """One consumer died at work, the other did not."""
    cut_off(tape, applied=False)
    wants(tape, cut="claimed")


def not_covered_lost(tape: Tape) -> None:
    """An answer was lost, of another command than the one that matters."""
    tape.wire(425, "desk#1->kafka", "Heartbeat", key="desk", phase="lost_reply")
    wants(tape, lost="OffsetCommit", consumer="desk")


def killed_at_its_reply(tape: Tape, of: str = "desk#1") -> None:
    """A replica was killed when an answer of ``desk#1``'s was held, and that answer was lost."""
    tape.wire(425, "desk#1->kafka", "OffsetCommit", key="desk", phase="lost_reply", took=1)
    fault = {"fault": "f2", "name": "service.kill", "target": of, "heals": True}
    held = {"message": "the reply to OffsetCommit desk on desk#1->kafka"}
    for ms, phase in ((425.5, "injected"), (426.5, "armed"), (427, "bit"), (430, "healed")):
        given = {"given": 9} if phase == "healed" else {"evidence": held}
        tape.add(ms, "fault", phase, **fault, **given)
    tape.add(425.8, "service", "killed", name=of, actor="fault:f2")
    tape.add(429, "service", "started", name=of, actor="fault:f2")
    wants(tape, lost="OffsetCommit", consumer="desk")


def not_covered_killed_at_its_reply(tape: Tape) -> None:
    """Nobody was left who had asked and heard no answer."""
    killed_at_its_reply(tape)


def not_covered_slow_look(tape: Tape) -> None:
    """The look at the effects began before the death, and came to the desk's only when the event had come again."""
    cut_off(tape, applied=False)
    (look,) = tape.find("read", "invoke", t=int(414.2 * MS))
    (ended,) = tape.find("read", "ok", of=look)
    look["t"], ended["t"] = int(413.5 * MS), 418 * MS
    tape.effect(look, "desk", "placed", 3)["t"] = 417 * MS
    wants(tape, cut="applied", consumer="desk")


def not_covered_offsets_elsewhere(tape: Tape) -> None:
    """Nobody heard of the desk's offsets: it keeps them with its effects, and was long done."""
    cut_off(tape, applied=True)
    tape.drop(tape.find("wire", command="OffsetCommit"))
    wants(tape, cut="applied", consumer="desk")


def not_covered_plain(tape: Tape) -> None:
    """The commit passed where a tap had given up before."""
    tape.add(
        411, "wire", "plain", link="desk#1->kafka", error="NotUnderstood: a reply to request 5, where that to another"
    )
    cut_off(tape, applied=True)
    wants(tape, cut="applied", consumer="desk")


def not_covered_commit_under_way(tape: Tape) -> None:
    """The desk had committed the event's offset, and died without an answer."""
    commit(tape, 413, "desk#1", offset=2, took=1.5, phase="unanswered", kind=None)
    cut_off(tape, applied=True)
    wants(tape, cut="applied", consumer="desk")


def not_covered_large_commit(tape: Tape) -> None:
    """A commit named more partitions than a tap keeps."""
    commit(tape, 413, "desk#1", places=None)
    cut_off(tape, applied=True)
    wants(tape, cut="applied", consumer="desk")


def asks_what_was_there(tape: Tape) -> None:
    """Claims are asked for by SET NX GET, whose answer is what the key held: a value to who is refused."""
    for claim in tape.find("wire", command="SET"):
        claim.update(options="NX EX GET", kind="bulk" if claim["kind"] == "nil" else "nil")


def not_covered_refused(tape: Tape) -> None:
    """The replica that died had been told that the claim was another's."""
    cut_off(tape, applied=False)
    tape.one("wire", link="desk#1->redis")["kind"] = "nil"
    asks_what_was_there(tape)
    wants(tape, cut="claimed", consumer="desk")


def not_covered_counted(tape: Tape) -> None:
    """What the replica that died had counted up may have been its claim."""
    cut_off(tape, applied=False)
    tape.one("wire", link="desk#1->redis").update(command="INCR", kind="integer")
    wants(tape, cut="unclaimed", consumer="desk")


def not_covered_aside(tape: Tape) -> None:
    """The desk keeps what it has claimed in one set, whose members nobody sees."""
    cut_off(tape, applied=False)
    tape.one("wire", link="desk#1->redis").update(command="GET", kind="nil")
    tape.wire(413, "desk#1->redis", "SADD", key="seen", kind="integer")
    wants(tape, cut="unclaimed", consumer="desk")


def not_covered_hashed(tape: Tape) -> None:
    """The desk claims under a digest of the event's id, and asks a neighbour about the event by its id."""
    cut_off(tape, applied=False)
    for claim in tape.find("wire", command="SET"):
        claim.update(link=claim["link"].replace("redis", "shop"), command="GET", key="/orders/placed-3", kind="200")
    tape.wire(413, "desk#1->redis", "SET", key="claim:9f86d081", options="NX EX", kind="OK", took=0.5)
    wants(tape, cut="unclaimed", consumer="desk")


def not_covered_spoken(tape: Tape) -> None:
    """The claim was granted by a store of another make, which speaks Redis' protocol."""
    cut_off(tape, applied=False)
    tape.header["plan"]["system"] = {"dependencies": {"redis": {"kind": "tcp", "speaks": "redis"}}}
    wants(tape, cut="unclaimed", consumer="desk")


def not_covered_given_back(tape: Tape) -> None:
    """The replica had given its claim back before it died."""
    cut_off(tape, applied=False)
    tape.wire(412.6, "desk#1->redis", "DEL", key="claim:placed-3", kind="integer", changed=1, took=0.3)
    wants(tape, cut="claimed", consumer="desk")


def store_lost(tape: Tape) -> None:
    """Redis is lost while ``desk#1`` still works, and comes back empty when that is dead."""
    fault = {"fault": "f2", "name": "redis.lose", "target": "redis", "heals": True}
    for ms, phase in ((413.2, "injected"), (413.4, "armed"), (413.6, "bit")):
        tape.add(ms, "fault", phase, **fault)
    tape.add(413.3, "service", "killed", name="redis", actor="fault:f2")
    tape.add(414.8, "fault", "healed", **fault, given=9, evidence={"keys_before": 4, "keys": 0, "emptied": True})


def not_covered_store_lost(tape: Tape) -> None:
    """The claim was granted by a Redis that has forgotten it."""
    cut_off(tape, applied=False)
    store_lost(tape)
    wants(tape, cut="claimed", consumer="desk", redis="kept")


def calibrated(tape: Tape, *unseen: tuple[str, str], stale: str | None = None) -> None:
    """A calibration of the system told what of it cannot be seen."""
    tape.header["plan"]["calibration"] = {
        "file": "system.calibration.json",
        "unseen": [{"control": control, "of": of, "said": "a row copied"} for control, of in unseen],
        "stale": stale,
    }


def cannot_be_seen(tape: Tape) -> None:
    """A second effect at the desk would look like one."""
    calibrated(tape, ("duplicate", "desk"))


def calibration_stale(tape: Tape) -> None:
    """Nothing was unseen, and the system file is another by now."""
    calibrated(tape, stale="the system file has changed since")


def calibrated_and_seen(tape: Tape) -> None:
    """All that was planted was seen, in this very system."""
    calibrated(tape)


def acknowledged_late(tape: Tape) -> None:
    """When the topics were read for the last time the load should have been over."""
    tape.upload(final(tape, "topics")["t"] / MS + 1, 30)


def acknowledged_by_a_lost_worker(tape: Tape) -> None:
    """Its part came later, and is whole; its clock's times say nothing of whether all was read before."""
    for phase in ("joined", "lost", "ended"):
        tape.add(290, "load", phase, worker="w1", error="its master heard no more of it" if phase == "lost" else None)
    tape.upload(240, 30)
    for record in tape.find("upload", upload_id="u30"):
        record.update(placed=True, worker="w1")


# good


def covered(tape: Tape) -> None:
    """A death between claim and effect, and the event applied by the other replica."""
    cut_off(tape, applied=False)
    wants(tape, cut="claimed", consumer="desk", again="other", redis="kept")


def covered_by_a_claim_that_tells_what_was_there(tape: Tape) -> None:
    """Redis had answered the claim with nil: the key was free."""
    cut_off(tape, applied=False)
    asks_what_was_there(tape)
    wants(tape, cut="claimed", consumer="desk")


def covered_with_the_store_lost(tape: Tape) -> None:
    """The event came again to a Redis that had forgotten its claim."""
    cut_off(tape, applied=False)
    store_lost(tape)
    wants(tape, cut="claimed", consumer="desk", redis="emptied")


def covered_behind_the_effect(tape: Tape) -> None:
    """A death between effect and offset."""
    cut_off(tape, applied=True)
    wants(tape, cut="applied", consumer="desk")


def covered_lost(tape: Tape) -> None:
    """An answer that was lost."""
    tape.wire(425, "desk#1->kafka", "OffsetCommit", key="desk", phase="lost_reply")
    wants(tape, lost="OffsetCommit", consumer="desk")


def covered_lost_as_another_died(tape: Tape) -> None:
    """The other replica was killed when the answer was held: the one that had asked lives on without it."""
    killed_at_its_reply(tape, of="desk#2")


def claims_given_back(tape: Tape) -> None:
    """Each gives back its own: after another's was given back, after it ran out, or when there is none any more."""
    tape.claim(100, "shop#1")
    tape.claim(105, "shop#2", denied=True)
    tape.release(110, "shop#1")
    tape.claim(120, "shop#2")
    tape.claim(130, "shop#1")
    tape.release(135, "shop#1")
    tape.release(140, "shop#1", changed=0)
    # The claim of another event, whose name begins alike.
    tape.claim(150, "shop#2", n=44)
    tape.release(160, "shop#1")


def claims_that_may_be_its_own(tape: Tape) -> None:
    """A replica gives back what it was not seen to take, and nobody knows that it did not."""
    meanwhiles: tuple[dict[str, Any], ...] = (
        {"command": "EVAL", "key": "other", "kind": "integer"},
        {"command": "SET", "key": "claim:placed-4", "options": "NX", "phase": "unanswered"},
        {"command": "SET", "key": "claim:placed-4", "kind": "OK"},
        {"command": "SET", "key": "claim:placed-4", "options": "NX", "kind": "QUEUED"},
        {"command": "SELECT", "key": "1", "kind": "OK"},
    )
    for n, meanwhile in enumerate(meanwhiles):
        at = 100 + 30 * n
        # Each round in a store of its own.
        for record in (
            tape.claim(at, "shop#1", denied=True),
            tape.claim(at + 2, "shop#2"),
            tape.wire(at + 4, "shop#1->redis", **meanwhile),
            tape.release(at + 6, "shop#1"),
        ):
            record["link"] += str(n)


def claims_of_others(tape: Tape) -> None:
    """A service deletes what it never asks for, and a script or a tap that went blind may have changed whose it is."""
    tape.claim(100, "shop#1")
    tape.release(110, "desk#1")
    tape.release(120, "shop#2")


def claims_asked_rightly(tape: Tape) -> None:
    """An answer is lost, and the replica looks, or asks until it gets the claim; or the request was lost."""
    tape.claim(100, "shop#1", phase="lost_reply", n=1)
    tape.claim(105, "shop#1", denied=True, n=1)
    tape.wire(107, "shop#1->redis", "GET", key="claim:placed-1", kind="bulk")
    tape.claim(110, "shop#1", phase="lost_reply", n=2)
    tape.claim(115, "shop#1", denied=True, n=2)
    tape.claim(180, "shop#1", n=2)
    tape.claim(120, "shop#1", phase="lost_request", kind=None, n=3)
    tape.claim(125, "shop#1", denied=True, n=3)
    tape.claim(130, "shop#1", phase="unanswered", kind=None, n=5)
    tape.claim(135, "shop#1", denied=True, n=5)
    tape.claim(140, "shop#1", n=6)
    tape.claim(145, "shop#1", denied=True, n=6)
    tape.claim(150, "shop#1", phase="lost_reply", n=8)
    tape.claim(155, "shop#2", denied=True, n=8)


def messages_in_order(tape: Tape) -> None:
    """The look that finds no effect begins first, or the commit was refused, or another group's, or a transaction's."""
    effects_late(tape)
    commit: dict[str, Any] = {"key": "shop", "kind": "ok", "places": [["orders", 0, 2]]}
    tape.wire(301, "shop#1->kafka", "OffsetCommit", **commit)
    tape.wire(290, "shop#1->kafka", "OffsetCommit", **commit | {"kind": "NOT_COORDINATOR"})
    tape.wire(290, "shop#1->kafka", "OffsetCommit", phase="lost_request", **commit | {"kind": None})
    tape.wire(290, "shop#1->kafka", "OffsetCommit", **commit | {"places": [["orders", 0, 0]]})
    tape.wire(290, "desk#1->kafka", "OffsetCommit", **commit)
    tape.wire(290, "shop#1->kafka", "TxnOffsetCommit", **commit)
    tape.wire(290, "shop#1->kafka", "Produce", key="orders", kind="ok", places=[["orders", 0, 1]])
    tape.wire(301, "desk#1->kafka", "Produce", key="shipping", kind="ok", places=[["shipping", 0, 3]])
    tape.wire(290, "desk#2->kafka", "Produce", key="shipping", kind="ok", places=[["shipping", 0, 4]])
    tape.wire(295, "desk#2->kafka", "EndTxn", key="desk", kind="ok")


def load_on_two_machines(tape: Tape) -> None:
    """Both parts are here; the clock of one is slow, so that an upload seems to have been answered before it was."""
    for worker in ("w1", "w2"):
        tape.add(5, "load", "joined", worker=worker)
        tape.add(290, "load", "ended", worker=worker)
    for record in tape.find("upload", upload_id="u3"):
        record["placed"] = True
    tape.blob(tape.look(350, "blobs"), 3, "missing", why="answer")


def batch_that_was_not_filled(tape: Tape) -> None:
    """Its other upload was never sent: no outcome of it may come, and none need."""
    tape.header["plan"]["scenario"] = {"load": {"batch": 2}}
    tape.upload(255, 30)
    tape.event(topics(tape), 30, "placed", 0, 11)
    tape.event(topics(tape), 30, "shipped", 0, 30)
    tape.blob(final(tape, "blobs"), 30)
    ends(tape, 0, 12)
    for read in tape.find("read", "invoke", what="effects"):
        for consumer in ("shop", "desk"):
            tape.effect(read, consumer, "placed", 30)


def good(tape: Tape) -> None:
    """As it is."""


def published_twice(tape: Tape) -> None:
    ends(tape, 0, 13)
    tape.event(topics(tape), 4, "placed", 0, 11)
    tape.event(topics(tape), 6, "placed", 0, 12, injected="kafka.duplicate")


def dead_letters_for_malformed(tape: Tape) -> None:
    letters(tape, "malformed", malformed(tape), "shop", "desk")


def dead_letter_sent_twice_by_a_tap(tape: Tape) -> None:
    """A tap let the service's Produce reach the broker twice, so the second letter is the fault's."""
    event = malformed(tape)
    letters(tape, "malformed", event, "shop", "desk", "shop")
    second = tape.find("dead_letter", consumer="shop")[1]
    tape.publish(final(tape, "dead_letters")["t"] / MS - 2, "tap.duplicate", second, offset=second["offset"])


def effect_with_rounded_integers(tape: Tape) -> None:
    """One consumer computes the digest as RFC 8785 has it, with doubles, the other with every digit."""
    event = rounded_integers(tape)
    for effect in effects_of(tape, "placed-4", "shop"):
        effect["digest"] = event["digest_rounded"]


def conflict_reported(tape: Tape) -> None:
    letters(tape, "conflict", conflict(tape), "shop", "desk")


def conflict_set_aside_without_a_reason(tape: Tape) -> None:
    letters(tape, "unsaid", conflict(tape), "shop", "desk")


def conflict_won_by_the_other(tape: Tape) -> None:
    event = conflict(tape)
    letters(tape, "conflict", tape.one("event", event_id="placed-4", marked=None), "shop", "desk")
    for consumer in ("shop", "desk"):
        for effect in effects_of(tape, "placed-4", consumer):
            effect["digest"] = event["digest"]


def unknown_upload_with_an_outcome(tape: Tape) -> None:
    tape.one("upload", "ok", upload_id="u4").update(phase="unknown", raw_file_storage_id=None, status=503)


def unknown_upload_with_bytes_of_its_clients(tape: Tape) -> None:
    """A client that is a program says what it sent, also where it heard no answer; something else was meant to be sent."""
    unknown_upload_with_an_outcome(tape)
    tape.one("upload", "invoke", upload_id="u4")["sha256"] = "f" * 8


def unknown_upload_without_an_outcome(tape: Tape) -> None:
    tape.upload(260, 30, phase="unknown", took=30)
    tape.upload(265, 31, phase="none")


def unknown_upload_sent_again(tape: Tape) -> None:
    tape.upload(5, 4, phase="unknown")


def refused_upload(tape: Tape) -> None:
    tape.upload(260, 30, phase="fail", acceptable=False)


def reprocessed(tape: Tape) -> None:
    outcome_doubled(tape)
    invoke = tape.add(310, "reprocess", "invoke", upload_id=f"u{REJECTED}")
    tape.add(320, "reprocess", "ok", upload_id=f"u{REJECTED}", of=invoke)


def batch_reprocessed(tape: Tape) -> None:
    """Each of its uploads may have been, so it may have three outcomes."""
    for n in (4, 5):
        invoke = tape.add(310, "reprocess", "invoke", upload_id=f"u{n}")
        tape.add(320, "reprocess", "unknown", upload_id=f"u{n}", of=invoke)
        tape.event(topics(tape), 2, "closed", 1, 20 + n, event_id=f"closed-2-{n}")


def batch_of_an_unknown_upload(tape: Tape) -> None:
    """Nothing says that one of its uploads was taken, so it need not close."""
    unknown_upload_with_an_outcome(tape)
    tape.drop([*tape.find("event", event_id="placed-4"), *tape.find("event", event_id="shipped-4")])
    tape.drop(tape.find("event", event_id="closed-2"))
    everywhere(tape, "placed-4")


def header_forwarded(tape: Tape) -> None:
    """The system passes a fault's header on to its own follow-up, which is none of the harness's."""
    tape.one("event", event_id="shipped-4")["marked"] = "kafka.duplicate"


def window_of_few_uploads_and_many_records(tape: Tape) -> None:
    """Hardly an upload was begun, but the consumer that the fault hit had plenty to do."""
    window_too_quiet(tape)
    tape.one("fault", "healed")["given"] = 12


def malformed_published_again(tape: Tape) -> None:
    """A copy of a malformed record is malformed: each was set aside."""
    first = malformed(tape)
    ends(tape, 0, 13)
    copied = {"event_id": "orders:0:12", "injected": "kafka.duplicate"}
    second = tape.malformed(topics(tape), 0, 12, **copied)
    for n, event in enumerate((first, second)):
        for k, consumer in enumerate(("shop", "desk")):
            tape.letter(final(tape, "dead_letters"), 2 * n + k, consumer, "malformed", event)


def retried(tape: Tape, event: dict, offset: int = 0) -> dict:
    """Desk puts a malformed record on its retry topic, and passes it there."""
    for read in tape.find("read", "invoke", what="offsets"):
        tape.drop(tape.find("offset", read=read, topic="retry"))
        tape.offset(read, "desk", ("retry", 0), committed=offset + 1, end=offset + 1)
    copied = {"topic": "retry", "event_id": f"retry:0:{offset}", "injected": None, "malformed": event["malformed"]}
    return tape.malformed(topics(tape), 0, offset, **copied)


def spoiled(tape: Tape) -> dict:
    """A malformed record, as the harness makes them, which shop sets aside."""
    event = malformed(tape)
    event["malformed"] = "spoiled by kafka.malformed: bytes"
    letters(tape, "malformed", event, "shop")
    return event


def malformed_retried(tape: Tape) -> None:
    """Desk sets it aside once, and names the place on the retry topic."""
    tape.letter(final(tape, "dead_letters"), 1, "desk", "malformed", retried(tape, spoiled(tape)))


def malformed_retried_by_its_first_place(tape: Tape) -> None:
    """Desk sets it aside once, and names the place where it was first."""
    event = spoiled(tape)
    retried(tape, event)
    tape.letter(final(tape, "dead_letters"), 1, "desk", "malformed", event)


def neither_of_two_with_the_same_bytes(tape: Tape) -> None:
    """The harness published both, so both are to be set aside."""
    event = malformed(tape)
    ends(tape, 0, 13)
    tape.malformed(topics(tape), 0, 12, injected="kafka.duplicate")
    letters(tape, "malformed", event, "shop", "desk")
    tape.letter(final(tape, "dead_letters"), 2, "shop", "malformed", tape.one("event", offset=12, topic="orders"))


def neither_after_a_replay(tape: Tape) -> None:
    """The letter is replayed, onto the retry topic, where nothing follows it."""
    event = spoiled(tape)
    for read in (tape.look(440, "dead_letters"), final(tape, "dead_letters")):
        tape.letter(read, 1, "desk", "malformed", event)
    replay(tape, event, consumer="desk", event_id=event["event_id"])
    retried(tape, event)


def undecided_copy_of_either(tape: Tape) -> None:
    """The harness published two with the same bytes; desk retried both, and set one aside."""
    event = spoiled(tape)
    ends(tape, 0, 13)
    other = tape.malformed(topics(tape), 0, 12, malformed=event["malformed"])
    letters(tape, "malformed", other, "shop")
    tape.find("dead_letter")[-1]["offset"] = 1
    retried(tape, event)
    tape.letter(final(tape, "dead_letters"), 2, "desk", "malformed", retried(tape, other, 1))


def malformed_of_anothers_type(tape: Tape) -> None:
    """It claims a type that the desk does not apply, and so need not look at."""
    event = malformed(tape)
    event["event_type"] = "refused"
    letters(tape, "malformed", event, "shop")


def anothers_topic(tape: Tape) -> None:
    """An audit topic holds copies of events that the consumers do not read there."""
    for n in (4, 6):
        tape.event(topics(tape), n, "placed", 0, n, topic="audit")


def replay(tape: Tape, event: dict, *, consumer: str = "shop", event_id: str = "placed-4") -> None:
    """A consumer is asked to process its dead letter of a record again."""
    place = {f"source_{name}": event[name] for name in ("topic", "partition", "offset")}
    about = {"consumer": consumer, "event_id": event_id, **place}
    tape.add(460, "replay", "ok", of=tape.add(450, "replay", "invoke", **about), **about)


def replayed(tape: Tape) -> None:
    """Set aside, taken back, and applied once."""
    effect_and_dead_letter_before_its_replay(tape)
    tape.drop(effects_of(tape, "placed-4")[:1])


def effect_and_dead_letter_before_its_replay(tape: Tape) -> None:
    """The letter is taken back, when the effect has been there for long."""
    event = tape.one("event", event_id="placed-4")
    for read in (tape.look(440, "dead_letters"), final(tape, "dead_letters")):
        tape.letter(read, 0, "shop", "poison", event)
    replay(tape, event)


def effect_and_dead_letter_beside_a_replay(tape: Tape) -> None:
    """What is taken back is the letter of a malformed record that claims the event's id."""
    event, claiming = tape.one("event", event_id="placed-4"), malformed(tape)
    claiming.update(claims="placed-4", event_type="placed")
    tape.drop(effects_of(tape, "placed-4")[:1])
    for read in (tape.look(440, "dead_letters"), final(tape, "dead_letters")):
        tape.letter(read, 0, "shop", "poison", event)
        tape.letter(read, 1, "shop", "malformed", claiming, event_id="placed-4")
        tape.letter(read, 2, "desk", "malformed", claiming, event_id="placed-4")
    replay(tape, claiming)


def set_aside_again(tape: Tape) -> None:
    """A second dead letter of the same record, which the first look at the letters after the replay found."""
    replayed(tape)
    event = tape.one("event", event_id="placed-4")
    for read in (tape.look(470, "dead_letters"), final(tape, "dead_letters")):
        tape.letter(read, 1, "shop", "poison", event)


def effect_and_dead_letter_after_a_replay(tape: Tape) -> None:
    """A look after the answer to the replay did not find the second letter yet."""
    tape.look(462, "dead_letters")
    set_aside_again(tape)


def dead_lettered_wrongly_after_a_replay(tape: Tape) -> None:
    """Whether the second letter is from before the replay or not, the event has no effect."""
    set_aside_again(tape)
    tape.drop(effects_of(tape, "placed-4"))


def undecided_letter_from_before_a_replay(tape: Tape) -> None:
    """The effects were read too early for what the replay may have led to."""
    dead_lettered_wrongly_after_a_replay(tape)
    reading(tape, "effects", later=-LATE_BEGUN / 2)


def undecided_replay(tape: Tape) -> None:
    """Nobody knows whether the replay of a dead letter was granted, and the event has no effect."""
    lost_after_a_replay(tape)
    tape.one("replay", "ok").update(phase="unknown")


def letter_copied_by_a_fault(tape: Tape) -> None:
    """A fault publishes a dead letter again after its replay: the system said nothing more."""
    replayed(tape)
    copy = tape.letter(final(tape, "dead_letters"), 1, "shop", "poison", tape.one("event", event_id="placed-4"))
    tape.publish(13_000, "kafka.duplicate", copy, offset=1)


def tombstone(tape: Tape) -> dict:
    """A record without a value, which both consumers pass."""
    ends(tape, 0, 12)
    return tape.tombstone(topics(tape), 0, 11)


def tombstone_passed(tape: Tape) -> None:
    """Nothing follows it, and no letter is asked for."""
    tombstone(tape)


def tombstone_set_aside(tape: Tape) -> None:
    """A consumer that cannot read it names it by its key, which is the id of an event that was applied."""
    tape.letter(final(tape, "dead_letters"), 0, "shop", "poison", {**tombstone(tape), "event_id": "placed-4"})


def lost_beside_a_tombstone(tape: Tape) -> None:
    """The letter is of the tombstone, so it stands for no effect of the event whose id it names."""
    tombstone_set_aside(tape)
    lost(tape)


def tombstone_late(tape: Tape) -> None:
    """An outcome is missing, and a tombstone came so lately that the system may be slow."""
    followup_missing(tape)
    tape.tombstone(tape.look(10_000, "topics"), 0, 11)


def undecided_unreadable_effect(tape: Tape) -> None:
    """An effect of the consumer cannot be read; it may be the one that is missing."""
    for effect in effects_of(tape, "placed-4", "desk"):
        for name in ("event_id", "effect", "digest"):
            del effect[name]
        effect.update(topic="billed", partition=0, offset=4, error="not JSON")


def undecided_unreadable_letter(tape: Tape) -> None:
    """A malformed record was passed, and a dead letter that cannot be read may be of it."""
    letters(tape, "malformed", malformed(tape), "shop", "desk")
    tape.find("dead_letter", consumer="desk")[0].update(error="not JSON")


def undecided_refilled(tape: Tape) -> None:
    """The broker lost a record that the group had passed, and gave its place to another one, which was never delivered."""
    event = tape.one("event", event_id="placed-4")
    place = {name: event[name] for name in ("topic", "partition", "offset")}
    tape.put(40, {**place, "event_id": "placed-90"})
    everywhere(tape, "placed-4")


def read_again_after_a_loss(tape: Tape) -> None:
    """The broker lost a record that the group had passed; the group then read and applied what took its place."""
    event = tape.one("event", event_id="placed-4")
    tape.put(40, {**{name: event[name] for name in ("topic", "partition", "offset")}, "event_id": "placed-90"})
    for consumer in ("shop", "desk"):
        tape.drop(effects_of(tape, "placed-4", consumer)[:1])


def letter_copied_without_an_answer(tape: Tape) -> None:
    """As before, and the broker never said where the copy is: its header does."""
    replayed(tape)
    copy = tape.letter(final(tape, "dead_letters"), 1, "shop", "poison", tape.one("event", event_id="placed-4"))
    copy["marked"] = "kafka.duplicate"
    tape.publish(13_000, "kafka.duplicate", copy, offset=None)


def hidden_by_an_open_transaction(tape: Tape) -> None:
    """The effects are records of a topic; a transaction that was open hid one which was committed with its offset."""
    for effect in tape.find("effect", consumer="desk"):
        n = int(effect["event_id"].removeprefix("placed-"))
        effect.update(effect=f"billed:0:{n}", topic="billed", partition=0, offset=n)
    tape.drop(effects_of(tape, "placed-4", "desk")[:1])


def multiplicity_unseen_by_type(tape: Tape) -> None:
    """The rows of one type have a key that the event carries; those of the other have numbers of their own."""
    for effect in tape.find("effect", consumer="shop"):
        number = effect["event_id"].rpartition("-")[2]
        own = effect["event_id"].startswith("refused")
        effect.update(effect=f"order-{number}", template=f"row-{number}" if own else "order-{/data/number}")


def one_name_that_equals_a_value(tape: Tape) -> None:
    """Rows have numbers; that of the only refused order is by chance the number of its pages."""
    for effect in tape.find("effect", consumer="shop"):
        number = effect["event_id"].rpartition("-")[2]
        chance = effect["event_id"].startswith("refused")
        effect.update(effect=number, template="{/data/pages}" if chance else number)


def effects_with_names_of_their_own(tape: Tape) -> None:
    """Names that begin with what the event carries, and go on with something that it does not."""
    for effect in tape.find("effect", consumer="desk"):
        number = effect["event_id"].removeprefix("placed-")
        own = f"{int(number) * 7919 % 10007:04x}"
        effect.update(effect=f"order-{number}-{own}", template=f"order-{{/data/number}}-{own}")


def batch_of_a_refused_upload(tape: Tape) -> None:
    tape.upload(255, 30)
    tape.upload(260, 31, phase="fail", acceptable=False)
    tape.event(topics(tape), 30, "placed", 0, 11)
    tape.event(topics(tape), 30, "shipped", 0, 30)
    tape.blob(final(tape, "blobs"), 30)
    ends(tape, 0, 12)
    for read in tape.find("read", "invoke", what="effects"):
        for consumer in ("shop", "desk"):
            tape.effect(read, consumer, "placed", 30)


def batch_without_an_acceptable_upload(tape: Tape) -> None:
    for record in tape.find("upload", batch="g3"):
        record["acceptable"] = False
    tape.drop([*tape.find("event", event_id="placed-6"), *tape.find("event", event_id="shipped-6")])
    tape.drop(tape.find("event", event_id="closed-3"))
    everywhere(tape, "placed-6")
    tape.event(topics(tape), 6, "refused", 0, 3)
    for read in tape.find("read", "invoke", what="effects"):
        tape.effect(read, "shop", "refused", 6)


def put_on_a_retry_topic(tape: Tape) -> None:
    """A look at the offsets finds the retry topic empty, and then the event passed, which stands on the retry topic by now."""
    premature_commit(tape)
    tape.event(tape.look(425, "topics"), 4, "placed", 0, 0, topic="retry")
    for read in tape.find("read", "invoke", what="offsets"):
        done = read is final(tape, "offsets")
        tape.offset(read, "shop", ("retry", 0), committed=1 if done else None, end=1 if done else 0)


def applied_after_its_receipt(tape: Tape) -> None:
    """The consumer commits an offset once it has stored the record, and applies it a little later."""
    premature_commit(tape)
    tape.checks["deferred"] = ["shop"]


def effect_first_seen_late(tape: Tape) -> None:
    """Its offset was not passed when the interim pass did not find it."""
    premature_commit(tape)
    committed(tape, 2, only_final=False)
    committed(tape, 11)


def same_bytes_twice(tape: Tape) -> None:
    """Two uploads of the same bytes may share a blob."""
    for record in [*tape.find("upload", upload_id="u5"), *tape.find("event", upload_id="u5")]:
        record["sha256"] = sha(4) if "sha256" in record else None
        if record.get("raw_file_storage_id"):
            record["raw_file_storage_id"] = "b4"
    tape.drop(tape.find("blob", raw_file_storage_id="b5"))


def without_digests(tape: Tape) -> None:
    """Effects that do not say what they carry, and are told apart by nothing but their rows."""
    for effect in tape.find("effect", consumer="desk"):
        effect["digest"] = None


# events that the load put on a topic


def put(tape: Tape, n: int = 4, *, phase: str = "ok") -> dict:
    """The load published placed-n, which needs no upload then."""
    event = tape.one("event", event_id=f"placed-{n}")
    tape.put(200, event, phase=phase)
    return event


def record_lost(tape: Tape) -> None:
    """The broker acknowledged an event that is not there: nothing of it is the system's fault."""
    tape.put(200, {"topic": "orders", "event_id": "placed-90", "partition": 0, "offset": 90})


def record_lost_to_another(tape: Tape) -> None:
    """The topic was made anew, so another event has the place of one that was acknowledged."""
    tape.put(200, {"topic": "orders", "event_id": "placed-90", "partition": 0, "offset": 0})


def phantom_of_a_lost_record(tape: Tape) -> None:
    """An event without an answer had an effect, so it was there: the broker lost it, and the system made nothing up."""
    tape.put(200, {"topic": "orders", "event_id": "placed-99", "partition": 0, "offset": 90}, phase="unknown")
    phantom(tape)


def phantom_of_a_refused_record(tape: Tape) -> None:
    """The broker refused an event, which has an effect all the same."""
    tape.put(200, {"topic": "orders", "event_id": "placed-99", "partition": 0, "offset": 90}, phase="fail")
    tape.one("publish", "fail").update(partition=None, offset=None)
    phantom(tape)


def event_published_twice(tape: Tape) -> None:
    """The load published an event once, and it is on the topic twice."""
    event = put(tape)
    ends(tape, 0, 12)
    tape.event(topics(tape), 4, "placed", event["partition"], 11)


def put_by_the_load(tape: Tape) -> None:
    """Events of the load, one without an answer, which is there all the same."""
    put(tape)
    put(tape, 6, phase="unknown")


def put_without_an_answer(tape: Tape) -> None:
    """An event without an answer is not there, and nothing came of it."""
    tape.put(200, {"topic": "orders", "event_id": "placed-99", "partition": 0, "offset": 90}, phase="unknown")


BAD: dict[str, Callable[[Tape], None]] = {
    "lost": lost,
    "duplicate": duplicate,
    "duplicate.under_one_name": duplicate_under_one_name,
    "unexercised": unexercised,
    "undecided.at_rest": waiting_at_rest,
    "phantom": phantom,
    "corrupt": corrupt,
    "corrupt.rounded": corrupt_though_integers_are_rounded,
    "effect_vanished": effect_vanished,
    "type_not_applied": type_not_applied,
    "conflated": conflated,
    "conflated.rounded": conflated_in_rounded_digits,
    "conflated.types": conflated_of_two_types,
    "conflated.uploads": conflated_of_two_uploads,
    "total_undecided.one_id": total_undecided_of_two_uploads,
    "conflict_unreported": conflict_unreported,
    "effect_and_dead_letter": effect_and_dead_letter,
    "neither": neither,
    "neither.other_letters": neither_beside_a_letter_without_a_place,
    "neither.same_bytes": neither_of_two_with_the_same_bytes,
    "neither.after_a_replay": neither_after_a_replay,
    "undecided.copy_of_either": undecided_copy_of_either,
    "neither.total": neither_of_a_total,
    "neither.totals_alone": neither_of_totals_alone,
    "neither.silent_totals": neither_of_silent_totals_alone,
    "dead_lettered_wrongly": dead_lettered_wrongly,
    "dead_lettered_wrongly.totals_alone": dead_lettered_wrongly_of_totals_alone,
    "premature_commit": premature_commit,
    "premature_commit.before_a_copy": premature_commit_before_a_copy,
    "stalled": stalled,
    "arrived_late": arrived_late,
    "multiplicity_unseen": multiplicity_unseen,
    "multiplicity_unseen.order": multiplicity_unseen_by_an_order,
    "multiplicity_unseen.key": multiplicity_unseen_by_key,
    "total_wrong": total_wrong,
    "total_wrong.lost": total_wrong_of_a_lost_event,
    "total_wrong.two": total_wrong_of_two,
    "total_wrong.no_reason": total_wrong_for_no_reason,
    "total_wrong.no_row": total_wrong_without_a_row,
    "total_wrong.replay": total_wrong_whatever_was_replayed,
    "total_undecided": total_undecided,
    "total_undecided.amount": total_undecided_without_an_amount,
    "total_undecided.before": total_undecided_before,
    "total_undecided.key": total_undecided_by_its_key,
    "total_undecided.spelling": total_undecided_by_its_spelling,
    "total_undecided.nothing": total_undecided_of_nothing,
    "total_undecided.early": total_undecided_too_early,
    "total_undecided.illegible": total_undecided_illegible,
    "total_cancels": total_cancels,
    "total_cancels.nothing": total_cancels_of_nothing,
    "total_cancels.apart": total_cancels_apart,
    "total_cancels.opposite": total_cancels_of_opposite_amounts,
    "total_undecided.replay": total_unclear_replay,
    "total_undecided.copy": total_undecided_for_a_copy,
    "undecided.replay": undecided_replay,
    "undecided.tombstone": tombstone_late,
    "lost.tombstone": lost_beside_a_tombstone,
    "undecided.unread_conflict": undecided_conflict_that_may_be_unread,
    "undecided.unread_cause": undecided_cause_that_may_be_unread,
    "undecided.illegible_cause": undecided_cause_that_may_be_illegible,
    "undecided.set_aside_again": set_aside_again,
    "undecided.letter_from_before_a_replay": undecided_letter_from_before_a_replay,
    "effect_and_dead_letter.after_a_replay": effect_and_dead_letter_after_a_replay,
    "effect_and_dead_letter.before_its_replay": effect_and_dead_letter_before_its_replay,
    "effect_and_dead_letter.beside_a_replay": effect_and_dead_letter_beside_a_replay,
    "dead_lettered_wrongly.after_a_replay": dead_lettered_wrongly_after_a_replay,
    "undecided.letter_without_a_place": undecided_letter_without_a_place,
    "undecided.letters_of_some": undecided_letters_of_some,
    "undecided.letter_with_a_topic": undecided_letter_with_a_topic,
    "undecided.letter_of_either": undecided_letter_of_either,
    "dead_letter_unmatched": dead_letter_unmatched,
    "dead_letter_unmatched.spelling": dead_letter_unmatched_in_spelling,
    "dead_letter_unmatched.elsewhere": dead_letter_unmatched_elsewhere,
    "dead_letter_unmatched.nothing": dead_letter_unmatched_of_nothing,
    "dead_letter_unmatched.nobody": dead_letter_unmatched_of_nobody,
    "undecided.letter_called_malformed": undecided_letter_of_an_event_called_malformed,
    "lost.letter_of_a_malformed_record": lost_beside_a_letter_of_a_malformed_record,
    "undecided.letter_of_a_copy": undecided_letter_of_a_copy,
    "undecided.letter_of_anyone": undecided_letter_of_anyone,
    "undecided.conflict_of_anyone": undecided_conflict_of_anyone,
    "undecided.conflict_without_a_name": undecided_conflict_without_a_name,
    "undecided.unreadable_effect": undecided_unreadable_effect,
    "undecided.unreadable_letter": undecided_unreadable_letter,
    "undecided.refilled": undecided_refilled,
    "record_lost.read_again": read_again_after_a_loss,
    "multiplicity_unseen.type": multiplicity_unseen_by_type,
    "outcome_key_missing": outcome_key_missing,
    "outcome_key_missing.of_two_kinds": outcome_key_missing_of_two_kinds,
    "outcome_unexercised": outcome_unexercised,
    "outcome_unexercised.keyless": outcome_unexercised_without_keys,
    "outcome_unexercised.batches": outcome_unexercised_batches,
    "outcome_not_asked": outcome_not_asked,
    "outcome_unseen": outcome_unseen,
    "followup_unclear": followup_unclear,
    "followup_unasked": followup_unasked,
    "followup_unasked.of_one_number": followups_unasked_of_one_number,
    "undecided.followups_of_one_unseen_cause": undecided_followups_of_one_unseen_cause,
    "raw_vanished": raw_vanished,
    "raw_changed": raw_changed,
    "raw_unexercised": raw_unexercised,
    "raw_unread.of_no_upload": raw_unread_of_no_upload,
    "key_shared": key_shared,
    "key_missing": key_missing,
    "keys_differ": keys_differ,
    "duplicate.key": duplicate_by_key,
    "lost.key": lost_by_key,
    "lost.shared_key": lost_of_a_shared_key,
    "phantom.key": phantom_by_key,
    "corrupt.key": corrupt_by_key,
    "id_differs.key": id_differs_by_key,
    "undecided.key": undecided_by_key,
    "record_unreadable.effect": record_unreadable_of_effects,
    "id_differs": id_differs,
    "dead_letter_contradicts": dead_letter_contradicts,
    "dead_letter_contradicts.event": dead_letter_contradicts_an_event,
    "offsets_unseen": offsets_unseen,
    "lost.silent": lost_without_offsets,
    "lost.replay": lost_after_a_replay,
    "stalled.head": stalled_head,
    "neither.overwritten": neither_of_what_was_overwritten,
    "undecided.overwritten": undecided_after_what_was_overwritten,
    "undecided.overwritten_unread": undecided_after_what_was_overwritten_unread,
    "undecided.overwritten_followup": undecided_followup_after_what_was_overwritten,
    "undecided.overwritten_copy": undecided_copy_that_was_overwritten,
    "lost.receipt": lost_after_its_receipt,
    "undecided.receipt": undecided_after_its_receipt,
    "undecided.conflict_receipt": undecided_conflict_after_its_receipt,
    "undecided.malformed_receipt": undecided_malformed_after_its_receipt,
    "total_wrong.receipt": total_wrong_after_its_receipt,
    "total_undecided.receipt": total_undecided_after_its_receipt,
    "undecided.slow": undecided_slow,
    "undecided.kept_elsewhere": kept_elsewhere,
    "undecided.committed_behind": committed_behind,
    "undecided.committed_behind_a_letter": committed_behind_a_letter,
    "undecided.committed_behind_a_conflict": committed_behind_a_letter_of_an_event,
    "stalled.behind_what_is_done": stalled_behind_what_is_done,
    "stalled.another_fact": stalled_before_another_fact,
    "undecided.came_late": came_late,
    "stalled.another_came_late": stalled_where_another_came_late,
    "total_undecided.just_came": total_undecided_just_came,
    "undecided.illegible": undecided_illegible,
    "undecided.outcomes_slow": undecided_outcomes_slow,
    "undecided.last_seen": undecided_last_seen,
    "undecided.followup_of_nothing": undecided_followup_of_nothing,
    "undecided.followups_of_one_rule": undecided_followups_of_one_rule,
    "undecided.followups_of_one_rule_late": undecided_followups_of_one_rule_late,
    "undecided.followups_of_one_cause": undecided_followups_of_one_cause,
    "undecided.followups_without_causes": undecided_followups_without_causes,
    "followup_missing.of_one_rule": followup_missing_of_one_rule,
    "followup_doubled.of_several_rules": followup_doubled_of_several_rules,
    "followup_doubled.of_a_faults_event": followup_doubled_of_a_faults_event,
    "undecided.followups_by_another_value": undecided_followups_by_another_value,
    "undecided.outcomes_by_another_value": undecided_outcomes_by_another_value,
    "undecided.whether_of_the_kind": undecided_whether_of_the_kind,
    "outcome_missing.of_its_kind": outcome_missing_of_its_kind,
    "outcome_unseen.of_a_kind": outcome_unseen_of_a_kind,
    "undecided.followup_of_a_known_cause": undecided_followup_of_a_known_cause,
    "undecided.spelling": undecided_spelling_of_a_followup,
    "undecided.spelling_of_an_upload": undecided_spelling_of_an_upload,
    "undecided.spelling_of_a_second": undecided_spelling_of_a_second_followup,
    "asked_too_little": asked_too_little,
    "record_unreadable": record_unreadable,
    "record_malformed": record_malformed,
    "unexercised.elsewhere": unexercised_where_it_reads,
    "outcome_missing.unknown_upload": outcome_missing_of_a_batch_with_an_unknown_upload,
    "outcome_missing.reprocess": outcome_missing_after_a_reprocess,
    "outcome_missing.by_either_rule": outcome_missing_by_either_rule,
    "undecided.whether_met_again": undecided_whether_met_again,
    "outcome_missing.second_rule": outcome_missing_by_a_second_rule,
    "followup_doubled.forwarded": followup_doubled_with_a_forwarded_header,
    "raw_missing.unknown_upload": raw_missing_of_an_unknown_upload,
    "undecided": undecided,
    "dead_letter_doubled": dead_letter_doubled,
    "outcome_missing": outcome_missing,
    "outcome_doubled": outcome_doubled,
    "outcome_missing.batch": outcome_missing_batch,
    "outcome_missing.read_again": outcome_missing_though_effects_were_read_again,
    "outcome_missing.all_read_again": outcome_missing_though_everything_was_read_again,
    "outcome_missing.healthy_at_last": outcome_missing_healthy_at_last,
    "outcome_doubled.batch": outcome_doubled_batch,
    "outcome_doubled.before_a_reprocess": outcome_doubled_before_it_was_reprocessed,
    "outcome_doubled.batch_before_a_reprocess": outcome_doubled_of_a_batch_before_it_was_reprocessed,
    "outcome_missing.since_a_reprocess": outcome_missing_since_it_was_reprocessed,
    "outcome_doubled.after_a_refusal": outcome_doubled_after_a_refusal,
    "outcome_unasked.batch": outcome_unasked_batch,
    "outcome_wrong": outcome_wrong,
    "outcome_unasked": outcome_unasked,
    "refused_wrongly": refused_wrongly,
    "followup_missing": followup_missing,
    "followup_doubled": followup_doubled,
    "undecided.outcomes": outcome_undecided,
    "undecided.late": acknowledged_late,
    "undecided.lost_worker": acknowledged_by_a_lost_worker,
    "raw_missing": raw_missing,
    "raw_dropped_on_rejection": raw_dropped_on_rejection,
    "raw_different": raw_different,
    "raw_different.of_two_events": raw_different_of_two_events,
    "raw_different.of_an_event_alone": raw_different_of_an_event_alone,
    "raw_unread.beside_an_upload_without_a_hash": raw_unread_beside_an_upload_without_a_hash,
    "raw_overwritten": raw_overwritten,
    "raw_late": raw_late,
    "raw_late.unread": raw_late_and_unread,
    "raw_dangling": raw_dangling,
    "raw_unread": raw_unread,
    "raw_unread.unknown_upload": raw_unread_of_an_unknown_upload,
    "fault_never_bit": fault_never_bit,
    "fault_never_bit.by_clock": fault_never_bit_by_the_clock,
    "fault_not_healed": fault_not_healed,
    "fault_not_healed.once": fault_not_healed_once,
    "too_few_operations": too_few_operations,
    "window_too_quiet": window_too_quiet,
    "window_too_quiet.given": window_too_quiet_for_its_consumer,
    "unhealthy_start": unhealthy_start,
    "unhealthy_end": unhealthy_end,
    "load_fell_behind": load_fell_behind,
    "read_failed": read_failed,
    "not_at_rest": not_at_rest,
    "history_incomplete": history_incomplete,
    "history_incomplete.line": history_incomplete_without_a_line,
    "load_incomplete": load_incomplete,
    "load_incomplete.elsewhere": load_incomplete_elsewhere,
    "load_incomplete.raised": load_incomplete_raised,
    "not_covered": not_covered,
    "not_covered.elsewhere": not_covered_elsewhere,
    "not_covered.by_each": not_covered_by_each,
    "not_covered.lost": not_covered_lost,
    "not_covered.refused": not_covered_refused,
    "not_covered.store_lost": not_covered_store_lost,
    "not_covered.counted": not_covered_counted,
    "not_covered.aside": not_covered_aside,
    "not_covered.hashed": not_covered_hashed,
    "not_covered.spoken": not_covered_spoken,
    "not_covered.given_back": not_covered_given_back,
    "not_covered.killed_at_its_reply": not_covered_killed_at_its_reply,
    "not_covered.slow_look": not_covered_slow_look,
    "not_covered.offsets_elsewhere": not_covered_offsets_elsewhere,
    "not_covered.plain": not_covered_plain,
    "not_covered.commit_under_way": not_covered_commit_under_way,
    "not_covered.large_commit": not_covered_large_commit,
    "record_lost": record_lost,
    "record_lost.to_another": record_lost_to_another,
    "undecided.lost_record": phantom_of_a_lost_record,
    "phantom.refused": phantom_of_a_refused_record,
    "published_twice": event_published_twice,
    "tap_failed": tap_failed,
    "link_unused": link_unused,
    "tap_plain": tap_plain,
    "cannot_be_seen": cannot_be_seen,
    "calibration_stale": calibration_stale,
    "claim_released_by_another": claim_released_by_another,
    "claim_released_by_another.denied": claim_released_by_another_denied,
    "claim_asked_again": claim_asked_again,
    "claim_asked_again.refused": claim_asked_again_refused,
    "offset_sent_before_effect": offset_sent_before_effect,
    "published_before_effect": published_before_effect,
}
"""File -> what is changed. A file is named by its anomaly; what stands after a dot tells two of them apart."""

GOOD: dict[str, Callable[[Tape], None]] = {
    change.__name__: change
    for change in (
        good,
        published_twice,
        dead_letters_for_malformed,
        dead_letter_sent_twice_by_a_tap,
        effect_with_rounded_integers,
        conflict_reported,
        conflict_set_aside_without_a_reason,
        conflict_won_by_the_other,
        unknown_upload_with_an_outcome,
        unknown_upload_with_bytes_of_its_clients,
        archived,
        archived_if_accepted,
        mailed_for_each,
        returned,
        invoiced,
        outcome_of_two_kinds,
        closed_by_a_timer,
        unknown_upload_without_an_outcome,
        unknown_upload_sent_again,
        refused_upload,
        reprocessed,
        reprocessed_by_one_rule,
        batch_reprocessed,
        batch_of_an_unknown_upload,
        batch_of_a_refused_upload,
        batch_without_an_acceptable_upload,
        overwritten,
        applied_after_its_receipt,
        effect_first_seen_late,
        put_on_a_retry_topic,
        same_bytes_twice,
        without_digests,
        load_on_two_machines,
        batch_that_was_not_filled,
        header_forwarded,
        malformed_published_again,
        malformed_retried,
        malformed_retried_by_its_first_place,
        window_of_few_uploads_and_many_records,
        malformed_of_anothers_type,
        letters_that_name_a_record_without_a_place,
        letters_that_name_nothing,
        letter_of_another_service,
        anothers_topic,
        replayed,
        effects_with_names_of_their_own,
        load_of_locust,
        load_at_its_rate,
        covered,
        covered_by_a_claim_that_tells_what_was_there,
        covered_with_the_store_lost,
        covered_behind_the_effect,
        covered_lost,
        covered_lost_as_another_died,
        calibrated_and_seen,
        claims_given_back,
        claims_that_may_be_its_own,
        claims_of_others,
        claims_asked_rightly,
        messages_in_order,
        put_by_the_load,
        put_without_an_answer,
        effects_by_a_business_key,
        totals_that_are_right,
        totals_alone,
        total_replay_without_an_answer,
        total_counted_beside,
        tombstone_passed,
        tombstone_set_aside,
        letter_copied_by_a_fault,
        letter_copied_without_an_answer,
        hidden_by_an_open_transaction,
        one_name_that_equals_a_value,
        followups_of_one_number,
        delivered,
        followup_of_a_faults_event,
        raw_named_by_an_event_alone,
        raw_shared_by_equal_bytes,
        effects_on_a_topic_that_a_fault_wrote_to,
    )
}


def main() -> None:
    """Write every file."""
    for name, change in BAD.items():
        good_run(change).write(FOLDER / "bad" / f"{name}.jsonl")
    for name, change in GOOD.items():
        good_run(change).write(FOLDER / "good" / f"{name}.jsonl")


if __name__ == "__main__":
    main()
