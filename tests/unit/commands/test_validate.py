"""``oneffect validate``: all that is wrong at once, and of what is right what a run will see, and what it cannot."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app

ROOT = Path(__file__).parents[3]

SYSTEM = """\
oneffect: 1
name: small
dependencies: {kafka: {topics: {orders: 2}}, redis: {}}
services:
  shop: {command: python -m shop, env: {PORT: "{port}", KAFKA: "{kafka}"}}
  ledger: {command: python -m ledger, replicas: 2, env: {KAFKA: "{kafka}", REDIS: "{redis}"}}
load: {upload: {to: shop, post: /orders}}
events: {id: /id, type: /type, topics: [orders]}
outcomes: [{of: upload, by: /order, then: [placed]}]
effects: {ledger: {applies: [placed], sql: {url: "sqlite:///{data}/db", query: "SELECT id AS id FROM t"}}}
"""

SCENARIO = "oneffect: 1\nname: one\nload: {uploads: 40, rate: 20/s}\n"


@pytest.fixture
def validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``validate(text, …)``: what the command says of files with these texts."""
    monkeypatch.chdir(tmp_path)

    def said(*texts: str, more: tuple[str, ...] = ()):
        names = [f"file{number}.yaml" for number in range(len(texts))]
        for name, text in zip(names, texts, strict=True):
            (tmp_path / name).write_text(text)
        return CliRunner().invoke(app, ["validate", *names, *more])

    return said


def lines(stderr: str) -> list[str]:
    return [line.removeprefix("oneffect: file0.yaml:") for line in stderr.splitlines()]


def test_every_mistake_of_fields_has_a_line_of_its_own(validate) -> None:
    said = validate(
        SYSTEM.replace("orders: 2", "orders: 0")
        .replace("post: /orders", "post: /orders, feild: x")
        .replace("id: /id", "id: 5")
    )
    assert said.exit_code == 2
    first, second, third = lines(said.stderr)
    assert first.startswith("3: dependencies.kafka.topics.orders: ")
    assert second.startswith("7: load.upload.feild: no such field (nearest: field); known: ")
    assert third.startswith("8: events.id: ")
    assert said.stdout == ""


def test_what_does_not_fit_together_is_told_all_at_once_even_beside_an_unknown_field(validate) -> None:
    said = validate(
        SYSTEM.replace("to: shop", "to: shpo")
        .replace("{redis}", "{redys}")
        .replace("topics: [orders]", "topics: [ordres]")
        .replace("effects: {ledger", "effects: {legder")
        + "oucomes: []\n"
    )
    assert said.exit_code == 2
    assert [line.partition(";")[0] for line in lines(said.stderr)] == [
        "11: oucomes: no such field (nearest: outcomes)",
        "6: services.ledger: {redys} is unknown",
        "7: load.upload.to: no service shpo (nearest: shop)",
        "8: events.topics: no dependency has the topic ordres (nearest: orders)",
        "10: effects.legder: no such service (nearest: ledger)",
    ]


def test_a_topic_of_dead_letters_that_is_none_is_a_mistake(validate) -> None:
    letters = "dead_letters: {topic: letters, id: /id, consumer: /c, source: /s, kind: /k}\n"
    said = validate(SYSTEM + letters)
    assert lines(said.stderr) == ["11: dead_letters.topic: no dependency has the topic letters; known: orders"]


def test_a_scenario_is_held_against_its_system_row_by_row(validate, tmp_path: Path) -> None:
    (tmp_path / "system.yaml").write_text(SYSTEM)
    rows = (
        "faults:\n  - {fault: redis.lose, on: radis, at: 10%, for: 1s}\n"
        "  - {fault: net.hang, on: 'ledger->redis', at: 10%, for: 1s}\n"
        "  - {fault: net.hag, on: 'ledger->redis', at: 10%, for: 1s}\n"
        "again:\n  - {replay: all, at: 50%}\nvariants: {flawed: valid}\n"
    )
    said = validate(SCENARIO + rows)
    assert said.exit_code == 2
    assert "variants.flawed" in said.stderr
    assert "file0.yaml:9: again[0]: replay" in said.stderr
    assert "file0.yaml:5: faults[0]" in said.stderr
    assert "file0.yaml:7: faults[2]" in said.stderr
    assert "faults[1]" not in said.stderr
    assert len(said.stderr.splitlines()) == 4


def test_files_that_are_wrong_do_not_hide_those_that_follow(validate) -> None:
    said = validate("oneffect: 1\nname: [\n", SYSTEM)
    assert said.exit_code == 2
    assert said.stderr.count("\n") == 1
    assert "file1.yaml: a system file, nothing wrong" in said.stdout


def test_what_a_run_will_see_is_told_and_what_it_cannot(validate) -> None:
    said = validate(SYSTEM)
    assert said.exit_code == 0, said.stderr
    words = " ".join(said.stdout.split())
    assert "links shop#1->kafka ledger#1 to #2->kafka ledger#1 to #2->redis load" in words
    assert "effects ledger: one row for each placed: SELECT id AS id FROM t" in words
    assert "raw retained: not checked" in words
    unseen = words.partition("cannot be seen")[2]
    for each in ("no `carries`", "`dead_letters`", "`blobs`", "`events.cause`", "of an event type"):
        assert each in unseen
    assert "of: upload" not in unseen


def test_what_is_written_is_no_longer_unseen(validate) -> None:
    more = (
        "dead_letters: {topic: orders, id: /id, consumer: /c, source: /s, kind: /k}\n"
        'blobs: {get: "http://{shop}/b/{id}"}\n'
    )
    text = (
        SYSTEM.replace("SELECT id AS id", "SELECT id AS id, d AS carries")
        .replace("type: /type", "type: /type, cause: /cause")
        .replace("then: [placed]}", "then: [placed]}, {of: placed, by: /order, then: [paid]}")
    )
    assert "cannot be seen nothing next: oneffect run --all --system" in " ".join(
        validate(text + more).stdout.split()
    )


def test_a_system_without_effects_cannot_show_one(validate) -> None:
    text = SYSTEM.replace(SYSTEM.splitlines()[-1], "")
    assert "an effect, lost or doubled" in validate(text).stdout


def test_an_addresses_file_is_held_against_its_system(validate, tmp_path: Path) -> None:
    (tmp_path / "system.yaml").write_text(SYSTEM)
    text = (
        'oneffect: 1\ndependencies: {kafka: "a:1", radis: "a:2"}\nservices: {shop: "a:3", ledger: "a:4"}\nlinks: {}\n'
    )
    said = validate(text)
    assert said.exit_code == 2
    assert "dependencies.radis: not in the system (nearest: redis)" in said.stderr
    assert "redis is missing" in said.stderr
    assert said.stderr.count("links: ") == 5


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "scenarios").glob("*.yaml"), *(ROOT / "reference_impl").glob("system*.yaml")]),
    ids=lambda path: path.name,
)
def test_the_projects_own_files_have_no_mistake(validate, path: Path) -> None:
    said = CliRunner().invoke(app, ["validate", str(path)])
    assert said.exit_code == 0, said.stderr


def test_what_is_yet_to_be_written_is_listed_by_line_beside_what_is_wrong_and_alone_comes_of_it(validate) -> None:
    said = validate(
        SYSTEM.replace("{upload: {to: shop, post: /orders}}", '"TODO: how work enters; for example {upload: {…}}"')
        .replace("command: python -m shop", 'command: "TODO: how it starts; for example python shop.py"')
        .replace("topics: {orders: 2}", 'topics: {orders: "TODO: how many partitions; for example 4"}')
        .replace("topics: [orders]", "topics: [ordres], ide: /id")
    )
    assert said.exit_code == 2
    assert [line.partition(";")[0] for line in lines(said.stderr)] == [
        "3: dependencies.kafka.topics.orders: TODO: how many partitions",
        "5: services.shop.command: TODO: how it starts",
        "7: load: TODO: how work enters",
        "8: events.ide: no such field (nearest: id)",
    ]


def test_nothing_runs_with_a_value_that_is_yet_to_be_written(validate, tmp_path: Path) -> None:
    validate(SYSTEM.replace("python -m shop", '"TODO: how it starts; for example python shop.py"'))
    said = CliRunner().invoke(app, ["run", "control", "--system", "file0.yaml"])
    assert said.exit_code == 2
    assert "file0.yaml:5: services.shop.command: TODO: how it starts; for example python shop.py" in said.stderr
    assert "Traceback" not in said.stderr


def test_what_fits_together_is_looked_at_once_everything_is_written(validate) -> None:
    unfit = SYSTEM.replace("to: shop", "to: shpo")
    said = validate(unfit.replace("topics: {orders: 2}", 'topics: "TODO: each topic; for example {orders: 4}"'))
    assert lines(said.stderr) == ["3: dependencies.kafka.topics: TODO: each topic; for example {orders: 4}"]
    assert "no service shpo" in validate(unfit).stderr


def test_a_value_of_a_list_may_be_yet_to_be_written(validate) -> None:
    said = validate(SYSTEM.replace("topics: [orders]", 'topics: ["TODO: the topic; for example orders", orders]'))
    assert lines(said.stderr) == ["8: events.topics[0]: TODO: the topic; for example orders"]
