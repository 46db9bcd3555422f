"""On 2,000 made histories every checker finds what an oracle of plain loops finds, anomaly by anomaly."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from harness.checkers.judge import checkers
from harness.checkers.judge import judge as judge_history
from harness.history.reader import History
from tests.unit.checkers import oracle
from tests.unit.checkers.generated import Recipe, make, recipes
from tests.unit.checkers.sheaf import Sheaf

HISTORIES = 2000
"""So many that differ from one another."""

SELDOM = 10
"""An anomaly that comes up in fewer of them was not put to the test."""

Found = oracle.Found

KEYS: Mapping[str, tuple[str, ...]] = {
    "lost": ("consumer", "event_id"),
    "duplicate": ("consumer", "event_id"),
    "phantom": ("consumer", "event_id", "effect"),
    "corrupt": ("consumer", "event_id", "effect"),
    "effect_vanished": ("consumer", "event_id", "effect"),
    "conflated": ("event_id",),
    "conflict_unreported": ("consumer", "event_id"),
    "effect_and_dead_letter": ("consumer", "event_id", "kind"),
    "neither": ("consumer", "topic", "partition", "offset"),
    "dead_lettered_wrongly": ("consumer", "event_id", "kind"),
    "premature_commit": ("consumer", "event_id"),
    "stalled": ("consumer", "topic", "partition", "offset"),
    "arrived_late": ("consumer", "topic", "partition", "offset"),
    "multiplicity_unseen": ("consumer",),
    "undecided": ("consumer", "event_id"),
    "dead_letter_doubled": ("consumer", "topic", "partition", "offset"),
    "outcome_missing": ("upload_id", "rule"),
    "outcome_doubled": ("upload_id", "rule"),
    "outcome_wrong": ("upload_id", "rule", "event_id"),
    "outcome_unasked": ("upload_id", "rule", "event_id"),
    "followup_missing": ("key", "rule"),
    "followup_doubled": ("key", "rule"),
    "outcomes undecided": ("key", "rule"),
    "raw_missing": ("upload_id", "raw_file_storage_id"),
    "raw_dropped_on_rejection": ("upload_id", "raw_file_storage_id"),
    "raw_different": ("upload_id", "raw_file_storage_id"),
    "raw_overwritten": ("raw_file_storage_id",),
    "raw_late": ("raw_file_storage_id",),
    "raw_dangling": ("raw_file_storage_id",),
    "raw_unread": ("upload_id", "raw_file_storage_id"),
    "unexercised": ("consumer",),
    "refused_wrongly": ("upload_id",),
    "not_at_rest": (),
    "fault_never_bit": ("fault",),
    "fault_not_healed": ("fault",),
    "too_few_operations": (),
    "window_too_quiet": ("fault",),
    "unhealthy_start": ("name",),
    "read_failed": ("what",),
    "history_incomplete": (),
}
"""What a finding is for, as the oracle names it: columns of the rows that prove it."""


def judged(history: History) -> Found:
    """What the checkers find, in the oracle's terms."""
    found: Found = {}
    for finding in judge_history(history):
        assert not finding.error, finding.error
        for name, rows in (*finding.anomalies.items(), *finding.warnings.items()):
            columns = KEYS.get(f"{finding.checker} {name}") or KEYS[name]
            found[finding.checker, name] = {tuple(row[column] for column in columns) for row in rows}
    return found


class Worker:
    """What each process keeps."""

    sheaf: Sheaf

    @classmethod
    def start(cls, folder: Path) -> None:
        cls.sheaf = Sheaf(folder / f"{os.getpid()}.jsonl")

    @classmethod
    def judge(cls, recipe: Recipe) -> tuple[Found, Found]:
        """What the checkers find and what the oracle finds."""
        tape = make(recipe)
        header, records = tape.header, tape.numbered()
        cls.sheaf.load(header, records)
        return judged(cls.sheaf), oracle.judge(header, records)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessPoolExecutor]:
    start = partial(Worker.start, tmp_path_factory.mktemp("sheaves"))
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"), initializer=start) as pool:
        yield pool


def different(many: int) -> list[Recipe]:
    """Recipes of so many histories, no two the same; always the same ones."""
    found: dict[bytes, Recipe] = {}

    @settings(
        max_examples=2 * many,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(recipes)
    def collect(recipe: Recipe) -> None:
        if len(found) < many:
            tape = make(recipe)
            found.setdefault(orjson.dumps([tape.header, tape.numbered()]), recipe)

    collect()
    return list(found.values())


def test_every_checker_agrees_with_the_oracle(workers: ProcessPoolExecutor) -> None:
    made = different(HISTORIES)
    assert len(made) == HISTORIES
    seen: Counter[tuple[str, str]] = Counter()
    for recipe, (found, expected) in zip(made, workers.map(Worker.judge, made, chunksize=25), strict=True):
        assert found == expected, f"make({recipe})"
        seen.update(expected.keys())
    rare = [
        (checker.name, anomaly.name)
        for checker in checkers()
        for anomaly in checker.anomalies
        if seen[checker.name, anomaly.name] < SELDOM
    ]
    assert not rare, f"planted too seldom to say anything: {rare}"
