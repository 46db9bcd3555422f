"""What a judged run says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.steps.judged import EFFECT, RETAINED, Judged
from harness.verdict import Verdict


def judged(verdict: str, **checkers: str) -> Judged:
    findings = [
        {
            "checker": name.replace("_", " "),
            "verdict": word,
            "judged": 40,
            "error": "",
            "warnings": {},
            "anomalies": {} if word == "valid" else {"lost": {"count": 2, "told": [{"said": "gone", "story": ""}]}},
        }
        for name, word in checkers.items()
    ]
    figures = dict.fromkeys(["operations", "acknowledged", "refused", "unknown", "events", "records", "effects"], 40)
    document = {
        "format": 1,
        "verdict": verdict,
        "as_expected": verdict == "valid",
        "expected": {"verdict": "valid", "find": []},
        "complete": True,
        "again": "again",
        "label": "one",
        "seed": 5,
        "faults": [],
        "findings": findings,
        "figures": {**figures, "duration": 3.0, "under_fault": 0},
    }
    return Judged(Path("runs/one-5-r1"), document)


@pytest.mark.parametrize(
    ("word", "valid", "unknown", "invalid"),
    [("valid", True, False, False), ("unknown", False, True, False), ("invalid", False, False, True)],
)
def test_it_is_true_only_if_it_is_valid(word: str, valid: bool, unknown: bool, invalid: bool) -> None:
    one = judged(word, exactly_one_effect=word, evidence="valid")
    assert (one.valid, one.unknown, one.invalid, bool(one)) == (valid, unknown, invalid, valid)


@pytest.mark.parametrize(
    ("effect", "evidence", "verdict"),
    [
        ("valid", "valid", Verdict.VALID),
        ("valid", "unknown", Verdict.UNKNOWN),
        ("unknown", "valid", Verdict.UNKNOWN),
        ("invalid", "unknown", Verdict.INVALID),
    ],
)
def test_one_promise_needs_sound_evidence_too(effect: str, evidence: str, verdict: Verdict) -> None:
    one = judged("invalid", exactly_one_effect=effect, raw_retained="invalid", evidence=evidence)
    assert one.of(*EFFECT) is verdict
    if verdict is Verdict.VALID:
        one.require(*EFFECT)
    else:
        with pytest.raises(AssertionError, match=f"exactly one effect, totals, outcomes: {verdict.word}"):
            one.require(*EFFECT)


def test_the_worst_of_several_checkers_counts() -> None:
    assert judged("invalid", exactly_one_effect="valid", outcomes="invalid", evidence="valid").of(*EFFECT) is max(
        Verdict
    )


@pytest.mark.parametrize("word", ["unknown", "invalid"])
def test_a_total_that_an_event_changed_twice_is_no_single_effect(word: str) -> None:
    one = judged(word, exactly_one_effect="valid", totals=word, evidence="valid")
    with pytest.raises(AssertionError, match=f": {word}"):
        one.require(*EFFECT)


def test_what_nothing_judged_is_unknown() -> None:
    one = judged("valid", exactly_one_effect="valid", evidence="valid")
    assert one.of(*RETAINED) is Verdict.UNKNOWN
    with pytest.raises(AssertionError, match="raw retained: unknown"):
        one.require(*RETAINED)
    assert judged("valid", exactly_one_effect="valid").of(*EFFECT) is Verdict.UNKNOWN


def test_its_story_says_where_it_lies_and_how_to_repeat_it() -> None:
    one = judged("invalid", exactly_one_effect="invalid", evidence="valid")
    assert one.anomalies == {"lost": 2}
    assert "INVALID" in one.story()
    assert str(one).endswith("run: runs/one-5-r1    again: again")


def test_of_what_it_should_have_been_the_report_says_nothing() -> None:
    one = judged("invalid", exactly_one_effect="invalid", evidence="valid")
    assert "the scenario expects" in one.story()
    one = Judged(one.directory, {**one.document, "scenario": False})
    assert "expect" not in one.story()
