"""The picture of the whole run: its figures are those of the history, and its size is bounded."""

import json
from pathlib import Path

import pytest

from harness.history.reader import History
from harness.reports.html_scale import Scale, bands
from harness.reports.html_timeline import _nice, _step, answers, timeline
from tests.unit.reports.conftest import HEADER

SECOND = 10**9


def recorded(folder: Path, uploads: list[tuple[float, float, str]], *more: dict[str, object]) -> History:
    """Uploads sent at a second and answered after some ms with a phase."""
    lines: list[dict[str, object]] = []
    for begun, took, phase in uploads:
        lines.append({"t": round(begun * SECOND), "op": "upload", "phase": "invoke", "upload_id": "u"})
        ended = round(begun * SECOND + took * 1e6)
        lines.append({"t": ended, "op": "upload", "phase": phase, "upload_id": "u", "of": len(lines)})
    lines += more
    numbered = [{"i": i, "actor": "client", **line} for i, line in enumerate(lines, 1)]
    path = folder / "history.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [HEADER, *numbered]))
    return History(path)


def test_rates_and_latencies(tmp_path: Path) -> None:
    uploads = [
        (5.0, 100.0, "ok"),
        (5.1, 200.0, "ok"),
        (5.2, 300.0, "ok"),
        (5.3, 650.0, "fail"),
        (5.9, 2e3, "unknown"),
    ]
    with recorded(tmp_path, uploads) as history:
        found = answers(history)
    assert (found.begin, found.wide) == (5, 1)
    assert [(row["nth"], row["ok"], row["rest"]) for row in found.rows] == [(0, 3, 1), (2, 0, 1)]
    assert found.rows[0]["p50"] == pytest.approx(200)
    assert found.rows[0]["p99"] == pytest.approx(298)
    assert found.rows[1]["p99"] is None


def test_a_long_run_has_no_more_columns(tmp_path: Path) -> None:
    with recorded(tmp_path, [(n * 10.0, 5, "ok") for n in range(2000)]) as history:
        found = answers(history)
        drawn = timeline(history, [])
    assert found.wide == 120
    assert len(found.rows) <= 180
    assert sum(row["ok"] for row in found.rows) == 2000
    assert "each column 120 s" in drawn


def test_nothing_was_answered(tmp_path: Path) -> None:
    with recorded(tmp_path, []) as history:
        assert "<svg" in timeline(history, bands(history, 0))


def test_a_fault_that_nobody_healed_lasts_to_the_end(history: History) -> None:
    killed, hung = bands(history, 40 * SECOND)
    assert (killed.begin, killed.bit, killed.end) == (12_033_000_000, 12_040_000_000, 12_500_000_000)
    assert (hung.begin, hung.bit, hung.end) == (16_500_000_000, None, 40 * SECOND)
    assert (killed.row, hung.row) == (0, 1)
    drawn = timeline(history, [killed, hung])
    assert drawn.count('class="fault never"') == 1
    assert ">never bit<" in drawn


def test_the_scale_is_straight_between_its_knots() -> None:
    scale = Scale([0, 10, 20], [0.0, 100.0, 110.0])
    assert [scale(t) for t in (-5, 0, 5, 10, 15, 20, 99)] == [0, 0, 50, 100, 105, 110, 110]


@pytest.mark.parametrize(
    ("value", "nice"), [(0, 1), (1, 1), (2.5, 3), (7, 8), (9, 10), (11, 20), (26, 30), (201, 300), (1000, 1000)]
)
def test_the_top_of_an_axis_is_round(value: float, nice: float) -> None:
    assert _nice(value) == nice


@pytest.mark.parametrize(("seconds", "step"), [(9, 1), (19, 5), (180, 30), (10**6, 111112)])
def test_steps_of_seconds(seconds: int, step: int) -> None:
    assert _step(seconds, 9) == step
