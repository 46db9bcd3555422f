"""``oneffect list``, ``doctor``, ``setup`` and help."""

import json
from pathlib import Path

import pytest

from harness.errors import StackError
from harness.stacks.native import install, parts


@pytest.mark.parametrize("what", ["scenarios", "faults", "checkers", "variants"])
def test_a_list_as_table_and_as_json(project: Path, say, what: str) -> None:
    rows = json.loads(say("list", what, "--json").stdout)
    table = say("list", what).stdout.splitlines()
    assert len(table) == len(rows) + 1
    assert table[0].split()[0] == what.removesuffix("s")


def test_scenarios_with_what_they_expect(project: Path, say) -> None:
    rows = {row["scenario"]: row for row in json.loads(say("list", "scenarios", "--json").stdout)}
    assert rows["redelivery"]["expects"] == "valid"
    assert rows["redelivery"]["variants"] == {"setnx_only": "invalid"}


def test_variants_of_one_system(project: Path, say) -> None:
    (project / "none.yaml").write_text("extends: system.yaml\nvariants: {find: {other: [lost]}}\n")
    rows = json.loads(say("list", "variants", "--system", "none.yaml", "--json").stdout)
    assert [row["variant"] for row in rows] == ["setnx_only", "other"]


def test_faults_with_their_parameters(say) -> None:
    rows = {row["fault"]: row for row in json.loads(say("list", "faults", "--json").stdout)}
    assert rows["net.hang"]["heals"] is True
    assert rows["net.hang"]["on"] == "link"


def part(name: str, *, there: bool) -> parts.Part:
    return parts.Part(name, "1.0", Path("/there") if there else None, "" if there else "not here", "oneffect setup")


def test_a_doctor_who_finds_all(say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "parts", lambda: [part("kafka", there=True)])
    said = say("doctor")
    assert said.exit_code == 0
    assert "nothing is missing" in said.stdout


def test_a_doctor_who_misses_something(say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "parts", lambda: [part("kafka", there=False), part("java", there=True)])
    said = say("doctor")
    assert said.exit_code == 4
    assert "missing: not here" in said.stdout
    assert "oneffect setup" in said.stdout


def test_setup_says_how_far_it_is(say, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(report) -> None:
        for done in range(100):
            report("kafka", f"{done} of 100 jars")
        report("toxiproxy", "building")

    monkeypatch.setattr(install, "install", installed)
    monkeypatch.setattr(parts, "parts", lambda: [part("kafka", there=True)])
    said = say("setup")
    assert said.exit_code == 0
    assert "kafka: 0 of 100 jars" in said.stderr
    assert "toxiproxy: building" in said.stderr
    assert len(said.stderr.splitlines()) < 20
    assert said.stdout == "ready: kafka 1.0\n"


def test_a_setup_that_fails(say, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(report) -> None:
        raise StackError("kafka: the registry is off; run: oneffect setup")

    monkeypatch.setattr(install, "install", failed)
    said = say("setup")
    assert said.exit_code == 4
    assert "oneffect: kafka: the registry is off" in said.stderr


@pytest.mark.parametrize("command", ["setup", "doctor", "run", "check", "show", "list", "demo"])
def test_help_with_an_example(say, command: str) -> None:
    said = say(command, "--help")
    assert said.exit_code == 0
    assert f"oneffect {command}" in said.stdout.partition("For example:")[2]


def test_the_version(say) -> None:
    assert say("--version").stdout.startswith("oneffect ")
