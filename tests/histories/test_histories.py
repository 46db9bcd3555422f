"""Every history on disk is found to be what its name says, and a checker that looks away is noticed.

``good/*.jsonl`` must be valid. ``bad/ANOMALY[.NOTE].jsonl`` must show that anomaly, and no other but those in ALONG.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from harness.checkers.judge import checkers, explained, judge, overall
from harness.history.reader import History
from harness.verdict import Checker, Finding, Verdict
from tests.histories.builder import good_run
from tests.histories.cases import BAD, GOOD

HERE = Path(__file__).parent
GOOD_FILES = sorted((HERE / "good").glob("*.jsonl"))
BAD_FILES = sorted((HERE / "bad").glob("*.jsonl"))

ALONG = {
    # The bytes under the id are one upload's, so they are not the other's.
    "raw_overwritten": {"raw_different"},
    # Nobody asked for the blob of an upload that the run did not know of.
    "undecided.late": {"raw_unread"},
    "undecided.lost_worker": {"raw_unread"},
    # The place decides which event was set aside, and that one was in order.
    "dead_letter_contradicts.event": {"dead_lettered_wrongly"},
    # That a key is shared is told beside what came of it.
    "lost.shared_key": {"key_shared"},
    # That no offset is seen is told beside what came of it.
    "lost.silent": {"offsets_unseen"},
}
"""What comes along with an anomaly because it cannot be otherwise."""

ANOMALIES = {anomaly.name: anomaly for checker in checkers() for anomaly in checker.anomalies}
PAIRS = [(checker.name, anomaly.name) for checker in checkers() for anomaly in checker.anomalies]


def judged(history: History, table: list[Checker] | None = None) -> list[Finding]:
    findings = judge(history, table)
    assert not [finding.error for finding in findings if finding.error]
    return findings


def named(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.checker, name) for finding in findings for name in (*finding.anomalies, *finding.warnings)}


@cache
def whole(path: Path) -> list[Finding]:
    """What all checkers find in a history; each is judged once for all tests."""
    with History(path) as history:
        return judged(history)


@pytest.fixture(scope="module")
def opened() -> Iterator[Callable[[str], History]]:
    """Opens a good history, once for all tests."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(History(HERE / "good" / f"{name}.jsonl")))


def mutant(checker: Checker, anomaly: str, sql: str) -> Checker:
    """The checker with one query replaced."""
    anomalies = tuple(replace(one, sql=sql) if one.name == anomaly else one for one in checker.anomalies)
    return type("Mutant", (type(checker),), {"anomalies": anomalies})()


@pytest.mark.parametrize("path", GOOD_FILES, ids=lambda path: path.stem)
def test_a_good_history_is_valid(path: Path) -> None:
    assert (named(whole(path)), overall(whole(path))) == (set(), Verdict.VALID)


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_a_bad_history_shows_its_anomaly_and_no_other(path: Path) -> None:
    name = path.stem.partition(".")[0]
    assert {anomaly for _, anomaly in named(whole(path))} == {name} | ALONG.get(path.stem, set())
    assert overall(whole(path)) == max(
        ANOMALIES[one].verdict or Verdict.VALID for one in {name, *ALONG.get(path.stem, ())}
    )


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_each_record_that_proves_an_anomaly_is_explained_in_one_line(path: Path) -> None:
    templates = explained(whole(path))
    for finding in whole(path):
        for name, rows in (*finding.anomalies.items(), *finding.warnings.items()):
            for row in rows:
                line = templates[finding.checker, name].format(**row)
                assert "None" not in line
                assert "\n" not in line


def test_there_is_a_bad_history_for_every_anomaly() -> None:
    assert {path.stem.partition(".")[0] for path in BAD_FILES} == ANOMALIES.keys()


@pytest.mark.parametrize(("checker", "anomaly"), PAIRS)
def test_a_query_that_finds_nothing_is_noticed(checker: str, anomaly: str) -> None:
    (judged_by,) = (one for one in checkers() if one.name == checker)
    path = HERE / "bad" / f"{anomaly}.jsonl"
    if (checker, anomaly) == ("outcomes", "undecided"):
        path = HERE / "bad" / "undecided.outcomes.jsonl"
    assert (checker, anomaly) in named(whole(path))
    with History(path) as history:
        blind = mutant(judged_by, anomaly, "SELECT 1 AS n WHERE false")
        assert (checker, anomaly) not in named(judged(history, [blind]))


@pytest.mark.parametrize(("checker", "anomaly"), PAIRS)
def test_a_query_that_always_finds_something_is_noticed(
    checker: str, anomaly: str, opened: Callable[[str], History]
) -> None:
    (judged_by,) = (one for one in checkers() if one.name == checker)
    # A checker that does not apply to the shop needs a system that it applies to.
    history = opened("totals_that_are_right" if checker == "totals" else "good")
    seeing = mutant(judged_by, anomaly, "SELECT 1 AS n")
    assert named(judged(history, [seeing])) == {(checker, anomaly)}


@pytest.mark.parametrize(
    ("folder", "name"), [*(("bad", name) for name in BAD), *(("good", name) for name in GOOD)], ids=lambda name: name
)
def test_the_file_is_what_cases_writes(folder: str, name: str, tmp_path: Path) -> None:
    change = (BAD if folder == "bad" else GOOD)[name]
    written = good_run(change).write(tmp_path / "history.jsonl")
    assert (HERE / folder / f"{name}.jsonl").read_bytes() == written.read_bytes(), "python -m tests.histories.cases"
