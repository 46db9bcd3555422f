"""What is answered to what a control's history shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.calibrate.calibrating import SOUND, Calibrating, _held, _lettered, _two
from harness.calibrate.judging import answer, blind, fit, judged
from harness.calibrate.live import Fact
from harness.calibrate.planting import NotPlantedError
from harness.calibrate.tape import Tape
from harness.checkers.judge import judge
from harness.history.reader import History
from harness.stack import Record
from harness.verdict import Finding, Verdict
from tests.histories.builder import good_run
from tests.histories.cases import BAD


def finding(name: str = "", verdict: Verdict = Verdict.INVALID, **row: object) -> list[Finding]:
    found = {name: [row]} if name else {}
    return [Finding("evidence", Verdict.VALID), Finding("one", verdict if name else Verdict.VALID, found)]


DESK = {"consumer": ["desk"]}


@pytest.mark.parametrize(
    ("findings", "found"),
    [
        (finding("duplicate", consumer="desk"), "seen"),
        (finding(), "unseen"),
        (finding("undecided", Verdict.UNKNOWN, consumer="desk"), "unseen"),
        # What was planted is wrong under another name.
        (finding("phantom", consumer="desk"), "seen"),
    ],
)
def test_what_is_not_called_wrong_is_not_seen(findings: list[Finding], found: str) -> None:
    assert answer(findings, ["duplicate"], DESK, "a row copied")[0] == found


def test_only_a_sound_run_proves_anything() -> None:
    assert fit(finding())
    assert fit(finding("multiplicity_unseen", Verdict.UNKNOWN, consumer="desk"))
    assert not fit(finding("undecided", Verdict.UNKNOWN))
    assert not fit(finding("lost"))
    assert not fit([*finding(), Finding("two", Verdict.UNKNOWN, error="ValueError: it broke")])


def test_names_that_events_carry_blind_for_second_effects_alone() -> None:
    sound = finding("multiplicity_unseen", Verdict.UNKNOWN, consumer="desk")
    assert blind(sound, "duplicate", "desk")
    assert not blind(sound, "duplicate", "shop")
    assert not blind(sound, "lost", "desk")


FACT = Fact(["desk"], {"event_id": "e1", "keys": {"desk": "A"}}, {"event_id": "e2", "keys": {"desk": "B"}})


def test_a_consumer_that_is_held_back_must_not_be_valid() -> None:
    assert _held(finding("stalled", consumer="desk", event_id="e2"), "desk", FACT)[0] == "seen"
    assert _held(finding("lost", consumer="desk", event_id="e2"), "desk", FACT)[0] == "seen"
    assert _held(finding(), "desk", FACT)[0] == "unseen"
    # On a busy machine nothing is decided; no such run is valid.
    assert _held(finding("undecided", Verdict.UNKNOWN, consumer="desk"), "desk", FACT)[0] == "not_tried"
    assert _held(finding(), "desk", None)[0] == "not_tried"
    # Another one's stall in the same run says nothing of this one.
    others = finding("stalled", consumer="shop", event_id="e2")
    assert _held(others, "desk", FACT)[0] == "unseen"
    assert _held([*others, *finding("undecided", Verdict.UNKNOWN, consumer="desk")], "desk", FACT)[0] == "not_tried"


@pytest.mark.parametrize(
    ("effects", "found"),
    [
        ([{"event_id": "e1"}, {"event_id": "e2"}], "seen"),
        ([{"key": "A"}, {"key": "B"}], "seen"),
        ([{"event_id": "e2"}], "unseen"),
        ([{"event_id": "e1"}], "not_tried"),
    ],
)
def test_one_fact_under_two_ids_has_two_effects(effects: list[dict[str, Any]], found: str) -> None:
    tape = Tape({}, [], lambda: 0)
    with tape.operation("read", "test", what="effects", final=True) as reading:
        for effect in effects:
            tape.record("effect", "seen", "test", read=reading.index, consumer="desk", **effect)
        reading.ok()
    assert _two(tape, finding(), "desk", FACT)[0] == found


@pytest.mark.parametrize(
    ("with_letter", "without", "found"),
    [
        (finding(), finding("neither", consumer="desk", topic="orders", offset=7), "seen"),
        (finding("neither", consumer="desk", topic="orders", offset=7), finding(), "unseen"),
        (finding(), finding(), "unseen"),
        (finding("undecided", Verdict.UNKNOWN, consumer="desk"), finding(), "not_tried"),
        # A letter that does not say whose it is leaves undecided what is decided without it.
        (
            finding("undecided", Verdict.UNKNOWN, consumer="desk"),
            finding("neither", consumer="desk", topic="orders", offset=7),
            "unseen",
        ),
    ],
)
def test_a_dead_letter_is_seen_if_it_makes_the_difference(
    with_letter: list[Finding], without: list[Finding], found: str
) -> None:
    tape = Tape({}, [], lambda: 0)
    tape.record("offset", "seen", "test", consumer="desk", topic="orders")
    published = [Record("orders", 0, 7, None, b"\xff")]
    assert _lettered(with_letter, without, "desk", tape, published)[0] == found


async def test_a_read_that_failed_says_nothing_of_the_system_file(monkeypatch: pytest.MonkeyPatch) -> None:
    calibrating = Calibrating()
    calibrating._folder = Path("nowhere")
    failed = finding("read_failed", Verdict.UNKNOWN, what="effects")
    monkeypatch.setattr("harness.calibrate.calibrating.judged", lambda _tape, _folder: failed)
    with pytest.raises(NotPlantedError, match="not everything could be read"):
        await calibrating._judged(Tape({}, [], lambda: 0), "lost-desk")
    assert await calibrating._judged(Tape({}, [], lambda: 0), SOUND) == failed


def test_a_tape_is_judged_as_the_history_that_it_was_taken_from(tmp_path: Path) -> None:
    for name in ("duplicate", "lost"):
        path = good_run(BAD[name]).write(tmp_path / f"{name}.jsonl")
        lines = path.read_bytes().splitlines()
        path.write_bytes(b"\n".join(lines[:-1]) + b"\n")  # its last record, which a tape writes itself
        tape = Tape.of(path, lambda: 10**12, lambda value: value)
        taken = judged(tape.without(lambda _: False), tmp_path / "controls" / name)
        path.write_bytes(b"\n".join(lines) + b"\n")
        with History(path) as history:
            assert [one.anomalies for one in taken] == [one.anomalies for one in judge(history)]
        assert name in {anomaly for one in taken for anomaly in one.anomalies}
