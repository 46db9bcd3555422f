"""A wrong sum is explained by the events that the consumer's own effects show several times or never, where they do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.checkers.judge import judge
from harness.history.reader import History
from tests.histories.builder import Tape, final, good_run
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


def told(times: dict[int, int], off: str, folder: Path, also: Callable[[Tape], object] = lambda _: None) -> str:
    def change(tape: Tape) -> None:
        of_effects(tape, times)
        moved_by(tape, "acc-0", off)
        also(tape)

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


def gone(tape: Tape) -> None:
    """Two effects that were there before are gone at the end."""
    read = final(tape, "effects")
    for event_id in ("placed-0", "placed-4"):
        tape.drop(tape.find("effect", consumer="purse", event_id=event_id, read=read))


def of_nobody(tape: Tape) -> None:
    """One effect names no event that the purse adds up."""
    tape.effect(final(tape, "effects"), "purse", "placed", 99, effect="purse-99")


def perhaps_replayed(tape: Tape) -> None:
    """It is unknown whether the dead letter of placed-8 was replayed."""
    place = {"source_topic": "orders", "source_partition": 0, "source_offset": 4}
    about = {"consumer": "purse", "event_id": "placed-8", **place}
    tape.add(460, "replay", "unknown", of=tape.add(450, "replay", "invoke", **about), **about)


@pytest.mark.parametrize(
    ("times", "off", "also"),
    [({}, "-17.5", gone), ({0: 2, 4: 3}, "33.75", of_nobody), ({8: 0}, "-512.5", perhaps_replayed)],
    ids=["effects that are gone", "an effect of nobody's event", "an event that may or may not count"],
)
def test_effects_that_do_not_tell_explain_nothing(times, off: str, also, tmp_path: Path) -> None:
    assert "as its effects show" not in told(times, off, tmp_path, also)


def test_an_event_that_adds_nothing_explains_nothing(tmp_path: Path) -> None:
    def nothing(tape: Tape) -> None:
        tape.one("event", event_id="placed-0")["amounts"] = {"purse": "0"}
        moved_by(tape, "acc-0", "-1.25")

    assert told({0: 2, 4: 3}, "32.50", tmp_path, nothing) == "event placed-4 applied 3 times, as its effects show"
