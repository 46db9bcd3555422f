"""A gate that does not come to its end leaves what it found, says how much is missing, and nothing of an earlier one."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.errors import PlanRefused, StackError
from harness.reports.github import LARGEST
from harness.verdict import Verdict

WORDS = ("--junit", "junit.xml", "--summary", "summary.md", "--html", "html", "--write-base", "base.json")
OURS = ("junit.xml", "summary.md", "html/control.html", "html/redelivery.setnx_only.html")
STALE = "of an earlier gate"

WORK = """
import asyncio, sys
from tests.unit.commands.conftest import FakeStack, Lab
import harness.run, harness.session.stacks
from harness.cli import main

lab = Lab()

async def run(plan, **words):
    if plan.label != "control":
        print("hangs", flush=True)
        await asyncio.Event().wait()
    result = await lab.run(plan, **words)
    (result.directory / "report.html").write_text(plan.label)
    return result

harness.run.run = run
harness.session.stacks.open_stack = lambda plan, folder: FakeStack(lab)
sys.argv[0] = "oneffect"
main()
"""


@pytest.fixture
def gated(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four runs, and the files that an earlier gate wrote."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("control", "redelivery"):
        path = project / "scenarios" / f"{name}.yaml"
        path.write_text(path.read_text() + "tags: [gate]\n")
    (project / "html").mkdir()
    for name in (*OURS, "html/another.html", "base.json"):
        (project / name).write_text(STALE)
    return project


def is_stale(project: Path, *names: str) -> list[bool]:
    return [(project / name).exists() and (project / name).read_text() == STALE for name in names]


def under_way(project: Path, **env: str) -> subprocess.Popen[str]:
    """A gate of which one run is made and two hang."""
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, "gate", *WORDS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(root), **env},
    )
    hanging = 0
    while hanging < 2:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        hanging += "hangs" in line
    return process


def says(project: Path, what: str) -> None:
    suite = ET.parse(project / "junit.xml").getroot().find("testsuite")
    assert suite.find("properties/property[@name='broken off']").get("value") == what
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("4", "3", "0")
    assert [len(one) for one in suite.findall("testcase")] == [0, 1, 1, 1]
    summary = (project / "summary.md").read_text()
    assert summary.startswith(f"## oneffect: {what}\n")
    assert [line[:4] for line in summary.splitlines() if line.startswith(("| ✅", "| ❌"))] == [
        "| ✅ ",
        *["| ❌ "] * 3,
    ]
    assert (project / "html" / "control.html").read_text() == "control"
    assert is_stale(project, *OURS, "html/another.html", "base.json") == [False] * 4 + [True] * 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(gated: Path, number: int, code: int) -> None:
    (gated / "step.md").write_text("before\n")
    process = under_way(gated, GITHUB_STEP_SUMMARY="step.md")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    what = f"interrupted by {signal.Signals(number).name}: 3 of 4 runs were not made"
    assert out.splitlines()[-1] == what
    assert "Traceback" not in err
    says(gated, what)
    assert (gated / "step.md").read_text() == f"before\n{(gated / 'summary.md').read_text()}"


def test_killed(gated: Path) -> None:
    process = under_way(gated)
    process.kill()
    process.communicate(timeout=60)
    says(gated, "the gate has not ended: 3 of 4 runs were not made")


def test_a_mistake_of_our_own(gated: Path, lab, say) -> None:
    lab.errors = {"redelivery": ValueError("x"), "redelivery setnx_only": ValueError("x")}
    assert say("gate", "--junit", "junit.xml", "--write-base", "base.json").exit_code == 3
    found = ET.parse(gated / "junit.xml").find(".//property[@name='broken off']").get("value")
    assert found.startswith("broken off (")
    assert found.endswith("of 4 runs were not made")
    assert is_stale(gated, "base.json") == [True]


def test_refused_before_anything_starts(gated: Path, lab, say, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(plan, folder) -> None:
        raise PlanRefused("content.full on x: the native stack cannot: y")

    monkeypatch.setattr("harness.session.stacks.open_stack", refused)
    assert say("gate", *WORDS).exit_code == 2
    what = "broken off (content.full on x: the native stack cannot: y): 4 of 4 runs were not made"
    assert ET.parse(gated / "junit.xml").find(".//property[@name='broken off']").get("value") == what
    assert is_stale(gated, *OURS, "base.json") == [False] * 4 + [True]


def test_a_file_that_cannot_be_written_does_not_hide_why(
    gated: Path, lab, say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(gated))
    lab.errors = dict.fromkeys(["control", "control setnx_only"], ValueError("x"))
    done = say("gate")
    assert done.exit_code == 3
    assert f"oneffect: {gated}: cannot be written: Is a directory" in done.stderr
    assert "ValueError" in done.stderr


def test_wrong_words_remove_nothing(gated: Path, lab, say) -> None:
    assert say("gate", *WORDS[:4], "--html", "system.yaml").exit_code == 2
    assert is_stale(gated, *OURS) == [True] * 4


def test_what_cannot_be_removed_is_emptied(gated: Path, lab, say, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(1, "not permitted", str(path))

    monkeypatch.setattr("harness.commands.outputs.Path.unlink", refused)
    lab.errors = {"control": StackError("kafka died")}
    assert say("gate", "--html", "html").exit_code == 4
    assert is_stale(gated, *OURS) == [True, True, False, False]
    assert not (gated / "html" / "control.html").read_text()


def test_one_that_comes_to_its_end_is_not_broken_off(gated: Path, lab, say) -> None:
    assert say("gate", *WORDS).exit_code == 0
    root = ET.parse(gated / "junit.xml").getroot()
    assert [one.get("name") for one in root.iter("property")] == ["seed"]
    assert not list(root.iter("error"))
    assert (gated / "summary.md").read_text().startswith("## oneffect: all 4 runs passed\n")
    assert is_stale(gated, *OURS, "html/another.html", "base.json") == [False] * 4 + [True, False]


def test_a_step_s_summary_keeps_to_what_is_shown(gated: Path, lab, say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(gated / "step.md"))
    before = "é" * (LARGEST // 2 - 400)
    (gated / "step.md").write_text(before)
    lab.verdicts = dict.fromkeys(["control", "redelivery"], Verdict.INVALID)
    assert say("gate", "--summary", "summary.md").exit_code == 1
    said = (gated / "step.md").read_bytes()
    assert len(before.encode()) < len(said) <= LARGEST
    assert said.decode().endswith("\n2 more reports do not fit here.\n")
    assert (gated / "summary.md").read_text().count("\n### ") == 2


def test_what_leads_elsewhere_is_written_once_and_stays(gated: Path, lab, say) -> None:
    """As /dev/stdout does, which is a link: to a terminal, a pipe or a file that others write to."""
    reader, writer = os.pipe()
    for name, target in (("junit.xml", f"/proc/self/fd/{writer}"), ("summary.md", gated / "log")):
        (gated / name).unlink()
        (gated / name).symlink_to(target)
    (gated / "log").write_text("")
    watched = (gated / "log").stat().st_ino
    assert say("gate", "--junit", "junit.xml", "--summary", "summary.md").exit_code == 0
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert ET.fromstring(pipe.read()).find("testsuite").get("tests") == "4"
    assert (gated / "junit.xml").is_symlink()
    assert (gated / "log").stat().st_ino == watched
    assert (gated / "log").read_text().count("## oneffect") == 1
