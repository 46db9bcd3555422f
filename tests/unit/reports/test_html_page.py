"""report.html: whole, self-contained, of bounded size, and no stranger's text is markup in it."""

import hashlib
import json
import re
from base64 import b64encode
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.run import judge_directory
from tests.histories.builder import good_run
from tests.unit.reports.conftest import HEADER, KIND, RECORDS, TWICE

HOSTILE = "</script></style></title>\"'><script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>\x1b[2J\u202e"
NAMED = [
    "event_id",
    "raw_file_storage_id",
    "file_name",
    "upload_id",
    "topic",
    "consumer",
    "effect",
    "event_type",
    "error",
    "key",
    "name",
    "target",
]
VOID = {"meta"}


Record = dict[str, object]


def final_reads(before: int, t: float, committed: int, effects: list[Record]) -> list[Record]:
    """What lets a checker judge: offsets, then effects, then topics, each read to its end."""
    place = {"consumer": "essay_lifecycle", "topic": "essays", "partition": 0, "visible_end": committed}
    offset = {"op": "offset", "phase": "seen", **place, "committed": committed}
    lines: list[Record] = []
    for what, seen in (("offsets", [offset]), ("effects", effects), ("topics", [])):
        begun = before + len(lines) + 1
        read = {"op": "read", "what": what, "final": True}
        lines.append({"t": t + len(lines), **read, "phase": "invoke"})
        lines += [{"t": t + len(lines), **one, "read": begun} for one in seen]
        lines.append({"t": t + len(lines), **read, "phase": "ok", "of": begun})
    return lines


EFFECTS: list[Record] = [
    {
        "op": "effect",
        "phase": "seen",
        "consumer": "essay_lifecycle",
        "event_id": TWICE,
        "effect": nth,
        "digest": "a" * 64,
    }
    for nth in ("1", "2")
]
RUN: list[Record] = [*RECORDS[:-1], *final_reads(len(RECORDS) - 1, 32.0, 3, EFFECTS), {**RECORDS[-1], "t": 50.0}]
"""A run with one event lost, and one applied twice."""


class Page(HTMLParser):
    """What a browser would make of it; an end tag that fits nothing is a failure."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.markup = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: set[tuple[str, str]] = set()
        self.values: list[str] = []
        self.words = ""
        self.feed(self.markup)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {(tag, name) for name, _ in attrs}
        self.values += [value or "" for _, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += "" if self.open[-1:] == ["style"] else data


def write(folder: Path, records: list[Record], header: dict[str, object] = HEADER, tail: str = "") -> Page:
    lines = [header]
    for i, record in enumerate(records, 1):
        lines.append({"i": i, "actor": "client", **record, "t": round(float(str(record["t"])) * 1e9)})
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    judge_directory(folder)
    return Page(folder / "report.html")


def test_the_verdict_comes_first(tmp_path: Path) -> None:
    page = write(tmp_path, RUN)
    order = [
        "redis-outage setnx_only · seed 41",
        "Invalid",
        "lost 1 of",
        "Timeline",
        "Anomalies",
        "Checks",
        "Faults and",
    ]
    places = [page.words.index(one) for one in order]
    assert places == sorted(places)
    assert "oneffect run redis-outage --seed 41 --variant setnx_only" in page.words
    assert f"oneffect show {tmp_path.name} --event 7f3a1111" in page.words
    assert "it died" in page.words


def test_nothing_is_asked_of_anybody(tmp_path: Path) -> None:
    page = write(tmp_path, RUN)
    assert page.tags.keys().isdisjoint(
        {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a", "use"}
    )
    assert not {name for _, name in page.attributes} & {"src", "href", "srcset", "style", "action"}
    assert not re.search(r"//|@import|url\(", page.markup.replace("<!doctype html>", ""))


def test_the_policy_allows_one_style_sheet_and_nothing_else(tmp_path: Path) -> None:
    page = write(tmp_path, RUN)
    style = re.search(r"<style>(.*?)</style>", page.markup, re.DOTALL)
    assert style
    digest = b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(value for value in page.values if value.startswith("default-src"))
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@pytest.mark.parametrize("field", NAMED)
def test_a_hostile_name_is_text(tmp_path: Path, field: str) -> None:
    (tmp_path / "calm").mkdir()
    (tmp_path / "hostile").mkdir()
    calm = write(tmp_path / "calm", [{**one, field: f"{one[field]}x"} if field in one else one for one in RUN])
    page = write(
        tmp_path / "hostile", [{**one, field: f"{one[field]}{HOSTILE}"} if field in one else one for one in RUN]
    )
    if any(field in one for one in RUN):
        assert "<script>alert(1)</script>" in page.words
    assert page.tags == calm.tags
    assert page.attributes == calm.attributes
    assert "\x1b" not in page.markup
    assert "\u202e" not in page.markup


def test_a_hostile_plan_is_text(tmp_path: Path) -> None:
    header = {
        **HEADER,
        **dict.fromkeys(("label", "scenario_path", "started"), HOSTILE),
        "versions": {HOSTILE: HOSTILE},
        "plan_digest": HOSTILE,
        "expected": {"verdict": HOSTILE, "find": [HOSTILE]},
    }
    page = write(tmp_path, RUN, header)
    assert page.tags == write(tmp_path, RUN).tags
    assert page.words.count("<script>alert(1)</script>") > 4


def test_hostile_evidence_is_text(tmp_path: Path) -> None:
    evidence = {"what": HOSTILE, "before": {HOSTILE: HOSTILE}, "after": [HOSTILE]}
    records = [{**one, "evidence": evidence, "error": HOSTILE} if one["op"] == "fault" else one for one in RUN]
    page = write(tmp_path, records)
    assert "<script>alert(1)</script>" in page.words
    assert page.tags["script"] == page.tags["img"] == 0


def test_many_anomalies_are_counted_and_few_are_told(tmp_path: Path) -> None:
    many = 400
    records: list[Record] = [{"t": 1.0, "op": "run", "phase": "loaded"}]
    place = {
        "op": "event",
        "phase": "seen",
        "topic": "essays",
        "partition": 0,
        "event_type": KIND,
        "digest": "a" * 64,
    }
    for n in range(many):
        about = {"upload_id": f"r1-{n:07}", "file_name": '"' * 100_000, "size": 9}
        records.append({"t": 1.0, "op": "upload", "phase": "invoke", **about})
        records.append({"t": 2.0, **place, "offset": n, "event_id": f"{n:08}-0", "upload_id": f"r1-{n:07}"})
        records += [
            {"t": 2.0 + k, "op": "claim", "phase": "seen", "command": "SET", "key": f"{n:08}-0"} for k in range(60)
        ]
    records += final_reads(len(records), 90.0, many, [])
    page = write(tmp_path, records)
    assert f"lost {many}" in page.words
    assert 0 < page.tags["details"] <= 50
    assert re.search(r"… and \d+ more, in verdict.json", page.words)
    assert "moments in the middle are left out" in page.words
    assert len(page.markup.encode()) < 2_000_000


def test_a_run_that_was_killed(tmp_path: Path) -> None:
    page = write(tmp_path, RUN[:8], tail='{"i": 9, "t": 1')
    assert "Unknown" in page.words
    assert "The history ends before the run did." in page.words


def test_a_run_that_was_killed_at_once(tmp_path: Path) -> None:
    page = write(tmp_path, [])
    assert "Unknown" in page.words
    assert "No fault was injected." in page.words


def test_writing_it_again_says_the_same(tmp_path: Path) -> None:
    assert write(tmp_path, RUN).markup == write(tmp_path, RUN).markup


def test_a_follow_up_s_anomaly_opens_to_its_cause(tmp_path: Path) -> None:
    tape = good_run(lambda tape: tape.drop(tape.find("event", event_id="shipped-4")))
    tape.write(tmp_path / "history.jsonl")
    judge_directory(tmp_path)
    page = Page(tmp_path / "report.html")
    assert f"oneffect show {tmp_path.name} --event placed-4" in page.words
    assert "the final read ends, and found no follow-up: shipped" in page.words
    assert page.markup.count('class="mark wrong"') == 1


def test_the_page_names_what_was_left_out(tmp_path: Path) -> None:
    left_out = [{"what": "net.down", "on": "consumers->redis", "why": "the system has no dependency of kind redis"}]
    header = json.loads(json.dumps(HEADER))
    header["plan"]["left_out"] = left_out
    lines = [header, *({"i": i, "t": 0, "actor": "x", **record} for i, record in enumerate(RECORDS, 1))]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    judge_directory(tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "redis-outage setnx_only (1 left out)" in html
    assert "Left out: net.down on consumers-&gt;redis: the system has no dependency of kind redis" in html
    assert json.loads((tmp_path / "verdict.json").read_text())["left_out"] == left_out
