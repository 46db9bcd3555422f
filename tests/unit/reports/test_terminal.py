"""The first lines say which, where and when, and how to go on; nothing untrusted acts on the terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.history.reader import History
from harness.reports import document, terminal
from harness.reports.moment import Moment
from harness.reports.story import Story, tell
from harness.verdict import Finding, Verdict


@pytest.fixture
def told(history: History, lost: str, twice: str) -> dict:
    rows = [{"event_id": one, "consumer": "essay_lifecycle"} for one in [lost, twice, lost, twice]]
    findings = [
        Finding("evidence", Verdict.UNKNOWN, {"fault_never_bit": [{"name": "net.hang"}]}, judged=2),
        Finding("exactly one effect", Verdict.INVALID, {"lost": rows}, {"odd": [{"n": 1}]}, judged=412),
    ]
    templates = {
        ("evidence", "fault_never_bit"): "{name} never bit",
        ("exactly one effect", "lost"): "gone: {event_id}",
    }
    return dict(document.document(history, findings, Verdict.INVALID, templates))


def test_an_invalid_run(told: dict) -> None:
    lines = terminal.text(told, Path("runs/one")).splitlines()
    assert lines[0] == "INVALID  redis-outage setnx_only  seed 41  exactly one effect: lost 4 of 412"
    assert lines[1].startswith("  lost  event 7f3a1111… essay_lifecycle  published 12.000 s, SET NX asked 12.031 s")
    assert "        gone: 7f3a1111-0000" in lines[2]
    assert lines[7] == "  … and 1 more, in verdict.json"
    assert lines[8] == (
        "  story: oneffect show runs/one --event 7f3a1111    "
        "again: oneffect run redis-outage --seed 41 --variant setnx_only"
    )
    assert lines[9] == "UNKNOWN  redis-outage setnx_only  seed 41  evidence: fault_never_bit 1 of 2"
    assert lines[10] == "  fault_never_bit  net.hang never bit"
    assert lines[11] == "  as expected: invalid with lost"
    assert "  warning: exactly one effect: odd 1: n 1" in lines
    assert "  service.kill essay_lifecycle#1: injected 12.033 s, bit 12.040 s (it died), healed 12.500 s" in lines
    assert "  net.hang file_service#1->redis: injected 16.500 s, never bit" in lines


def test_a_fault_whose_message_did_not_come_is_said_to_have_acted_by_the_clock(told: dict) -> None:
    faults = [
        {**fault, "evidence": {**fault["evidence"], "injected": {"by_clock": "its link has no tap"}}}
        for fault in told["faults"]
    ]
    lines = terminal.text({**told, "faults": faults}, Path("r")).splitlines()
    said = "injected 16.500 s, by the clock since no message came (its link has no tap), never bit"
    assert f"  net.hang file_service#1->redis: {said}" in lines


def test_a_verdict_names_what_it_is_not_about(told: dict) -> None:
    one = {"what": "net.down", "on": "consumers->redis", "why": "the system has no dependency of kind redis"}
    again = {"what": "reprocess", "on": "", "why": "the system does not say how"}
    lines = terminal.text({**told, "left_out": [one, again]}, Path("r")).splitlines()
    assert lines[0].startswith("INVALID  redis-outage setnx_only (2 left out)  seed 41  ")
    assert "  left out: net.down on consumers->redis: the system has no dependency of kind redis" in lines
    assert "  left out: reprocess: the system does not say how" in lines
    assert "left out" not in terminal.text(told, Path("r"))


def test_a_run_where_runs_usually_are_is_named_by_its_id(told: dict) -> None:
    text = terminal.text(told, Path(".oneffect/runs/20261128-215543-redelivery-41-rcaa3ceae"))
    assert "story: oneffect show rcaa3ceae --event 7f3a1111" in text
    assert "  run: .oneffect/runs/20261128-215543-redelivery-41-rcaa3ceae    again:" in text


def test_the_record_s_time_is_not_said_to_be_the_whole(told: dict) -> None:
    def figures(took: str) -> str:
        (line,) = [line for line in terminal.text(told, Path("r"), took).splitlines() if " operations (" in line]
        return line

    assert figures("").endswith("; 31.3 s recorded")
    assert figures(terminal.in_all(34.21)).endswith("; 31.3 s recorded, 34.2 s in all")


def test_a_valid_run_says_what_was_judged(told: dict) -> None:
    good = [Finding("exactly one effect", Verdict.VALID, judged=412), Finding("outcomes", Verdict.VALID, judged=120)]
    findings = [{"checker": one.checker, "verdict": "valid", "judged": one.judged, "error": ""} for one in good]
    findings = [{**one, "anomalies": {}, "warnings": {}} for one in findings]
    lines = terminal.text(
        {**told, "verdict": "valid", "findings": findings, "as_expected": False}, Path("r")
    ).splitlines()
    assert lines[0].startswith(
        "VALID  redis-outage setnx_only  seed 41  exactly one effect (412 judged), outcomes (120"
    )
    assert lines[1] == "  not as expected: the scenario expects invalid with lost"


def test_no_checker_and_half_a_history(told: dict) -> None:
    empty = {**told, "verdict": "unknown", "findings": [], "complete": False}
    lines = terminal.text(empty, Path("r")).splitlines()
    assert lines[0].endswith("no checker applies to this system")
    assert "  the history ends before the run did" in lines


def test_a_checker_that_failed(told: dict) -> None:
    broken = {
        "checker": "outcomes",
        "verdict": "unknown",
        "judged": 0,
        "error": "boom",
        "anomalies": {},
        "warnings": {},
    }
    lines = terminal.text({**told, "findings": [broken]}, Path("r")).splitlines()
    assert lines[0] == "UNKNOWN  redis-outage setnx_only  seed 41  outcomes: the checker failed: boom"


def test_control_characters_never_reach_the_terminal(history: History) -> None:
    out = io.StringIO()
    printer = Console(file=out, force_terminal=True, markup=False, highlight=False, emoji=False, color_system=None)
    for line in terminal.story(tell(history, "upload", "r1-0000000")):
        printer.print(line, soft_wrap=True)
    assert "\x1b[31m" not in out.getvalue()
    assert r"é\x1b[31m.txt" in out.getvalue()


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[red]", ":smile:", "[/]", "[link=x]y[/link]"])
def test_markup_is_text(text: str) -> None:
    out = io.StringIO()
    printer = terminal.console(out)
    for line in terminal.story(Story("event", text, [Moment(0, text, text)])):
        printer.print(line)
    printer.print(terminal.table("", ("a",), [[text]]))
    assert out.getvalue().count(text) == 4


def test_a_story_about_nothing_says_so() -> None:
    assert [line.plain for line in terminal.story(Story("event", "e1", []))][1] == "  nothing was recorded about it"


def test_lines_of_a_file_are_never_broken(told: dict) -> None:
    out = io.StringIO()
    terminal.console(out).print(terminal.table("", ("a", "b"), [["x" * 300, "y" * 300]]))
    assert "x" * 300 in out.getvalue()
