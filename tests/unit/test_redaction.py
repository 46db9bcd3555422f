"""No secret of a system file or of the environment is in a plan, a record, a log or a message."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.effects import Effects
from harness.errors import FileError, StackError
from harness.files import load
from harness.history.merge import merge
from harness.history.part import Clock, PartRecorder
from harness.history.recorder import HistoryRecorder
from harness.load.target import Target
from harness.plan import make_plan
from harness.redaction import HIDDEN, Redaction, anonymous, is_secret
from harness.system import System

SYSTEM = """
oneffect: 1
name: small
dependencies:
  kafka: {topics: {orders: 2}}
  redis: {config: {appendonly: "yes", requirepass: in-the-config}}
  queue:
    kind: tcp
    command: python queue.py {port} --password in-the-servers-command
    env: {QUEUE_TOKEN: in-the-servers-token}
    ping: {answer: ready}
services:
  shop:
    command: python -m shop --db-password in-the-command
    env:
      PORT: "{port}"
      KAFKA: "{kafka}"
      API_TOKEN: in-the-token
      PIN_SECRET: "47"
      LONGER_TOKEN: in-the-token-too
      COMPOSED_TOKEN: "pre-{service}-in-the-composed"
      EDGED_TOKEN: "{service}-in-the-edged-{run}"
      FILLED_TOKEN: "{service}{run}"
      SHORT_URL: "redis://:4/7@{redis}"
      IDEMPOTENCY_KEY: kept
      DATABASE_URL: postgresql://shop:in%2Dthe%2Durl@{redis}/shop
      BROKEN_URL: postgresql://shop:in/the@broken@{redis}/shop
      PRIVATE_KEY: |
        -----BEGIN PRIVATE KEY-----
        first-line-of-it
        second-line-of-it
  orders: {command: python -m orders, env: {PASSWORD: orders, KEY: "{kafka}"}}
load: {upload: {to: shop, post: /orders, fields: {api_key: in-the-fields, batch_key: "{batch}", kind: order}}}
events: {id: /id, type: /type, topics: [orders]}
effects:
  shop: {applies: [x], sql: {url: "postgresql://reader:in-the-effects@db/shop", query: SELECT 1}}
reprocess: {post: "http://shop:in-the-request@{shop}/orders/{upload_id}"}
replay: {command: "python -m shop.again {event_id} --db-password in-the-replay"}
"""
SECRETS = [
    *(
        "in-the-token-too",
        "in-the-config",
        "in-the-command",
        "in-the-token",
        "in%2Dthe%2Durl",
        "in-the-url",
        "in/the@broken",
    ),
    *("in-the-servers-command", "in-the-servers-token"),
    *("in-the-effects", "in-the-request", "in-the-replay", "first-line-of-it", "second-line-of-it"),
]
SCENARIO = "oneffect: 1\nname: one\nsystem: system.yaml\nload: {uploads: 40, rate: 20/s}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "system.yaml").write_text(SYSTEM)
    (tmp_path / "one.yaml").write_text(SCENARIO)
    return tmp_path / "system.yaml"


@pytest.fixture
def redaction(path: Path) -> Redaction:
    return Redaction(load(path, System), {"CI_TOKEN": "in-the-environment", "PATH": "/usr/bin", "PWD": "/here"})


def plan(path: Path):
    return make_plan(path.with_name("one.yaml"), system_path=None, variant=None, seed=1, stack="auto")


@pytest.mark.parametrize(
    "name",
    [
        *("API_TOKEN", "token", "DB_PASSWORD", "PGPASSWORD", "DB_PASS", "PASS", "SECRET", "CLIENT_SECRET", "API_KEY"),
        *("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "CREDENTIALS", "requirepass", "masterauth", "KEY", "DB_PWD"),
    ],
)
def test_names_that_say_so(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("IDEMPOTENCY_KEY", "ROUTING_KEY", "PWD", "OLDPWD", "MONKEY", "KEYBOARD", "COMPASS", "BYPASS_CACHE", "PORT"),
        *("KEY_PREFIX", "PASSWORD_FILE", "TOKEN_TTL", "AUTHOR", "KAFKA", "appendonly", "DATABASE_URL"),
    ],
)
def test_names_that_do_not(name: str) -> None:
    assert not is_secret(name)


def test_the_plan_holds_none(path: Path) -> None:
    made = plan(path)
    text = json.dumps(made.document)
    assert not [secret for secret in [*SECRETS, "in-the-fields", '"47"', "4/7"] if secret in text]
    system = made.document["system"]
    assert system["services"]["shop"]["env"]["DATABASE_URL"] == "postgresql://***@{redis}/shop"
    assert system["services"]["shop"]["env"]["IDEMPOTENCY_KEY"] == "kept"
    assert system["services"]["shop"]["command"] == "python -m shop --db-password ***"
    assert system["services"]["orders"]["env"] == {"PASSWORD": HIDDEN, "KEY": "{kafka}"}
    assert system["services"]["shop"]["env"]["COMPOSED_TOKEN"] == HIDDEN
    assert system["services"]["shop"]["env"]["FILLED_TOKEN"] == "{service}{run}"
    assert system["dependencies"]["redis"]["config"] == {"appendonly": "yes", "requirepass": HIDDEN}
    assert system["load"]["upload"]["fields"] == {"api_key": HIDDEN, "batch_key": "{batch}", "kind": "order"}


def test_a_password_that_is_also_a_name_hides_no_name(path: Path) -> None:
    document = plan(path).document
    assert document["checks"]["topics"] == ["orders"]
    assert "orders" in document["system"]["services"]


def test_what_is_started_still_gets_them(path: Path) -> None:
    made = plan(path)
    assert made.system.services["shop"].env["API_TOKEN"] == "in-the-token"
    assert made.system.effects["shop"].sql.url == "postgresql://reader:in-the-effects@db/shop"
    assert made.front_door.filled("b1", 2) == {"api_key": "in-the-fields", "batch_key": "b1", "kind": "order"}


def test_what_is_read_of_effects_keeps_no_secret_in_the_plan(path: Path) -> None:
    effects = {
        "printed": {"applies": [], "command": "./list --db-password s3cret-word"},
        "listed": {"applies": [], "http": {"url": "http://reader:s3cret-word@x/bills", "id": "/id"}},
    }
    made = plan(path)
    system = made.system.model_copy(
        update={"effects": {name: Effects.model_validate(it) for name, it in effects.items()}}
    )
    hidden = Redaction(system).plan({**made.document, "system": system.model_dump(mode="json")})
    assert "s3cret-word" not in str(hidden)
    assert hidden["system"]["effects"]["printed"]["command"] == "./list --db-password ***"


def test_the_digest_outlives_a_new_password(path: Path) -> None:
    before = plan(path).digest
    path.write_text(
        SYSTEM.replace("in-the-token", "another").replace("in-the-effects", "other").replace("in-the-fields", "new")
    )
    assert plan(path).digest == before
    path.write_text(SYSTEM.replace("IDEMPOTENCY_KEY: kept", "IDEMPOTENCY_KEY: changed"))
    assert plan(path).digest != before


def test_the_harness_own_environment_does_not_change_the_plan(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan(path).document
    monkeypatch.setenv("CI_TOKEN", "kept")
    assert plan(path).document == before


def test_a_model_prints_none(path: Path) -> None:
    text = repr(plan(path).system)
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("secret", [*SECRETS, "in-the-fields", "in-the-environment"])
def test_texts_lose_them(redaction: Redaction, secret: str) -> None:
    assert redaction.text(f"before {secret}, after") == f"before {HIDDEN}, after"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("it was pre-shop-in-the-composed, it says", "it was ***, it says"),
        ("pre-127.0.0.1:4711-in-the-composed", "***"),
        ("pre-{service}-in-the-composed", "***"),
        ("pre-in-the-composed", "pre-in-the-composed"),
        ("pre-a and b-in-the-composed", "pre-a and b-in-the-composed"),
        ("'shop-in-the-edged-r1'", "'shop***r1'"),
        ("shop r1 shopr1", "shop r1 shopr1"),
    ],
)
def test_a_secret_is_found_as_its_placeholders_are_filled_in(redaction: Redaction, text: str, said: str) -> None:
    assert redaction.text(text) == said


def test_braces_that_nothing_is_filled_into_are_a_secret_like_any_other() -> None:
    redaction = Redaction(None, {"GOOGLE_CREDENTIALS": '{"private_key": "x"}', "A_TOKEN": "a{b c}d"})
    assert redaction.text('{"private_key": "x"} and a{b c}d') == "*** and ***"


LONG = "a1b2c3d4" * 25_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LONG, LONG),
        (f"x={LONG} token=abc", f"x={LONG} token=***"),
        (f"{LONG}token=abc x", f"{LONG}token=*** x"),
        ("-" * len(LONG), "-" * len(LONG)),
        (f"{'-' * len(LONG)}token abc x", f"{'-' * len(LONG)}token *** x"),
    ],
    ids=["a word", "words", "a name", "a rule", "an option"],
)
def test_a_long_line_takes_no_longer_than_a_short_one_for_its_length(
    redaction: Redaction, text: str, said: str
) -> None:
    assert anonymous(text) == redaction.text(text) == said


def test_a_long_secret_takes_no_more_memory_than_its_length() -> None:
    secret = "".join(f"{number:x}" for number in range(5_000))
    tracemalloc.start()
    try:
        redaction = Redaction(None, {"A_TOKEN": secret})
        assert tracemalloc.get_traced_memory()[1] < 1000 * len(secret)
    finally:
        tracemalloc.stop()
    assert redaction.value(f"500: {secret}") == "500: ***"
    assert redaction.value(f"500: {secret[:10_000]}") == "500: ***"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cannot reach redis://u:p@127.0.0.1:1/0", "cannot reach redis://***@127.0.0.1:1/0"),
        ("postgresql://:p@ss@h/db", "postgresql://***@h/db"),
        ('{"url": "http://t0ken@h", "to": "a@b"}', '{"url": "http://***@h", "to": "a@b"}'),
        ("GET http://h/a?access_token=abc&x=1", "GET http://h/a?access_token=***&x=1"),
        ('sasl.password="a b"; x', "sasl.password=***; x"),
        ("./shop --api-token abc", "./shop --api-token ***"),
        ("./shop -c--api-token abc", "./shop -c--api-token ***"),
        ("./shop api-token abc", "./shop api-token abc"),
        ("a=token=abc", "a=token=***"),
        ("http://127.0.0.1:80/x and a@b", "http://127.0.0.1:80/x and a@b"),
        ("key=essay-1 passed", "key=essay-1 passed"),
    ],
)
def test_what_nobody_knew_of(text: str, said: str) -> None:
    assert anonymous(text) == said


@given(st.text())
def test_hiding_twice_is_hiding_once(text: str) -> None:
    assert anonymous(anonymous(text)) == anonymous(text)


def test_records_lose_them(redaction: Redaction, tmp_path: Path) -> None:
    header: dict[str, object] = dict.fromkeys(["plan", "plan_digest", "seed", "versions", "started", "run"], "x")
    path = tmp_path / "history.jsonl"
    with HistoryRecorder(path, header, clock=lambda: 0, hide=redaction.value) as recorder:
        with recorder.operation("upload", "client", upload_id="u") as operation:
            operation.unknown(upload_id="u", error="500: in-the-url refused")
        recorder.record("fault", "bit", "f1", fault="f1", evidence={"what": ["in-the-token"], 3: 4})
        recorder.record("event", "seen", "x", topic="orders", error="no orders")
    text = path.read_text()
    assert not [secret for secret in SECRETS if secret in text]
    assert '"500: *** refused"' in text
    assert '"evidence":{"what":["***"],"3":4}' in text
    assert '"topic":"orders"' in text, "an identity is no text"
    assert '"no ***"' in text


def test_logs_lose_them(redaction: Redaction, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log, clean = tmp_path / "logs" / "shop-1.log", tmp_path / "logs" / "clean.log"
    log.write_bytes(b"\xff in-the-token\r\nfirst-line-of-it\nlast")
    clean.write_bytes(b"nothing\xff\r\n")
    before = clean.stat().st_ino
    redaction.folder(tmp_path / "logs")
    assert log.read_bytes() == b"\xff ***\r\n***\nlast"
    assert (clean.read_bytes(), clean.stat().st_ino) == (b"nothing\xff\r\n", before)
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["clean.log", "shop-1.log"]


def test_parts_of_a_history_lose_them_and_are_found_again(redaction: Redaction, tmp_path: Path) -> None:
    part = PartRecorder(tmp_path / "load" / "parts", run="r1", worker="in-the-token")
    with part.operation("upload", "client", upload_id="u", operation="u.0.in-the-token") as operation:
        operation.unknown(status=500, error="in-the-url refused")
    part.end()
    history = tmp_path / "history.jsonl"
    texts = dict.fromkeys(["plan", "plan_digest", "seed", "versions", "started"], "x") | {"run": "r1"}
    header = {**texts, "clock": Clock.now().document()}
    with HistoryRecorder(history, header, clock=lambda: 0) as recorder:
        recorder.record("run", "finished", "run")
    assert merge(history, [part.path], redaction.value) == (2, 0)
    assert '"error":"*** refused"' in history.read_text()
    redaction.folder(tmp_path / "load")
    assert '"error":"*** refused"' in part.path.read_text()
    assert merge(history, [part.path], redaction.value) == (0, 2), "the same operations, with and without the secret"


def test_what_locust_wrote_loses_them(redaction: Redaction, tmp_path: Path) -> None:
    for name in ("locust.log", "locust_failures.csv", "locust.html"):
        (tmp_path / name).write_text("GET,in-the-token\n")
    (tmp_path / "locust.json").write_text(json.dumps({"said": 'a "quoted" one'}))
    Redaction(None, {"A_TOKEN": 'a "quoted" one'}).folder(tmp_path)
    redaction.folder(tmp_path)
    assert {path.read_text() for path in tmp_path.glob("locust*") if path.suffix != ".json"} == {"GET,***\n"}
    assert (tmp_path / "locust.json").read_text() == '{"said": "***"}'


def test_locust_is_told_the_true_form_fields_until_the_run_is_over(
    redaction: Redaction, path: Path, tmp_path: Path
) -> None:
    told = tmp_path / "load" / "target.json"
    told.parent.mkdir()
    told.write_text(Target(run="r1", front_door="http://x", upload=plan(path).front_door).model_dump_json(indent=2))
    assert Target.model_validate_json(told.read_text()).upload.fields["api_key"] == "in-the-fields"
    redaction.folder(tmp_path / "load")
    assert Target.model_validate_json(told.read_text()).upload.fields["api_key"] == HIDDEN


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("500: in-the-comm", "500: ***"),
        ("it answered b'in-the-com'", "it answered b'***'"),
        ("500: in-the-command", "500: ***"),
        ("500: in-the-com went", "500: in-the-com went"),
        ("500: in-", "500: in-"),
        ("500: pre-sh", "500: ***"),
        ("500: pre-shop-in-the-compo", "500: ***"),
        ("500: pre-shop it was", "500: pre-shop it was"),
        ("500: shop-in-the-ed", "500: shop***"),
    ],
)
def test_a_secret_that_was_cut_short_is_hidden(redaction: Redaction, said: str, told: str) -> None:
    assert redaction.value(said) == told


def test_messages_lose_them(redaction: Redaction) -> None:
    error = ExceptionGroup("x", [StackError("log: in-the-url")])
    error.__cause__ = ValueError("in-the-token")
    with pytest.raises(ExceptionGroup) as caught, redaction.messages():
        raise error
    assert str(caught.value.exceptions[0]) == "log: ***"
    assert str(caught.value.__cause__) == "***"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("API_TOKEN: in-the-token", "API_TOKEN: 4711471147114711"),
        ("API_TOKEN: in-the-token", "API_TOKEN: [in-the-token]"),
        ("command: python -m shop --db-password in-the-command", "command: [--db-password, in-the-command]"),
        ("requirepass: in-the-config", "requirepass: 4711471147114711"),
        ('url: "postgresql://reader:in-the-effects@db/shop"', 'url: ["postgresql://reader:in-the-effects@db"]'),
    ],
)
def test_a_complaint_repeats_none(path: Path, before: str, after: str) -> None:
    assert before in SYSTEM
    path.write_text(SYSTEM.replace(before, after))
    with pytest.raises(FileError) as caught:
        load(path, System)
    assert "system.yaml:" in str(caught.value)
    assert not [secret for secret in [*SECRETS, "4711"] if secret in str(caught.value)]


def test_a_template_keeps_no_secret_in_the_plan() -> None:
    hidden = {"api_token": "t0ken-of-the-shop", "ids": ["{id}"]}
    described = {
        "topic": "orders",
        "value": {"id": "{id}", "type": "t", "auth": hidden},
        "headers": {"x-secret": "v3ry-s3cret"},
    }
    document = {
        "system": {"services": {}, "dependencies": {}, "effects": {}, "load": {"upload": None, "publish": described}}
    }
    load = Redaction(None, None).plan(document)["system"]["load"]
    assert load["upload"] is None
    assert load["publish"]["value"] == {"id": "{id}", "type": "t", "auth": {"api_token": HIDDEN, "ids": ["{id}"]}}
    assert load["publish"]["headers"] == {"x-secret": HIDDEN}
