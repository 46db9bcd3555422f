"""A story in one line, in the form that the design gives."""

from pathlib import Path

from harness.checkers.judge import judge
from harness.history.reader import History
from harness.reports.short import shorts
from harness.reports.story import tell
from harness.reports.summary import subject, summary
from tests.histories.builder import Tape, final, good_run


def line(history: History, row: dict[str, object]) -> str:
    about = subject(row)
    assert about
    return summary(row, tell(history, *about), shorts(history, [about])[about])


def test_a_lost_event_in_one_line(history: History, lost: str) -> None:
    row: dict[str, object] = {"event_id": lost, "consumer": "essay_lifecycle"}
    assert line(history, row) == (
        "event 7f3a1111… essay_lifecycle  published 12.000 s, SET NX asked 12.031 s, killed 12.034 s, "
        "offset passed 14.200 s, no effect by 31.000 s"
    )


def test_a_duplicate_in_one_line(history: History, twice: str) -> None:
    row: dict[str, object] = {"event_id": twice, "consumer": "essay_lifecycle"}
    assert line(history, row) == (
        "event 9b2c2222… essay_lifecycle  published 12.600 s, SET NX asked 12.700 s, effect 15.100 s, "
        "published again 16.000 s, offset passed 18.000 s, second effect 31.100 s"
    )


def test_an_upload_in_one_line_is_about_its_blob(history: History) -> None:
    told = line(history, {"upload_id": "r1-0000000"})
    assert told.startswith("upload r1-0000000  uploaded 11.000 s, blob present 11.200 s")
    assert told.endswith("blob missing 17.000 s")
    assert "asked" not in told


def test_a_row_about_neither_has_no_story(history: History) -> None:
    assert subject({"fault": "f1"}) is None


def claimed(*commands: str) -> Tape:
    """A run in which the store was asked these of the event ``placed-4`` by ``shop``, a second apart."""
    tape = good_run()
    for n, command in enumerate(commands):
        tape.add(1000 * (n + 1), "claim", "seen", command=command, key="claim:shop:placed-4")
    return tape


def of_shop(tape: Tape, folder: Path) -> str:
    with History(tape.write(folder / "history.jsonl")) as history:
        return line(history, {"event_id": "placed-4", "consumer": "shop"})


def test_what_was_asked_is_not_said_to_be_granted(tmp_path: Path) -> None:
    """MONITOR shows no answer: a refused SET NX was told as "claimed again"."""
    told = of_shop(claimed("SET NX", "DEL", "SET NX", "SETNX", "SET"), tmp_path)
    assert told.endswith(
        "SET NX asked 1.000 s, DEL asked 2.000 s, SET NX asked again 3.000 s, SETNX asked 4.000 s, SET asked 5.000 s"
    )
    assert "claimed" not in told


def test_two_effects_seen_at_once_are_two(tmp_path: Path) -> None:
    def twice(tape: Tape) -> None:
        for read in ("interim", "final"):
            found = (
                final(tape, "effects") if read == "final" else tape.one("read", "invoke", what="effects", final=False)
            )
            tape.effect(found, "shop", "placed", 4, effect="another")

    told = of_shop(good_run(twice), tmp_path)
    assert told.endswith("effect 0.431 s, second effect 0.431 s")


def test_who_died_just_before_an_effect_was_first_seen_may_have_died_just_after_it(tmp_path: Path) -> None:
    def killed(tape: Tape) -> None:
        for ms in (405, 415):
            tape.add(ms, "service", "killed", name="shop#2", pid=7, exit_status=-9)
        tape.effect(final(tape, "effects"), "shop", "placed", 4, effect="another")
        tape.one("event", event_id="placed-4")["t"] = 600_000_000
        tape.find("effect", event_id="placed-4", consumer="shop")[0]["t"] = 418_000_000

    told = of_shop(good_run(killed), tmp_path)
    assert "shop  killed 0.415 s, effect 0.418 s" in told


def follow_up(history: History, anomaly: str) -> str:
    (row,) = next(one.anomalies[anomaly] for one in judge(history) if anomaly in one.anomalies)
    # What the checker says of the cause.
    return line(history, {"event_id": "placed-4", "event_type": "placed", **row})


def test_a_missing_follow_up_is_told_by_its_cause(tmp_path: Path) -> None:
    tape = good_run(lambda tape: tape.drop(tape.find("event", event_id="shipped-4")))
    by = tape.one("read", "ok", what="topics", final=True)["t"] / 1e9
    with History(tape.write(tmp_path / "history.jsonl")) as history:
        told = follow_up(history, "followup_missing")
    assert told.startswith("event placed-4 placed  uploaded 0.050 s, published 0.401 s")
    assert f"effect at shop 0.431 s, effect at desk 0.431 s, no follow-up by {by:.3f} s" in told


def test_a_doubled_follow_up_is_told_by_its_cause(tmp_path: Path) -> None:
    def doubled(tape: Tape) -> None:
        tape.event(final(tape, "topics"), 4, "shipped", 0, 40, event_id="shipped-4-again")

    tape = good_run(doubled)
    with History(tape.write(tmp_path / "history.jsonl")) as history:
        told = follow_up(history, "followup_doubled")
    seen = tape.one("event", event_id="shipped-4-again")["t"] / 1e9
    assert "follow-up 0.401 s" in told
    assert f"second follow-up {seen:.3f} s" in told
