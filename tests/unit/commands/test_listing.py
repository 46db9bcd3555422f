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


def test_scenarios_stand_beside_the_standard_ones_with_whether_they_fit(project: Path, say) -> None:
    other = project / "other"
    other.mkdir()
    (other / "mine.yaml").write_text((project / "scenarios" / "control.yaml").read_text().replace("control", "mine"))
    (other / "system.yaml").write_text("extends: ../system.yaml\n")
    (other / "compose.yaml").write_text("services: {}\n")
    given = say("list", "scenarios", "--system", "other/system.yaml", "--json").stdout
    rows = {row["scenario"]: row for row in json.loads(given)}
    assert (rows["control"]["from"], rows["mine"]["from"]) == ("scenarios", "other")
    assert rows["malformed"]["from"] == "oneffect"
    assert rows["malformed"]["system"] == "any"
    assert "compose" not in rows
    assert rows["mine"]["fits"] == "yes"
    assert rows["malformed"]["fits"].startswith("no: the system has no")
    assert rows["crash-at-claim"]["fits"] == "no: it was written for ../reference_impl/system.lifecycle.yaml"
    assert "fits" not in json.loads(say("list", "scenarios", "--json").stdout)[0]


def test_a_scenario_beside_its_system_goes_by_its_name(project: Path, lab, say) -> None:
    other = project / "other"
    other.mkdir()
    (other / "mine.yaml").write_text((project / "scenarios" / "control.yaml").read_text().replace("control", "mine"))
    (other / "system.yaml").write_text("extends: ../system.yaml\n")
    assert say("run", "mine", "--system", "other/system.yaml").exit_code == 0
    refused = say("run", "mien", "--system", "other/system.yaml")
    assert refused.exit_code == 2
    assert "no scenario 'mien' (nearest: mine); scenarios has control, " in refused.stderr
    assert "other has mine" in refused.stderr


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
            report("kafka", f"{done} of 100 jars", passing=True)
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


def test_what_is_wrong_with_a_scenario_of_this_very_system_is_said(project: Path, say) -> None:
    path = project / "scenarios" / "control.yaml"
    path.write_text(
        path.read_text().replace("name: control", "name: control\nfaults: [{fault: net.dwon, on: redis, at: 1s}]")
    )
    rows = {
        row["scenario"]: row
        for row in json.loads(say("list", "scenarios", "--system", "system.yaml", "--json").stdout)
    }
    assert "net.down" in rows["control"]["fits"]
    (project / "system.yaml").write_text("oneffect: 1\nnaem: shop\n")
    broken = say("list", "scenarios", "--system", "system.yaml")
    assert broken.exit_code == 2
    assert "system.yaml:1: " in broken.stderr
