"""Whatever is wrong with a compose file: one message with its line, exit 2, and nothing written."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli import app
from harness.files import wrong
from harness.system import System
from tests.unit.compose.files import ALL, BESIDE

CASES = {
    "no YAML": ("services: {a: [}", ["docker-compose.yml:1: not YAML"]),
    "a tab": ("services:\n\ta: {}\n", [":2: not YAML"]),
    "empty": ("# nothing\n", ["the file is empty"]),
    "a list": ("- a\n", ["must be one mapping"]),
    "no compose file": ("oneffect: 1\nname: shop\n", ["has no `services:`"]),
    "version 1": ("web: {image: nginx}\n", ["version 1", "`services:`"]),
    "services that are none": ("services: [web]\n", [":1: services: must be a mapping"]),
    "a service that is none": ("services:\n  web: nginx\n", [":2: services.web: must be a mapping"]),
    "include": ("include: [other.yml]\nservices: {a: {image: b}}\n", [":1: include", "docker compose config"]),
    "a tag": ("services:\n  a: !reset null\n", [":2: ", "!reset"]),
    "only stores": (
        "services: {kafka: {image: kafka}, ui: {image: kafka-ui}}",
        ["no service is left", "ui (a tool)"],
    ),
    "extends of nothing": (
        "services:\n  api: {extends: bsae}\n  base: {image: b}\n",
        [":2: ", "bsae (nearest: base)"],
    ),
    "extends in a circle": ("services:\n  a: {extends: b}\n  b: {extends: a}\n", ["extends itself"]),
    "extends of a list": ("services:\n  a: {extends: [b]}\n", [":2: services.a.extends: name a service"]),
    "extends in another file": (
        "services:\n  a: {extends: {service: b, file: c.yml}}\n",
        ["c.yml: there is no such file"],
    ),
    "an env_file that is not there": (
        "services:\n  a:\n    env_file: my.env\n",
        [":3: services.a.env_file: there is no file my.env"],
    ),
    "an env_file that is none": (
        "services:\n  a:\n    env_file: wrong.env\n",
        ["wrong.env:2: is no NAME=value line"],
    ),
    "an environment that is none": ("services:\n  a:\n    environment: 5\n", [":3: services.a.environment: must be"]),
    "a variable with parts": (
        "services:\n  a:\n    environment: {B: {c: d}}\n",
        [":3: services.a.environment.B: must be"],
    ),
    "a variable that is not closed": (
        "services:\n  a:\n    image: ${X\n",
        [":3: services.a.image: a ${ is not closed"],
    ),
    "a dollar alone": ("services:\n  a:\n    image: 5$ a\n", [":3: services.a.image: ", "write $$"]),
    "a variable of no form": ("services:\n  a:\n    image: ${X!}\n", [":3: ", "${NAME:-default}"]),
}


@pytest.mark.parametrize("case", CASES)
def test_one_message(refused, tmp_path: Path, case: str) -> None:
    (tmp_path / "wrong.env").write_text("A=1\nnot this\n")
    text, words = CASES[case]
    said = refused(text)
    for word in words:
        assert word in said


def test_what_is_no_file(refused, tmp_path: Path) -> None:
    (tmp_path / "folder.yml").mkdir()
    assert "folder.yml: is a folder; name a .yml or .yaml file" in refused(name="folder.yml")
    assert "gone.yml: there is no such file" in refused(name="gone.yml")
    assert "name a .yml or .yaml file" in refused("a: b", name="compose.txt")


def test_a_system_that_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yml").write_text(ALL["old"])
    (tmp_path / "system.yaml").write_text("mine")
    said = CliRunner().invoke(app, ["init", "--from-compose", "c.yml"])
    assert said.exit_code == 2
    assert "system.yaml: is there already" in said.stderr
    assert (tmp_path / "system.yaml").read_text() == "mine"


def test_without_a_folder_or_a_file_it_asks_for_one() -> None:
    said = CliRunner().invoke(app, ["init"])
    assert said.exit_code == 2
    assert "oneffect init first" in said.stderr


def test_an_addresses_file_needs_a_system_that_is_written(made, tmp_path: Path) -> None:
    made(ALL["old"])
    said = CliRunner().invoke(app, ["init", "--from-external", "system.yaml"])
    assert said.exit_code == 2
    assert "system.yaml:" in said.stderr
    assert "TODO: " in said.stderr
    assert not (tmp_path / "addresses.yaml").exists()


ODD = r"{ } $ ${ ${X} ${X:- : - &a *a <<: !x ' # null [ ] kafka redis:6379 @ // {port} {kafka} TODO: 9999999999 é % \ = ,"
PIECES = st.sampled_from([*ODD.split(" "), '"', "\n", "  ", "\u2028", "\ue000"])


@given(
    st.sampled_from(sorted(ALL)), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 12), PIECES), max_size=6)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_refused_or_leaves_nothing_wrong_but_what_is_to_be_written(
    tmp_path: Path, name: str, changes: list[tuple[int, int, str]]
) -> None:
    text = ALL[name]
    for at, cut, piece in changes:
        text = text[: at % len(text)] + piece + text[at % len(text) + cut :]
    for file, content in BESIDE.items():
        (tmp_path / file).write_text(content)
    (tmp_path / "c.yml").write_text(text)
    (tmp_path / "system.yaml").unlink(missing_ok=True)
    said = CliRunner().invoke(app, ["init", "--from-compose", str(tmp_path / "c.yml"), str(tmp_path)])
    if said.exit_code:
        assert (said.exit_code, said.stderr.count("\n")) == (2, 1), said.stderr
        assert said.stderr.startswith("oneffect: ")
    else:
        found = wrong(tmp_path / "system.yaml", System)[1]
        assert [str(error) for error in found if ": TODO: " not in str(error)] == []
