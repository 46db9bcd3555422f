"""Every history on disk is found to be what its name says, and a checker that looks away is noticed.

``good/*.jsonl`` must be valid. ``bad/ANOMALY[.NOTE].jsonl`` must show that anomaly, and no other but those in ALONG.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from harness.checkers.judge import checkers, explained, judge, overall
from harness.history.reader import History
from harness.verdict import Checker, Finding, Verdict
from tests.histories.builder import good_run
from tests.histories.cases import BAD, GOOD
from tests.unit.checkers.sheaf import Sheaf

HERE = Path(__file__).parent
GOOD_FILES = sorted((HERE / "good").glob("*.jsonl"))
BAD_FILES = sorted((HERE / "bad").glob("*.jsonl"))

ALONG = {
    "undecided.conflict_receipt": {"unhealthy_end"},
    "undecided.malformed_receipt": {"unhealthy_end"},
    # The bytes under the id are one upload's, so they are not the other's.
    "raw_overwritten": {"raw_different"},
    # Nobody asked for the blob of an upload that the run did not know of.
    "undecided.late": {"raw_unread"},
    "undecided.lost_worker": {"raw_unread"},
    # The place decides which event was set aside, and that one was in order.
    "dead_letter_contradicts.event": {"dead_lettered_wrongly"},
    # Whoever has one id for two facts is told so beside what that leaves undecided.
    "total_undecided.one_id": {"conflated"},
    # A doubled outcome does not pay for one that is missing.
    "outcome_doubled.before_a_reprocess": {"outcome_missing"},
    # The event that was set aside should have been applied; what another letter is about, nobody knows.
    "neither.other_letters": {"dead_lettered_wrongly", "dead_letter_unmatched"},
    # Nobody knows what the letter is about, but it does not stand for the effect.
    "lost.letter_of_a_malformed_record": {"undecided"},
    # A record that was set aside twice has two letters.
    "undecided.set_aside_again": {"dead_letter_doubled"},
    "undecided.letter_from_before_a_replay": {"dead_letter_doubled"},
    "effect_and_dead_letter.after_a_replay": {"dead_letter_doubled"},
    "dead_lettered_wrongly.after_a_replay": {"dead_letter_doubled"},
    # A rule that counts it knows of nothing that it follows from.
    "outcome_key_missing.of_two_kinds": {"followup_unasked"},
    # That a rule had nothing to judge is told beside what came of it.
    "undecided.followup_of_nothing": {"outcome_unseen"},
    # A read that failed is told beside what that leaves undecided.
    "undecided.unread_conflict": {"read_failed"},
    "undecided.unread_cause": {"read_failed"},
    # What could not be read at the end was missing before.
    "raw_late.unread": {"raw_unread"},
    # What the system published and is no event is told beside what it leaves undecided.
    "undecided.key": {"record_malformed"},
    "undecided.illegible": {"record_malformed"},
    "undecided.illegible_cause": {"record_malformed"},
    "total_undecided.illegible": {"record_malformed"},
    # That a key is shared is told beside what came of it.
    "lost.shared_key": {"key_shared"},
    # What could not be read, or was lost, is told beside what may have been in it.
    "undecided.unreadable_effect": {"record_unreadable"},
    "undecided.unreadable_letter": {"record_unreadable"},
    "undecided.refilled": {"record_lost"},
    # A service that is not healthy at the end is named beside what that leaves undecided.
    "undecided.outcomes": {"unhealthy_end"},
    # What may still be broken is told beside what that leaves undecided.
    "fault_not_healed.once": {"undecided"},
    # What came late keeps everything else open, too.
    "stalled.another_came_late": {"undecided"},
    "total_undecided.just_came": {"undecided"},
    # A tap that gave up is named beside what it did not see.
    "not_covered.plain": {"tap_plain"},
    # That no offset is seen is told beside what came of it.
    "lost.silent": {"offsets_unseen"},
}
"""What comes along with an anomaly because it cannot be otherwise."""

ANOMALIES = {anomaly.name: anomaly for checker in checkers() for anomaly in checker.anomalies}


def named(findings: Sequence[Finding]) -> set[tuple[str, str]]:
    return {(finding.checker, name) for finding in findings for name in (*finding.anomalies, *finding.warnings)}


class Judged:
    """What checkers find in each history on disk. All are judged at once: planning a query takes most of the time."""

    def __init__(self, folder: Path, table: Sequence[Checker]) -> None:
        self.paths = [*GOOD_FILES, *BAD_FILES]
        lines = [[orjson.loads(line) for line in path.read_bytes().splitlines()] for path in self.paths]
        histories = [(header, records) for header, *records in lines]
        with Sheaf(histories, folder / "histories.jsonl") as sheaf:
            together = judge(sheaf, table)
        assert not [finding.error for finding in together if finding.error]
        by_name = {checker.name: checker for checker in table}
        self._findings = {
            path: [_own(n, found) for found in together if by_name[found.checker].applies(header)]
            for n, (path, (header, _)) in enumerate(zip(self.paths, histories, strict=True))
        }

    def __getitem__(self, path: Path) -> list[Finding]:
        return self._findings[path]


def _own(n: int, together: Finding) -> Finding:
    """What a checker found in the n-th history."""
    anomalies, warnings = (
        {name: own for name, rows in found.items() if (own := [row for row in rows if row["h"] == n])}
        for found in (together.anomalies, together.warnings)
    )
    verdicts = [ANOMALIES[name].verdict or Verdict.VALID for name in anomalies]
    return replace(together, anomalies=anomalies, warnings=warnings, verdict=max(verdicts, default=Verdict.VALID))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return Judged(tmp_path_factory.mktemp("histories"), checkers())


def mutant(checker: Checker, sql: str) -> Checker:
    """The checker with each of its anomalies' queries replaced."""
    anomalies = tuple(replace(one, sql=sql) for one in checker.anomalies)
    return type("Mutant", (type(checker),), {"anomalies": anomalies})()


@pytest.mark.parametrize("path", GOOD_FILES, ids=lambda path: path.stem)
def test_a_good_history_is_valid(found: Judged, path: Path) -> None:
    assert (named(found[path]), overall(found[path])) == (set(), Verdict.VALID)


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_a_bad_history_shows_its_anomaly_and_no_other(found: Judged, path: Path) -> None:
    name = path.stem.partition(".")[0]
    assert {anomaly for _, anomaly in named(found[path])} == {name} | ALONG.get(path.stem, set())
    assert overall(found[path]) == max(
        ANOMALIES[one].verdict or Verdict.VALID for one in {name, *ALONG.get(path.stem, ())}
    )


@pytest.mark.parametrize("path", [*GOOD_FILES, *BAD_FILES][::12], ids=lambda path: path.stem)
def test_judged_by_itself_it_is_found_to_be_the_same(found: Judged, path: Path) -> None:
    with History(path) as history:
        alone = judge(history)
    # Of a system with totals alone a checker says by itself that it judged no effect.
    assert [(one.checker, one.verdict or Verdict.VALID, one.error) for one in alone] == [
        (one.checker, one.verdict, "") for one in found[path]
    ]
    assert named(alone) == named(found[path])


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_each_record_that_proves_an_anomaly_is_explained_in_one_line(found: Judged, path: Path) -> None:
    templates = explained(found[path])
    for finding in found[path]:
        for name, rows in (*finding.anomalies.items(), *finding.warnings.items()):
            for row in rows:
                line = templates[finding.checker, name].format(**row)
                assert "None" not in line
                assert "\n" not in line


def test_there_is_a_bad_history_for_every_anomaly(found: Judged) -> None:
    assert {path.stem.partition(".")[0] for path in BAD_FILES} == ANOMALIES.keys()
    shown = {pair for path in BAD_FILES for pair in named(found[path])}
    assert shown == {(checker.name, anomaly.name) for checker in checkers() for anomaly in checker.anomalies}


@pytest.mark.parametrize("checker", checkers(), ids=lambda checker: checker.name)
def test_queries_that_find_nothing_are_noticed(checker: Checker, tmp_path: Path) -> None:
    blind = Judged(tmp_path, [mutant(checker, "SELECT 1 AS n WHERE false")])
    assert not [path for path in blind.paths if named(blind[path])]


@pytest.mark.parametrize("checker", checkers(), ids=lambda checker: checker.name)
def test_queries_that_always_find_something_are_noticed(checker: Checker) -> None:
    # A checker that does not apply to the shop needs a system that it applies to.
    name = "totals_that_are_right" if checker.name == "totals" else "good"
    with History(HERE / "good" / f"{name}.jsonl") as history:
        seeing = judge(history, [mutant(checker, "SELECT 1 AS n")])
    assert named(seeing) == {(checker.name, anomaly.name) for anomaly in checker.anomalies}


@pytest.mark.parametrize(
    ("folder", "name"), [*(("bad", name) for name in BAD), *(("good", name) for name in GOOD)], ids=lambda name: name
)
def test_the_file_is_what_cases_writes(folder: str, name: str, tmp_path: Path) -> None:
    change = (BAD if folder == "bad" else GOOD)[name]
    written = good_run(change).write(tmp_path / "history.jsonl")
    assert (HERE / folder / f"{name}.jsonl").read_bytes() == written.read_bytes(), "python -m tests.histories.cases"
