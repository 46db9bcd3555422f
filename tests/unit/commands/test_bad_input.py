"""Whatever is wrong with what was given: one clear message, exit 2, nothing started."""

from collections.abc import Iterator
from pathlib import Path

import pytest

SCENARIO = "oneffect: 1\nname: one\nsystem: system.yaml\nload: {uploads: 40, rate: 20/s}\n"
BOMB = (
    SCENARIO
    + "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
)

FILES = {
    "an unknown fault": (
        "faults: [{fault: net.hangs, on: 'ledger->redis', at: 10%, for: 1s}]",
        ["net.hangs", "net.hang"],
    ),
    "a duration without a unit": (
        "faults: [{fault: net.hang, on: 'ledger->redis', at: 10%, for: 3}]",
        ["250ms", ":5:"],
    ),
    "a moment that is none": ("faults: [{fault: net.hang, on: 'ledger->redis', at: soon, for: 3s}]", ["25%", ":5:"]),
    "no such link": (
        "faults: [{fault: net.hang, on: 'ledger->redys', at: 10%, for: 1s}]",
        ["ledger->redys", "redis"],
    ),
    "no such service": ("faults: [{fault: service.kill, on: ledgre, at: 10%, for: 1s}]", ["ledgre", "ledger"]),
    "no such topic": ("faults: [{fault: kafka.duplicate, on: order, at: 10%, count: 3}]", ["order", "orders"]),
    "no such parameter": (
        "faults: [{fault: net.hang, on: 'ledger->redis', at: 1s, for: 1s, way: up}]",
        ["way", "direction"],
    ),
    "a fault that does not heal": (
        "faults: [{fault: kafka.duplicate, on: orders, at: 1s, for: 1s, count: 3}]",
        ["for"],
    ),
    "a fault without a target": ("faults: [{fault: redis.lose, at: 1s, for: 1s}]", ["on"]),
    "an unknown field": ("fautls: []", ["fautls", "nearest: faults", ":5:"]),
    "a wrong verdict": ("expect: vaild", ["vaild", "nearest: valid", ":5:"]),
    "a key twice": ("name: two", ["'name'", "twice", ":5:"]),
    "a variant that is none": ("variants: {setnx: valid}", ["setnx_only"]),
    "no YAML": ("a: [1, 2", ["not YAML"]),
    "an object": ("a: !!python/object/apply:os.system [true]", ["python/object", ":5:"]),
    "a control character": ("a: \x1b[31m", ["U+001B", ":5:"]),
}


def refused(said, *words: str) -> None:
    assert said.exit_code == 2
    message = said.stderr.strip()
    assert message.startswith("oneffect: ")
    assert "\n" not in message
    assert "Traceback" not in message
    for word in words:
        assert word in message


@pytest.fixture
def here(project: Path, lab) -> Iterator[Path]:
    yield project
    assert not lab.plans
    assert not lab.started
    assert not list(project.glob(".oneffect/runs/*"))


@pytest.mark.parametrize("case", FILES)
def test_a_scenario_that_is_off(here: Path, say, case: str) -> None:
    text, words = FILES[case]
    (here / "one.yaml").write_text(f"{SCENARIO}{text}\n")
    refused(say("run", "one.yaml"), "one.yaml", *words)


def test_a_yaml_bomb(here: Path, say) -> None:
    (here / "bomb.yaml").write_text(BOMB)
    refused(say("run", "bomb.yaml"), "bomb.yaml", "100,000 values")


def test_a_deep_file(here: Path, say) -> None:
    (here / "deep.yaml").write_text("[" * 100_000)
    refused(say("run", "deep.yaml"), "deep.yaml", "50 levels")


def test_an_empty_file(here: Path, say) -> None:
    (here / "empty.yaml").write_text("")
    refused(say("run", "empty.yaml"), "empty.yaml", "empty")


def test_a_binary_file(here: Path, say) -> None:
    (here / "binary.yaml").write_bytes(bytes(range(256)))
    refused(say("run", "binary.yaml"), "binary.yaml", "UTF-8")


def test_no_file(here: Path, say) -> None:
    refused(say("run", "none.yaml"), "none.yaml", "no such file")


def test_a_name_that_is_nearly_one(here: Path, say) -> None:
    refused(say("run", "redis-outtage"), "redis-outtage", "nearest: redis-outage", "control")


def test_a_folder(here: Path, say) -> None:
    refused(say("run", "scenarios"), "scenarios", "folder")
    refused(say("run", "scenarios/"), "scenarios", "folder")


def test_a_file_that_is_no_yaml(here: Path, say) -> None:
    (here / "one.txt").write_text("x")
    refused(say("run", "./one.txt"), "one.txt", ".yaml")


@pytest.mark.parametrize("name", ["a\0b", "\x1b[31m", "x" * 5000, "../" * 50 + "etc/passwd", "[bold]", ""])
def test_a_strange_name(here: Path, say, name: str) -> None:
    refused(say("run", name))


def test_an_unknown_variant(here: Path, say) -> None:
    refused(say("run", "control", "--variant", "setnx"), "setnx", "nearest: setnx_only")


@pytest.mark.parametrize("stack", ["docker", "cloud"])
def test_a_stack_that_is_not_there(here: Path, say, stack: str) -> None:
    refused(say("run", "control", "--stack", stack), stack, "native")


def test_the_external_stack_is_somewhere(here: Path, say) -> None:
    refused(say("run", "control", "--stack", "external"), "--addresses FILE")


def test_addresses_are_of_the_external_stack(here: Path, say) -> None:
    refused(say("run", "control", "--stack", "native", "--addresses", "a.yaml"), "--addresses", "native")
    refused(say("run", "control", "--addresses", "a.yaml"), "a.yaml: there is no such file")
    refused(say("run", "control", "--addresses", "a.yaml", "--variant", "setnx_only"), "setnx_only", "starts nothing")


def test_a_system_that_is_not_there(here: Path, say) -> None:
    refused(say("run", "control", "--system", "none.yaml"), "none.yaml", "no such file")


def test_a_system_that_is_off(here: Path, say) -> None:
    (here / "system.yaml").write_text((here / "system.yaml").read_text().replace("{redis}", "{redys}"))
    refused(say("run", "control"), "system.yaml", "{redys}")


def test_no_system_anywhere(here: Path, say) -> None:
    (here / "system.yaml").unlink()
    (here / "one.yaml").write_text(SCENARIO.replace("system: system.yaml\n", ""))
    refused(say("run", "one.yaml"), "one.yaml", "--system")


def test_one_of_several_is_off(here: Path, say) -> None:
    refused(say("run", "control", "nothing"), "nothing")


def test_a_seed_that_is_too_large(here: Path, say) -> None:
    refused(say("run", "control", "--seed", str(2**60)), "seed")


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "control", "--seed", "many"),
        ("run", "control", "--seed", "-1"),
        ("run", "control", "--sed", "1"),
        ("demo", "--seed", "x"),
        ("list", "things"),
        ("list",),
        ("nothing",),
    ],
)
def test_words_that_do_not_fit(here: Path, say, words: tuple[str, ...]) -> None:
    assert say(*words).exit_code == 2


def test_out_that_cannot_be_made(project: Path, lab, say) -> None:
    (project / "file").write_text("")
    refused(say("run", "control", "--out", "file/there"), "file/there", "--out")
    assert not lab.started


def test_no_project(tmp_path: Path, lab, say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(say("run", "nightly"), "nightly", "scenarios has control")
    listed = say("list", "scenarios")
    assert listed.exit_code == 0
    assert "redelivery" in listed.stdout, "those that come with oneffect"
    assert not lab.started
