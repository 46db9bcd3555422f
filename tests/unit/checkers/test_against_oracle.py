"""On generated histories every checker finds what an oracle of plain loops finds, anomaly by anomaly."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from harness.checkers.judge import checkers, judge
from tests.histories.builder import good_run
from tests.histories.cases import BAD, GOOD
from tests.unit.checkers import oracle
from tests.unit.checkers.generated import BY_HAND, BY_NAME, Recipe, make, recipes
from tests.unit.checkers.sheaf import Recorded, Sheaf

HISTORIES = 200
"""How many are generated, each different; tests/long generates more."""

TOGETHER = 50
"""Histories that are judged side by side."""

SELDOM = 5
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
    "total_wrong": ("consumer", "key"),
    "total_undecided": ("consumer", "key", "event_id"),
    "total_cancels": ("consumer",),
    "key_shared": ("consumer", "key"),
    "key_missing": ("consumer", "event_id"),
    "keys_differ": ("consumer",),
    "undecided": ("consumer", "event_id"),
    "type_not_applied": ("consumer", "event_type"),
    "dead_letter_doubled": ("consumer", "topic", "partition", "offset"),
    "outcome_missing": ("key", "rule"),
    "outcome_doubled": ("key", "rule"),
    "outcome_wrong": ("upload_id", "rule", "event_id"),
    "outcome_unasked": ("key", "rule", "event_id"),
    "followup_missing": ("key", "rule"),
    "followup_doubled": ("key", "rule"),
    "followup_unasked": ("rule", "event_type"),
    "followup_unclear": ("key", "rule", "event_id"),
    "outcome_key_missing": ("rule", "event_id"),
    "outcome_not_asked": ("rule", "event_id"),
    "outcome_unseen": ("rule",),
    "outcome_unexercised": ("rule",),
    "outcomes undecided": ("key", "rule"),
    "id_differs": ("consumer", "named", "effect"),
    "dead_letter_contradicts": ("consumer", "topic", "partition", "offset"),
    "dead_letter_unmatched": ("topic", "partition", "offset"),
    "offsets_unseen": ("consumer",),
    "asked_too_little": ("op",),
    "record_malformed": ("topic",),
    "record_unreadable": ("topic", "partition", "offset"),
    "raw_missing": ("upload_id", "raw_file_storage_id"),
    "raw_dropped_on_rejection": ("upload_id", "raw_file_storage_id"),
    "raw_different": ("upload_id", "raw_file_storage_id"),
    "raw_overwritten": ("raw_file_storage_id",),
    "raw_late": ("raw_file_storage_id",),
    "raw_dangling": ("raw_file_storage_id",),
    "raw_vanished": ("raw_file_storage_id",),
    "raw_changed": ("raw_file_storage_id",),
    "raw_unexercised": (),
    "raw_unread": ("upload_id", "raw_file_storage_id"),
    "unexercised": ("consumer",),
    "refused_wrongly": ("upload_id",),
    "not_at_rest": (),
    "fault_never_bit": ("fault",),
    "fault_not_healed": ("fault",),
    "too_few_operations": (),
    "window_too_quiet": ("fault",),
    "unhealthy_start": ("name",),
    "unhealthy_end": ("name",),
    "load_fell_behind": (),
    "read_failed": ("what",),
    "history_incomplete": (),
    "load_incomplete": ("worker",),
    "not_covered": ("number", "consumer"),
    "record_lost": ("event_id",),
    "published_twice": ("event_id",),
    "tap_failed": ("link",),
    "link_unused": ("link",),
    "tap_plain": ("link",),
    "cannot_be_seen": ("what", "control"),
    "calibration_stale": (),
    "claim_released_by_another": ("i_wire",),
    "claim_asked_again": ("i_wire",),
    "offset_sent_before_effect": ("consumer", "event_id", "i_wire"),
    "published_before_effect": ("consumer", "event_id", "follow_up"),
}
"""What a finding is for, as the oracle names it: columns of the rows that prove it."""


def judged(histories: Sequence[Recorded], file: Path) -> list[Found]:
    """What the checkers find in each, in the oracle's terms."""
    found: list[Found] = [{} for _ in histories]
    table = {checker.name: checker for checker in checkers()}
    with Sheaf(histories, file) as sheaf:
        findings = judge(sheaf)
    assert [finding.checker for finding in findings] == list(table)
    for finding in findings:
        assert not finding.error, finding.error
        for name, rows in (*finding.anomalies.items(), *finding.warnings.items()):
            columns = KEYS.get(f"{finding.checker} {name}") or KEYS[name]
            given: Sequence[Mapping[str, Any]] = rows
            for row in given:
                if table[finding.checker].applies(histories[row["h"]][0]):
                    hits = found[row["h"]].setdefault((finding.checker, name), set())
                    hits.add(tuple(row[column] for column in columns))
    return found


def compared(recipes: Sequence[Recipe], folder: Path) -> list[tuple[Found, Found]]:
    """What the checkers find and what the oracle finds, for each recipe."""
    tapes = [make(recipe) for recipe in recipes]
    histories = [(tape.header, tape.numbered()) for tape in tapes]
    expected = [oracle.judge(header, records) for header, records in histories]
    return list(zip(judged(histories, folder / f"{os.getpid()}.jsonl"), expected, strict=True))


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
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


def by_hand(anomalies: Sequence[str]) -> list[Recipe]:
    """Histories that show these anomalies: their bad histories from cases.py, each with something planted."""
    bad = [name for name in BAD if name.partition(".")[0] in anomalies]
    plants = sorted(BY_NAME)
    return [(n, [BY_HAND + name, plants[n % len(plants)]]) for name in bad for n in range(2 * SELDOM)]


def test_every_anomaly_has_a_key() -> None:
    missing = [
        anomaly.name
        for checker in checkers()
        for anomaly in checker.anomalies
        if not {anomaly.name, f"{checker.name} {anomaly.name}"} & KEYS.keys()
    ]
    assert not missing, f"add rows to KEYS, with the columns by which the oracle identifies what it found: {missing}"


def test_of_histories_made_by_hand_every_checker_finds_what_the_oracle_finds(tmp_path: Path) -> None:
    made = BAD | GOOD
    tapes = [good_run(change) for change in made.values()]
    histories = [(tape.header, tape.numbered()) for tape in tapes]
    expected = [oracle.judge(header, records) for header, records in histories]
    answers = judged(histories, tmp_path / "histories.jsonl")
    for name, found, by_oracle in zip(made, answers, expected, strict=True):
        assert found == by_oracle, name


def test_every_checker_agrees_with_the_oracle(workers: ProcessPoolExecutor, tmp_path: Path) -> None:
    made = different(HISTORIES)
    assert len(made) == HISTORIES
    seen = agreed(made, workers, tmp_path)
    # Anomalies that plants rarely cause come from bad histories.
    seen.update(agreed(by_hand([anomaly for _, anomaly in rare(seen)]), workers, tmp_path))
    assert not rare(seen), f"planted too seldom to say anything: {rare(seen)}"


def agreed(recipes: Sequence[Recipe], workers: ProcessPoolExecutor, folder: Path) -> Counter[tuple[str, str]]:
    """Assert that checkers and oracle agree on all; count the histories with each anomaly."""
    seen: Counter[tuple[str, str]] = Counter()
    sheaves = [recipes[at : at + TOGETHER] for at in range(0, len(recipes), TOGETHER)]
    answers = chain.from_iterable(workers.map(partial(compared, folder=folder), sheaves))
    for recipe, (found, expected) in zip(recipes, answers, strict=True):
        assert found == expected, f"make({recipe})"
        seen.update(expected.keys())
    return seen


def rare(seen: Counter[tuple[str, str]]) -> list[tuple[str, str]]:
    """Anomalies that came up in too few histories."""
    every = [(checker.name, anomaly.name) for checker in checkers() for anomaly in checker.anomalies]
    return [pair for pair in every if seen[pair] < SELDOM]
