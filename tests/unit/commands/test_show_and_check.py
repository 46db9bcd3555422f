"""``oneffect check`` and ``oneffect show`` on recorded runs."""

import json
from pathlib import Path

import pytest

EVENT = "7f3a1111-0000-5000-8000-000000000001"
OTHER = "7f3a2222-0000-5000-8000-000000000002"


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was killed early: its history can be read, and is unknown."""
    directory = tmp_path / ".oneffect" / "runs" / "one"
    directory.mkdir(parents=True)
    (directory.parent / "latest").symlink_to("one")
    header = {"oneffect_history": 1, "run": "r1", "seed": 41, "plan_digest": "d", "plan": {}, "versions": {}}
    place = {"actor": "observer:topics", "op": "event", "phase": "seen", "topic": "essays", "partition": 0}
    records = [
        {"i": 1, "t": 10**9, "actor": "client", "op": "upload", "phase": "invoke", "upload_id": "r1-0000000"},
        {"i": 2, "t": 2 * 10**9, **place, "offset": 0, "event_id": EVENT, "event_type": "a", "digest": "b"},
        {"i": 3, "t": 3 * 10**9, **place, "offset": 1, "event_id": OTHER, "event_type": "a", "digest": "b"},
    ]
    lines = [{**header, "started": "2026-11-23T20:00:00+00:00", "label": "control"}, *records]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (directory / "history.jsonl").write_text(text + '{"i": 4, "t": 3')
    monkeypatch.chdir(tmp_path)
    return directory


def test_a_run_cut_short_is_unknown(recorded: Path, say) -> None:
    said = say("check")
    assert said.exit_code == 3
    assert said.stdout.startswith("UNKNOWN  control  seed 41")
    assert "the history ends before the run did" in said.stdout
    assert json.loads((recorded / "verdict.json").read_text())["verdict"] == "unknown"


@pytest.mark.parametrize("given", [".oneffect/runs/one", "one", "latest"])
def test_a_run_by_path_or_name(recorded: Path, say, given: str) -> None:
    assert say("check", given).exit_code == 3


def test_a_run_by_its_id(recorded: Path, say) -> None:
    recorded.rename(recorded.parent / "20261128-215543-control-41-rcaa3ceae")
    assert say("check", "rcaa3ceae").exit_code == 3
    assert say("check", "caa3ceae").exit_code == 2
    assert say("check", "").exit_code == 2


def test_from_a_folder_below(recorded: Path, say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert say("check").exit_code == 3


def test_checking_twice_says_the_same(recorded: Path, say) -> None:
    assert say("check").stdout == say("check").stdout


def test_show_tells_a_story(recorded: Path, say) -> None:
    said = say("show", "--event", "7f3a1")
    assert said.exit_code == 0
    assert said.stdout.splitlines()[0] == f"event {EVENT}"
    assert "2.000 s  essays:0:0  event" in said.stdout


def test_show_tells_of_an_upload(recorded: Path, say) -> None:
    assert "upload r1-0000000 sent" in say("show", "--upload", "r1").stdout


def test_show_without_an_id_tells_what_was_found(recorded: Path, say) -> None:
    assert say("show").exit_code == 2
    checked = say("check").stdout
    assert say("show").stdout == checked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "--event", "7f3a"), "begins several events"),
        (("show", "--event", "zz"), "no event 'zz'"),
        (("show", "--upload", "zz"), "no upload 'zz'"),
        (("show", "--event", "7", "--upload", "r"), "not both"),
        (("show", "nothing", "--event", "7"), "no run directory 'nothing'"),
        (("check", "nothing"), "no run directory 'nothing'"),
        (("check", "x" * 5000), "no run directory"),
        (("show", "a\0b", "--event", "7"), "no run directory"),
        (("check", ".oneffect"), "history.jsonl"),
        (("show", ".oneffect", "--event", "7"), "history.jsonl"),
        (("show",), "oneffect check"),
    ],
)
def test_what_cannot_be_shown(recorded: Path, say, words: tuple[str, ...], said: str) -> None:
    answer = say(*words)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_no_run_yet(tmp_path: Path, say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = say("check")
    assert answer.exit_code == 2
    assert "oneffect run SCENARIO" in answer.stderr


@pytest.mark.parametrize("text", ["", "nonsense\n", '{"oneffect_history": 99}\n', "[]\n"])
def test_a_damaged_history(recorded: Path, say, text: str) -> None:
    (recorded / "history.jsonl").write_text(text)
    for words in (("check",), ("show", "--event", "7")):
        answer = say(*words)
        assert answer.exit_code == 2
        assert "history.jsonl" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_a_latest_that_leads_nowhere(recorded: Path, say) -> None:
    (recorded.parent / "latest").unlink()
    (recorded.parent / "latest").symlink_to("gone")
    assert say("check").exit_code == 2
