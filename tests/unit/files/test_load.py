"""What is wrong with a file is said with file, line, field, what is allowed and the nearest name."""

from importlib import import_module
from pathlib import Path

import pytest

from harness.errors import FileError
from harness.files import line_of, load
from harness.scenario import Scenario
from harness.system import System

ROOT = Path(__file__).parents[3]

SCENARIO = "oneffect: 1\nname: one\nload: {uploads: 40, rate: 20/s}\n"

SYSTEM = """
oneffect: 1
name: small
dependencies: {kafka: {topics: {orders: 2}}, redis: {}}
services:
  shop: &service
    command: python -m shop
    env: {PORT: "{port}", KAFKA: "{kafka}"}
  ledger: {<<: *service, env: {KAFKA: "{kafka}", REDIS: "{redis}"}}
load: {upload: {to: shop, post: /orders}}
events: {id: /id, type: /type, topics: [orders]}
"""

EVENTS = "topics: [orders]}\n"
"""The end of the system."""

EFFECTS = "effects:\n  ledger: {applies: [placed]"
"""How effects begin that are not whole yet."""


def refusal(tmp_path: Path, text: str, model: type = Scenario) -> str:
    path = tmp_path / "one.yaml"
    path.write_text(text)
    with pytest.raises(FileError) as refused:
        load(path, model)
    message = str(refused.value)
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    return message.removeprefix(f"{path}:")


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_projects_scenarios_load(path: Path) -> None:
    assert load(path, Scenario).name


def test_the_reference_system_loads() -> None:
    assert load(ROOT / "reference_impl" / "system.yaml", System).name == "reference"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("fautls: []\n", "4: fautls: no such field (nearest: faults); known: again, covers, drain, expect, faults,"),
        ("fautls: []\n", "(nearest: faults)"),
        (
            "expect: walid\n",
            "4: expect: 'walid' is not allowed (nearest: valid); write 'valid', 'unknown' or 'invalid'",
        ),
        (
            "expect: {verdict: invalid, finds: [x]}\n",
            "4: expect.finds: no such field (nearest: find); known: find, verdict",
        ),
        ("variants:\n  a: {verdict: bad}\n", "5: variants.a.verdict: 'bad' is not allowed"),
        ("drain: 5\n", "4: drain: 5 is not a duration like 250ms, 3s or 2m"),
        ("drain: soon\n", "4: drain: 'soon' is not a duration"),
        ("faults:\n  - {fault: x, at: 3}\n", "5: faults[0].at: 3 is not a moment"),
        ("faults:\n  - {fault: x, at: 3s, for: 3}\n", "5: faults[0].for: 3 is not a duration"),
        ("faults:\n  - {at: 3s}\n", "5: faults[0].fault: is missing"),
        ("faults: {}\n", "4: faults: input should be a valid list, not {}"),
        ("tags: [5]\n", "4: tags[0]: 5 is not text; put it in quotes"),
    ],
)
def test_a_scenario_that_is_off(tmp_path: Path, more: str, said: str) -> None:
    assert said in refusal(tmp_path, SCENARIO + more)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: one\nload: {uploads: 1, rate: 1/s}\n", "1: oneffect: is missing"),
        ("oneffect: 2\nname: one\nload: {uploads: 1, rate: 1/s}\n", "1: oneffect: 2 is not allowed; write 1"),
        ("oneffect: 1\nname: On E\nload: {uploads: 1, rate: 1/s}\n", "2: name: 'On E' does not look like a name"),
        ("oneffect: 1\nname: one\nload:\n  uploads: 0\n  rate: 20\n", "4: load.uploads: "),
        ("oneffect: 1\nname: one\nload:\n  uploads: 0\n  rate: 20\n", "(and 1 more)"),
        (f"oneffect: 1\nname: {'x' * 500}\nload: {{uploads: 1, rate: 1/s}}\n", "…"),
    ],
)
def test_the_first_thing_wrong_is_told(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("{redis}", "{redys}", "9: services.ledger: {redys} is unknown; known:"),
        (
            "post: /orders",
            "psot: /orders",
            "10: load.upload.psot: no such field (nearest: post); known: blob, body, field",
        ),
        ("id: /id", "id: {hedder: x}", "11: events.id.hedder: no such field (nearest: header); known: header, key"),
        ("id: /id", "id: 5", "11: events.id: "),
        ("type: /type", "type: {topics: {}}", "11: events.type.topics: the type of the events on orders is missing"),
        (
            "type: /type",
            "type: {topics: {orders: a, odrers: b}}",
            "events.type.topics.odrers: it is not in events.topics",
        ),
        ("post: /orders", "post: 5", "10: load.upload.post: 5 is not text"),
        ("orders: 2", "orders: 0", "4: dependencies.kafka.topics.orders: "),
        (
            "    command: python -m shop\n",
            "    command: python -m shop\n    ready: {print: up}\n",
            "services.shop.ready.print: no such field (nearest: prints)",
        ),
        (
            '{<<: *service, env: {KAFKA: "{kafka}", REDIS: "{redis}"}}',
            '{command: l, ready: {prints: up}}\n  worker: {command: w, env: {LEDGER: "{ledger}"}}',
            "services.ledger.ready: worker#1 links to it, so it must answer over HTTP; write a path",
        ),
        ("    command: python -m shop\n", "", "6: services.shop: a service has a command"),
        (
            EVENTS,
            f"{EVENTS}{EFFECTS}}}\n",
            "13: effects.ledger: say where the effects are: write sql:, topic:, command:, redis:, http:, files: or total:",
        ),
        (
            EVENTS,
            f"{EVENTS}{EFFECTS}, topic: {{name: bills, id: /id}}}}\n",
            "bills is no topic of a dependency; known: orders",
        ),
        (
            EVENTS,
            f"{EVENTS}{EFFECTS}, command: './list {{redys}}'}}\n",
            "13: effects.ledger.command: {redys} is unknown",
        ),
        (
            EVENTS,
            f'{EVENTS}{EFFECTS}, command: "./list \'x"}}\n',
            "13: effects.ledger.command: not a command",
        ),
        (
            EVENTS,
            f"{EVENTS}{EFFECTS}, redis: {{keys: b, on: kafka}}}}\n",
            "13: effects.ledger: redis: write `on`, one of",
        ),
        (
            EVENTS,
            f"{EVENTS}{EFFECTS}, http: {{url: 'ftp://x', id: /id}}}}\n",
            "13: effects.ledger.http.url: 'ftp://x' does not look like a URL",
        ),
        (
            EVENTS,
            f"{EVENTS}{EFFECTS}, files: {{folder: '{{dat}}', id: /id}}}}\n",
            "effects.ledger.files.folder: {dat} is",
        ),
        (EVENTS, f"{EVENTS}{EFFECTS}, by: order, topic: {{name: orders, id: /id}}}}\n", "13: effects.ledger.by: "),
    ],
)
def test_a_system_that_is_off(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in SYSTEM
    message = refusal(tmp_path, SYSTEM.replace(before, after), System)
    assert said in message


@pytest.mark.parametrize(
    ("decode", "said"),
    [
        ("{}", "write either command: or function:"),
        ("{command: ./decode, function: 'a:b'}", "write either command: or function:"),
        ("{function: decoding.order}", "decode.function"),
        ('{command: "\'"}', "not a command"),
    ],
)
def test_a_decoder_that_is_off(tmp_path: Path, decode: str, said: str) -> None:
    assert said in refusal(
        tmp_path, SYSTEM.replace("topics: [orders]", f"topics: [orders], decode: {decode}"), System
    )


PUBLISH = '{topic: orders, key: "{id}", value: {id: "{id}", type: placed}}'


def published(publish: str = PUBLISH) -> str:
    before, after = "load: {upload: {to: shop, post: /orders}}", f"load: {{publish: {publish}}}"
    assert before in SYSTEM
    return SYSTEM.replace(before, after)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("topic: orders", "topic: odrers", "load.publish.topic: odrers is not in a broker's topics"),
        ("topics: [orders]", "topics: []", "load.publish.topic: orders is not in events.topics; add it there"),
        (
            "topics: [orders]",
            "topics: [orders], decode: {function: 'a:b'}",
            "load.publish: values are not JSON here (events.decode); say in `encode` how to make them",
        ),
        (
            "topic: orders, ",
            "topic: orders, encode: {function: 'a:b'}, ",
            "load.publish.encode: write events.decode as well",
        ),
        ('id: "{id}"', 'id: "{n}"', "load.publish has no id of its own at /id, where events.id says"),
        ('id: "{id}"', 'order: "{id}"', "load.publish has no id of its own at /id"),
        (", type: placed", "", "load.publish has nothing at /type, where events.type says"),
        ("id: /id", "id: {header: ce_id}", "load.publish has no id of its own at the header ce_id"),
        ("type: /type", "type: {header: kind}", "load.publish has nothing at the header kind"),
        ('"{id}"', '"{idd}"', "10: load.publish: key: {idd} is not filled in here; known: {id}, {uuid}"),
        ("topic: orders, ", "", "10: load.publish.topic: is missing"),
        (
            "publish:",
            "upload: {to: shop, post: /orders}, publish:",
            "10: load: write one of upload: (a front door that speaks HTTP)",
        ),
    ],
)
def test_a_published_load_that_is_off(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in published()
    assert said in refusal(tmp_path, published().replace(before, after, 1), System)


def test_what_is_published_needs_no_type_where_its_topic_says_it(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(
        published().replace("type: /type", "type: {topics: {orders: placed}}").replace(", type: placed", "")
    )
    assert load(path, System).load.publish is not None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("outcomes: [{of: upload, by: /u, then: [placed]}]\n", "outcomes: of: upload: the load publishes events"),
        ('reprocess: {post: "http://{shop}/again"}\n', "reprocess: the load publishes events, so there is no upload"),
    ],
)
def test_what_needs_an_upload_is_refused_where_the_load_publishes(tmp_path: Path, more: str, said: str) -> None:
    assert said in refusal(tmp_path, published() + more, System)


@pytest.mark.parametrize(("before", "after"), [("id: /id", "id: {key: true}"), ('id: "{id}"', 'id: "A-{uuid}"')])
def test_the_id_of_a_published_event_may_be_elsewhere(tmp_path: Path, before: str, after: str) -> None:
    (tmp_path / "one.yaml").write_text(published().replace(before, after, 1))
    described = load(tmp_path / "one.yaml", System).load
    assert described.publish is not None
    assert described.front is None
    assert not described.batches


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "outcomes: [{of: upload, by: /u, then: [placed]}]\n",
            "outcomes: of: upload: the request names no upload: write {id}",
        ),
        ('reprocess: {post: "http://{shop}/again"}\n', "reprocess: the request names no upload"),
    ],
)
def test_what_needs_an_uploads_id_is_refused_where_no_request_names_it(tmp_path: Path, more: str, said: str) -> None:
    text = SYSTEM.replace("post: /orders}", "post: /orders, id_header: null}") + more
    assert said in refusal(tmp_path, text, System)
    (tmp_path / "named.yaml").write_text(text.replace("post: /orders,", 'post: "/orders/{id}",'))
    assert load(tmp_path / "named.yaml", System).load.upload


def test_a_system_extends_another(tmp_path: Path) -> None:
    (tmp_path / "system.yaml").write_text(SYSTEM)
    (tmp_path / "more.yaml").write_text(
        "extends: system.yaml\nname: other\nservices: {shop: {replicas: 3}}\nevents: {topics: []}\n"
    )
    system = load(tmp_path / "more.yaml", System)
    assert system.name == "other"
    assert system.services["shop"].replicas == 3
    assert system.services["shop"].command == "python -m shop"
    assert system.events.topics == []


def test_null_removes_what_is_extended(tmp_path: Path) -> None:
    (tmp_path / "system.yaml").write_text(SYSTEM)
    (tmp_path / "more.yaml").write_text(
        "extends: system.yaml\nservices: {shop: {replicas: null, none: null}, ledger: null}\nsettle: 5s\n"
    )
    system = load(tmp_path / "more.yaml", System)
    assert system.services.keys() == {"shop"}
    assert system.services["shop"].replicas == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("services: {shop: {command: null}}\n", r"more\.yaml:2: services\.shop: a service has a command"),
        ("\nservices: {shop: {replicas: 0}}\n", r"more\.yaml:3: services\.shop\.replicas: "),
        ("load: {upload: null}\n", r"more\.yaml:2: load: write one of upload: \(a front door"),
        ("\nload: []\n", r"more\.yaml:3: load: "),
    ],
)
def test_what_is_wrong_in_the_file_on_top_is_said_of_that_file(tmp_path: Path, more: str, said: str) -> None:
    (tmp_path / "system.yaml").write_text(SYSTEM)
    (tmp_path / "more.yaml").write_text(f"extends: system.yaml\n{more}")
    with pytest.raises(FileError, match=said):
        load(tmp_path / "more.yaml", System)


def test_an_item_of_a_list_that_was_replaced_is_not_said_of_the_list_below(tmp_path: Path) -> None:
    (tmp_path / "system.yaml").write_text(f"{SYSTEM}outcomes: [{{of: upload, by: /id, then: [x]}}]\n")
    (tmp_path / "more.yaml").write_text("extends: system.yaml\n\noutcomes:\n  - of: upload\n    then: [x]\n")
    with pytest.raises(FileError, match=r"more\.yaml:4: outcomes\[0\]\.by: is missing"):
        load(tmp_path / "more.yaml", System)


def test_a_chain_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "0.yaml").write_text(SYSTEM)
    for number in range(1, 12):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number - 1}.yaml\nname: n{number}\n")
    assert load(tmp_path / "10.yaml", System).name == "n10"
    with pytest.raises(FileError, match="more than 10 files"):
        load(tmp_path / "11.yaml", System)


def test_a_chain_holds_no_more_than_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def many(letter: str) -> str:
        return "dependencies:\n" + "".join(f"  {letter}{n}: {{config: {{a: b}}}}\n" for n in range(15))

    monkeypatch.setattr(import_module("harness.files.load"), "MAX_NODES", 100)  # `load` is the function too
    (tmp_path / "one.yaml").write_text(many("a"))
    (tmp_path / "two.yaml").write_text(f"extends: one.yaml\n{many('b')}")
    (tmp_path / "three.yaml").write_text(f"extends: two.yaml\n{many('c')}")
    with pytest.raises(FileError, match=r"two\.yaml:1: oneffect: is missing"):
        load(tmp_path / "two.yaml", System)
    with pytest.raises(FileError, match=r"three\.yaml:1: holds more than"):
        load(tmp_path / "three.yaml", System)


def test_a_database_needs_its_server(tmp_path: Path) -> None:
    message = refusal(tmp_path, SYSTEM.replace("{redis}", "{redis}/{database}"), System)
    assert "services.ledger: {database} needs a dependency of kind postgres" in message


def test_what_is_wrong_in_an_extended_file_is_said_of_that_file(tmp_path: Path) -> None:
    (tmp_path / "system.yaml").write_text(SYSTEM.replace("name: small", "name: 5"))
    (tmp_path / "more.yaml").write_text("extends: system.yaml\nsettle: 3s\n")
    with pytest.raises(FileError, match=r"system\.yaml:3: name: 5 is not text"):
        load(tmp_path / "more.yaml", System)


@pytest.mark.parametrize(
    ("extends", "said"),
    [
        ("none.yaml", "there is no file none.yaml"),
        ("[a.yaml]", "name one other system file"),
        ("more.yaml", "break the loop"),
        ("loop.yaml", "break the loop"),
        ("x" * 5000, "there is no file xxx"),
    ],
)
def test_what_cannot_be_extended(tmp_path: Path, extends: str, said: str) -> None:
    (tmp_path / "loop.yaml").write_text("extends: more.yaml\n")
    (tmp_path / "more.yaml").write_text(f"\nextends: {extends}\n")
    with pytest.raises(FileError, match="extends") as refused:
        load(tmp_path / "more.yaml", System)
    assert said in str(refused.value)


def test_a_scenario_extends_nothing(tmp_path: Path) -> None:
    assert "4: extends: no such field" in refusal(tmp_path, f"{SCENARIO}extends: other.yaml\n")


def test_the_line_of_a_field(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(SCENARIO + "faults:\n  - {fault: x, at: 3s}\n  - fault: y\n    at: 4s\n")
    assert line_of(path, ("faults", 1, "at")) == 7
    assert line_of(path, ("faults", 1, "for")) == 6
    assert line_of(tmp_path / "none.yaml", ("faults",)) is None
