"""The worst wins; who cannot judge leaves the run unknown; who has nothing to judge is left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from harness.checkers import CHECKERS
from harness.checkers.judge import checkers, explained, judge, overall
from harness.history.reader import History
from harness.verdict import Anomaly, Fields, Finding, Verdict
from tests.histories.builder import Tape, good_run
from tests.histories.cases import (
    duplicate,
    fault_never_bit_by_the_clock,
    neither_of_totals_alone,
    totals_alone,
    undecided_slow,
    with_totals,
)


class Raises:
    name: ClassVar[str] = "raises"
    anomalies: ClassVar[tuple[Anomaly, ...]] = ()

    def applies(self, header: Fields) -> bool:
        return True

    def check(self, history: History) -> Finding:
        history.sql("SELECT nothing FROM nowhere")
        raise AssertionError


class Elsewhere(Raises):
    name: ClassVar[str] = "elsewhere"

    def applies(self, header: Fields) -> bool:
        return False


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(good_run(with_totals).write(tmp_path / "history.jsonl")) as opened:
        yield opened


def judged(tape: Tape, folder: Path) -> dict[str, Verdict | None]:
    with History(tape.write(folder / "history.jsonl")) as history:
        return {finding.checker: finding.verdict for finding in judge(history)}


def test_the_table_names_each_checker_as_it_names_itself() -> None:
    assert [checker.name for checker in checkers()] == list(CHECKERS)


def test_a_checker_that_raises_is_unknown_and_says_why(history: History) -> None:
    (finding,) = judge(history, [Raises()])
    assert finding.verdict is Verdict.UNKNOWN
    assert "nowhere" in finding.error


def test_a_checker_that_raises_does_not_stop_the_others(history: History) -> None:
    findings = judge(history, [Raises(), *checkers()])
    assert [finding.verdict for finding in findings] == [Verdict.UNKNOWN, *[Verdict.VALID] * len(CHECKERS)]
    assert overall(findings) is Verdict.UNKNOWN


def test_a_fault_that_met_nothing_by_the_clock_says_that_no_message_came(tmp_path: Path) -> None:
    with History(good_run(fault_never_bit_by_the_clock).write(tmp_path / "history.jsonl")) as history:
        (finding,) = (one for one in judge(history) if one.checker == "evidence")
    (row,) = finding.anomalies["fault_never_bit"]
    assert "it acted by the clock, since no message came (0 messages matched, and it acts at number 1" in str(
        row["why"]
    )
    assert "met none of the system's work" in str(row["why"])


def test_a_checker_that_does_not_apply_is_left_out(history: History) -> None:
    assert judge(history, [Elsewhere()]) == []


@pytest.mark.parametrize(
    ("without", "left_out"),
    [
        ({"consumers": {}, "totals": {}}, {"exactly one effect", "totals"}),
        ({"totals": {}}, {"totals"}),
        ({"outcomes": []}, {"outcomes"}),
        ({"blobs": False}, {"raw retained"}),
    ],
)
def test_a_system_without_a_thing_is_not_judged_by_it(
    tmp_path: Path, without: dict[str, object], left_out: set[str]
) -> None:
    tape = good_run(with_totals)
    tape.checks.update(without)
    every = {"exactly one effect", "totals", "outcomes", "raw retained", "evidence"}
    judging = judged(tape, tmp_path).keys()
    assert judging >= every - left_out
    assert judging.isdisjoint(left_out)


def test_of_totals_alone_no_effect_was_judged_but_what_is_wrong_counts(tmp_path: Path) -> None:
    assert judged(good_run(totals_alone), tmp_path)["exactly one effect"] is None
    assert judged(good_run(neither_of_totals_alone), tmp_path)["exactly one effect"] is Verdict.INVALID


@pytest.mark.parametrize("plan", [{}, None])
def test_a_plan_that_says_nothing_of_the_system_leaves_the_run_unknown(tmp_path: Path, plan: object) -> None:
    tape = good_run()
    tape.header["plan"] = plan
    with History(tape.write(tmp_path / "history.jsonl")) as history:
        findings = judge(history)
    assert [finding.checker for finding in findings] == ["evidence"]
    assert overall(findings) is Verdict.UNKNOWN


def test_evidence_alone_makes_nothing_valid() -> None:
    assert overall([Finding("evidence", Verdict.VALID)]) is Verdict.UNKNOWN
    assert overall([]) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([Verdict.VALID, Verdict.VALID], Verdict.VALID),
        ([Verdict.VALID, Verdict.UNKNOWN], Verdict.UNKNOWN),
        ([Verdict.INVALID, Verdict.UNKNOWN], Verdict.INVALID),
        ([Verdict.VALID, None], Verdict.VALID),
        ([None, None], Verdict.UNKNOWN),
    ],
)
def test_the_worst_wins(verdicts: list[Verdict | None], worst: Verdict) -> None:
    assert overall([Finding(f"c{n}", verdict) for n, verdict in enumerate(verdicts)]) is worst


def test_what_was_found_is_explained(tmp_path: Path) -> None:
    with History(good_run(duplicate).write(tmp_path / "history.jsonl")) as history:
        findings = judge(history)
    ((key, template),) = explained(findings).items()
    assert key == ("exactly one effect", "duplicate")
    (row,) = findings[0].anomalies["duplicate"]
    assert template.format(**row) == "event placed-4: shop applied it 2 times, first seen at 0.431 s and 14.401 s"


def test_a_header_only_history_is_unknown(tmp_path: Path) -> None:
    verdicts = judged(Tape(), tmp_path)
    assert {verdicts[name] for name in ("raw retained", "exactly one effect", "outcomes", "evidence")} == {
        Verdict.UNKNOWN
    }
    assert Verdict.INVALID not in verdicts.values()


@pytest.mark.parametrize(("left", "advice"), [(3, "lengthen `drain` by 3 s or more"), (0, "lengthen `drain`")])
def test_nobody_is_told_to_wait_for_no_time(left: int, advice: str, tmp_path: Path) -> None:
    def late(tape: Tape) -> None:
        undecided_slow(tape)
        tape.add(13_000, "run", "deadline", evidence={"backlog": left, "awaited": 0, "passed_per_second": 1.5})

    with History(good_run(late).write(tmp_path / "history.jsonl")) as opened:
        findings = judge(opened)
    (row,) = (row for finding in findings for row in finding.anomalies.get("not_at_rest", ()))
    assert str(row["advice"]).endswith(advice)


def test_a_transaction_that_hides_something_is_named_in_place_of_advice(tmp_path: Path) -> None:
    def hidden(tape: Tape) -> None:
        tape.add(13_000, "run", "deadline", evidence={"backlog": 0, "awaited": 0, "hidden": "a transaction is open"})

    with History(good_run(hidden).write(tmp_path / "history.jsonl")) as opened:
        (row,) = (row for finding in judge(opened) for row in finding.anomalies.get("not_at_rest", ()))
    assert row["advice"] == "a transaction is open"


@pytest.mark.parametrize(("phase", "advice"), [("fail", "Correct what `load` sends"), ("ok", "Raise the load")])
def test_a_load_that_was_refused_altogether_is_not_to_be_raised(phase: str, advice: str, tmp_path: Path) -> None:
    tape = Tape()
    for n in range(3):
        tape.upload(10 * n, n, phase=phase)
    with History(tape.write(tmp_path / "history.jsonl")) as opened:
        (row,) = (row for finding in judge(opened) for row in finding.anomalies.get("too_few_operations", ()))
    assert str(row["advice"]).startswith(advice)
