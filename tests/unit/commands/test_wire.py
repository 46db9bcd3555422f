"""``oneffect wire`` on a recorded run."""

import json
from pathlib import Path

import pytest

EVENT = "7f3a1111-0000-5000-8000-000000000001"
ONE, TWO, BLOBS = "ledger#1->redis", "ledger#2->redis", "ledger#1->store"


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a run with these records below the current folder."""
    directory = tmp_path / ".oneffect" / "runs" / "one"
    directory.mkdir(parents=True)
    (directory.parent / "latest").symlink_to("one")
    monkeypatch.chdir(tmp_path)

    def write(*records: dict[str, object]) -> Path:
        header = {"oneffect_history": 1, "run": "r1", "seed": 41, "plan_digest": "d", "plan": {}, "versions": {}}
        lines = [header, *({"i": i, "actor": "tap", **record} for i, record in enumerate(records, 1))]
        (directory / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return directory

    return write


def wire(link: str, at: float, took: float, phase: str = "answered", **fields: object) -> dict[str, object]:
    """``at`` and ``took`` in ms."""
    begun = round(at * 1e6)
    return {"op": "wire", "phase": phase, "link": link, "t_begin": begun, "t": begun + round(took * 1e6), **fields}


RECORDS = [
    wire(ONE, 1000, 2, command="SET", key=f"claim:{EVENT}", kind="OK", size=100, reply_size=5, connection=1),
    wire(ONE, 1010, 4, command="SET", key="claim:other", kind="nil", size=100, reply_size=5, connection=1),
    wire(ONE, 1020, 900, "lost_reply", command="SET", key="claim:third", size=100, connection=2),
    wire(TWO, 1015, 1, command="GET", key=f"done:{EVENT}", kind="bulk", size=40, reply_size=70, connection=1),
    wire(BLOBS, 1005, 8, command="GET", key="/v1/content/raw-7", kind="200", size=90, reply_size=5000, connection=1),
    {"op": "event", "phase": "seen", "t": 2 * 10**9, "event_id": EVENT, "raw_file_storage_id": "raw-7"},
    {
        "op": "wire",
        "phase": "plain",
        "t": 3 * 10**9,
        "link": TWO,
        "error": "NotUnderstood: b'x' begins no Redis reply",
    },
]


def test_what_passed_by_command(recorded, say) -> None:
    recorded(*RECORDS)
    said = say("wire", "--json")
    assert said.exit_code == 0
    rows = {(row["link"], row["command"]): row for row in json.loads(said.stdout)}
    assert list(rows) == [(ONE, "SET"), (BLOBS, "GET"), (TWO, "GET")]
    claims = rows[ONE, "SET"]
    assert (claims["requests"], claims["disturbed"], claims["p50_ms"], claims["p99_ms"]) == (3, 1, 3.0, 3.98)
    assert (claims["bytes_up"], claims["bytes_down"]) == (300, 10)


def test_a_tap_that_gave_up_is_named(recorded, say) -> None:
    recorded(*RECORDS)
    assert f"{TWO}: from 3.000 s on not parsed: NotUnderstood: b'x' begins" in say("wire").stdout


def test_an_event_in_order_with_its_blob(recorded, say) -> None:
    recorded(*RECORDS)
    rows = json.loads(say("wire", "--event", "7f3a", "--json").stdout)
    assert [(row["link"], row["command"]) for row in rows] == [(ONE, "SET"), (BLOBS, "GET"), (TWO, "GET")]


@pytest.mark.parametrize("named", [ONE, "ledger->redis"])
def test_a_link_in_order(recorded, say, named: str) -> None:
    recorded(*RECORDS)
    rows = json.loads(say("wire", "--link", named, "--json").stdout)
    expected = ["claim:" + EVENT, "claim:other", "claim:third"]
    assert [row["key"] for row in rows if row["link"] == ONE] == expected
    assert [row["became"] for row in rows if row["link"] == ONE] == ["answered", "answered", "lost_reply"]
    assert ({row["link"] for row in rows} == {ONE}) is (named == ONE)


def test_a_link_without_a_tap_is_refused_by_name(recorded, say) -> None:
    recorded(*RECORDS)
    said = say("wire", "--link", "ledger->rediss")
    assert said.exit_code == 2
    assert "nearest: ledger->redis" in said.stderr


def test_a_run_without_taps_says_how_to_have_some(recorded, say) -> None:
    recorded(RECORDS[-2])
    said = say("wire")
    assert said.exit_code == 2
    assert "taps: all" in said.stderr


def test_what_passed_nowhere(recorded, say) -> None:
    recorded(*RECORDS[1:3], RECORDS[5])
    assert "no matching message passed a tap" in say("wire", "--event", EVENT).stdout
