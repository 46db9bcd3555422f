"""A wrong sum is explained by the events that the consumer's own effects show several times or never, where they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.checkers.judge import judge
from harness.history.reader import History
from tests.histories.builder import Tape, good_run
from tests.histories.cases import moved_by, with_totals


def of_effects(tape: Tape, times: dict[int, int]) -> None:
    """A purse that also writes a row for each order: ``times`` are the rows of an order, where there is not one."""
    with_totals(tape)
    tape.checks["consumers"]["purse"] = ["placed"]
    for read in tape.find("read", "invoke", what="effects"):
        for event in tape.find("event", event_type="placed"):
            n = int(event["event_id"].removeprefix("placed-"))
            for row in range(times.get(n, 1)):
                tape.effect(read, "purse", "placed", n, effect=f"purse-{n}-{row}")


def told(times: dict[int, int], off: str, folder: Path) -> str:
    def change(tape: Tape) -> None:
        of_effects(tape, times)
        moved_by(tape, "acc-0", off)

    with History(good_run(change).write(folder / "history.jsonl")) as history:
        (row,) = (row for finding in judge(history) for row in finding.anomalies.get("total_wrong", ()))
    return str(row["why"])


@pytest.mark.parametrize(
    ("times", "off", "why"),
    [
        ({0: 2, 4: 3}, "33.75", "event placed-0 applied twice, event placed-4 applied 3 times, as its effects show"),
        ({4: 0, 8: 4}, "752.50", "event placed-4 never applied, event placed-8 applied 4 times, as its effects show"),
        # Rows that do not explain it: the search goes on among what would.
        ({0: 2}, "16.25", "event placed-4 applied twice explains it"),
        ({}, "0.01", "no combination of up to three events, each applied twice or never, was found that explains it"),
    ],
)
def test_a_wrong_sum_is_explained_by_the_effects_if_they_do(times, off: str, why: str, tmp_path: Path) -> None:
    assert told(times, off, tmp_path) == why
