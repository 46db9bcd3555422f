"""What a system file takes over from a compose file, and what it leaves to be written."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.files import load, wrong
from harness.files.document import parse
from harness.files.todo import is_todo, todos
from harness.system import System
from tests.unit.compose.files import ALL, BITNAMI, KAFKA_ALONE, OLD, REDPANDA, SHOP

ROOT = Path(__file__).parents[3]
OPEN = {"load", "events", "effects", "settle"}
"""What no compose file says."""

FILLED: dict[str, Any] = {
    "load": {"upload": {"to": "SERVICE", "post": "/orders"}},
    "events": {"id": "/id", "type": "/type", "topics": []},
    "effects": {},
    "settle": "5s",
}


def read(path: Path) -> dict[str, Any]:
    return dict(parse(path).value)


def left(document: dict[str, Any]) -> set[str]:
    """The fields that are yet to be written."""
    return {".".join(map(str, field)) for field, _ in todos(document)}


@pytest.mark.parametrize("name", ALL)
def test_all_that_is_wrong_with_what_is_written_is_to_be_written(made, tmp_path: Path, name: str) -> None:
    document = made(ALL[name])
    found = wrong(tmp_path / "system.yaml", System)[1]
    assert len(found) == len(left(document)) >= len(OPEN)
    lines = (tmp_path / "system.yaml").read_text().splitlines()
    for error in found:
        _, line, field, what = str(error).split(":", 3)
        assert what.startswith(" TODO: "), error
        assert "; for example " in what
        assert field.strip().rpartition(".")[2] in lines[int(line) - 1]
        assert "TODO: " in lines[int(line) - 1]


@pytest.mark.parametrize("name", ALL)
def test_once_all_is_written_it_is_a_system(made, tmp_path: Path, name: str) -> None:
    text = made(ALL[name]) and (tmp_path / "system.yaml").read_text()
    document = read(tmp_path / "system.yaml")
    FILLED["load"]["upload"]["to"] = next(iter(document["services"]))
    lines = []
    for line in text.splitlines():
        part = line.partition(":")[0]
        field, written = part.strip(), line
        if "TODO: " in line:
            value = FILLED.get(part, {"replicas": 2, "topics": {"orders": 4}, "ready": "/readyz"}.get(field, "4"))
            written = f"{part}: {value!r}"
        lines.append(written)
    (tmp_path / "system.yaml").write_text("\n".join(lines) + "\n")
    load(tmp_path / "system.yaml", System)


def test_a_shop(made) -> None:
    document = made(SHOP)
    assert document["dependencies"] == {
        "kafka": {"topics": {"orders": 6}},
        "redis": {"config": {"save": "60 1", "maxmemory": "64mb"}},
        "db": {"kind": "postgres"},
    }
    assert document["services"]["shop"] == {
        "command": "uvicorn shop:app --host 127.0.0.1 --port {port}",
        "env": {
            "KAFKA_BOOTSTRAP_SERVERS": "{kafka}",
            "ORDERS_TOPIC": "{topic:orders}",
            "DATABASE_URL": "postgresql+asyncpg://oneffect@{db}/{database}",
            "DEBUG": "false",
        },
        "ready": "/health",
    }
    billing = document["services"]["billing"]
    assert (billing["command"], billing["replicas"]) == ("python -m billing", 3)
    assert billing["env"] | {"DB_PASSWORD": "", "PORT": ""} == {
        "KAFKA_BOOTSTRAP_SERVERS": "{kafka}",
        "ORDERS_TOPIC": "{topic:orders}",
        "KAFKA_GROUP_ID": "{group}",
        "REDIS_HOST": "{redis:host}",
        "REDIS_PORT": "{redis:port}",
        "DB_HOST": "{db:host}",
        "DB_PORT": "{db:port}",
        "DB_USER": "oneffect",
        "DB_NAME": "{database}",
        "DB_PASSWORD": "",
        "PORT": "",
    }
    assert left(document) == OPEN | {
        "services.billing.env.DB_PASSWORD",
        "services.billing.env.PORT",
        "services.billing.ready",
    }


def test_what_is_left_out_is_named(made, tmp_path: Path) -> None:
    assert set(made(SHOP)["services"]) == {"shop", "billing"}
    text = (tmp_path / "system.yaml").read_text()
    assert "# Left out: zookeeper, a tool.\n# Left out: kafka-ui, a tool.\n" in text
    assert "# its first scripts are not run: " in text
    assert "# it is built from ./billing; " in text


def test_redpanda_and_valkey(made) -> None:
    document = made(REDPANDA)
    assert document["name"] == "tracking"
    assert document["dependencies"]["redpanda"]["kind"] == "kafka"
    topics = document["dependencies"]["redpanda"]["topics"]
    assert topics | {"dead": ""} == {"parcels": 3, "scans": 3, "dead": ""}
    assert document["dependencies"]["cache"] == {"kind": "redis", "config": {"requirepass": "not-a-real-one"}}
    tracker = document["services"]["tracker"]
    assert (tracker["image"], tracker["replicas"], tracker["ready"]) == ("ghcr.io/acme/tracker:1.4", 2, "/healthz")
    assert "command" not in tracker
    assert tracker["env"] | dict.fromkeys(["LICENCE", "FORMAT", "PORT"]) == {
        "BROKERS": "{redpanda}",
        "PARCELS_TOPIC": "{topic:parcels}",
        "SCAN_TOPICS": "{topic:scans},{topic:parcels}",
        "REDIS_URL": "redis://:not-a-real-one@{cache}/1",
        "NODE_ENV": "production",
        **dict.fromkeys(["LICENCE", "FORMAT", "PORT"]),
    }
    env = {f"services.tracker.env.{name}" for name in ("LICENCE", "FORMAT", "PORT")}
    assert left(document) == OPEN | env | {"dependencies.redpanda.topics.dead"}


def test_brokers_are_one_and_replicas_are_one_service(made) -> None:
    document = made(BITNAMI)
    assert set(document["dependencies"]) == {"kafka", "redis", "postgres"}
    assert document["dependencies"]["redis"] == {"config": {"requirepass": "not-a-real-one"}}
    assert set(document["services"]) == {"worker"}
    worker = document["services"]["worker"]
    assert worker["replicas"] == 2
    env = worker["env"]
    assert env["SPRING_KAFKA_BOOTSTRAP_SERVERS"] == "{kafka}"
    assert env["SPRING_DATASOURCE_URL"] == "jdbc:postgresql://{postgres}/{database}?currentSchema=x"
    assert env["SPRING_DATASOURCE_USERNAME"] == "oneffect"
    assert (env["SERVER_PORT"], env["LOG_LEVEL"], env["WORKERS"]) == ("{port}", "info", "4")
    assert env["GREETING"] == "hello you"
    assert "registry:8081 is left out (profile schemas)" in env["SCHEMA_REGISTRY"]
    assert is_todo(env["API_TOKEN"])
    assert "secrets are not copied" in env["API_TOKEN"]
    assert "hush" not in str(document)


def test_services_that_are_alike_by_name_alone_stay_apart(made) -> None:
    document = made(BITNAMI.replace("extends: worker-1\n", "image: acme/other:1\n"))
    assert set(document["services"]) == {"worker-1", "worker-2"}


def test_more_replicas_than_a_service_may_have_are_asked_for(made) -> None:
    text = "services: {{kafka: {{image: kafka}}, w-1: &w {{image: a/w:1, scale: {}}}, w-2: *w}}"
    assert made(text.format(8))["services"]["w"]["replicas"] == 16
    Path("system.yaml").unlink()
    assert made(text.format(9))["services"]["w-2"]["replicas"] == 9
    Path("system.yaml").unlink()
    assert is_todo(made(text.format(99))["services"]["w-1"]["replicas"])


def test_a_topic_that_is_made_is_known_where_a_variable_names_it_plainly(made) -> None:
    document = made(
        "services: {kafka: {image: kafka, environment: {KAFKA_CREATE_TOPICS: 'orders:4:1'}}, shop: {image: 'a/b:1', "
        "environment: {KAFKA: 'kafka:9092', OUT: orders, SERVICE_NAME: orders}}}"
    )
    env = document["services"]["shop"]["env"]
    assert (env["OUT"], env["SERVICE_NAME"]) == ("{topic:orders}", "orders")


@pytest.mark.parametrize(
    ("key", "text", "written"),
    [
        ("DATABASE_URL", "postgresql://app:${PASSWORD}@db/app?x=1", "postgresql://oneffect@{db}/{database}?x=1"),
        ("DATABASE_URL", "postgres://db:1234@db:5432", "postgres://oneffect@{db}/{database}"),
        ("SELF", "http://shop:80/hook", "http://127.0.0.1:{port}/hook"),
        ("HOSTNAME", "shop", "shop"),
        ("QUEUE", "localhost:19092", "{kafka}"),
        ("QUEUE", "PLAINTEXT://kafka:9092", "PLAINTEXT://{kafka}"),
        ("QUEUE", "mykafka:9092", "mykafka:9092"),
        ("QUEUE", "kafka:9092.example.org", "kafka:9092.example.org"),
        ("DB_CONNECTION", "db", "db"),
        ("DB_SERVER", "db", "{db:host}"),
        ("LISTEN", ":80", ":{port}"),
        ("TRANSPORT", "80", "80"),
        ("httpPort", "80", "{port}"),
        ("SELF_URL", "http://localhost:80/hook", "http://127.0.0.1:{port}/hook"),
        ("TOPIC_PARTITIONS", "4", "4"),
        ("AUTO_CREATE_TOPICS", "true", "true"),
        ("USER_GROUP", "admins", "admins"),
    ],
)
def test_a_variable(made, key: str, text: str, written: str) -> None:
    document = made(
        "services: {kafka: {image: kafka, ports: ['19092:9092']}, db: {image: postgres}, shop: {image: 'a/b:1', ports: "
        f"['8080:80'], environment: {{BROKER: 'kafka:9092', {key}: '{text}'}}}}}}"
    )
    assert document["services"]["shop"]["env"][key] == written


def test_an_address_of_its_own_is_no_other_services_that_publishes_the_same_port(made) -> None:
    document = made(
        "services: {kafka: {image: kafka}, shop: {image: 'a/b:1', ports: ['8080:8080'], environment: {B: 'kafka:9092'}}, "
        "billing: {image: 'a/c:1', ports: ['9090:8080'], environment: {B: 'kafka:9092', SELF_URL: 'http://localhost:8080/hook'}}}"
    )
    assert document["services"]["billing"]["env"]["SELF_URL"] == "http://127.0.0.1:{port}/hook"


@pytest.mark.parametrize("said", ["deploy: {replicas: '${N:-3}'}", "scale: 3, deploy: {resources: {}}", "scale: 3"])
def test_as_many_replicas_as_it_says(made, said: str) -> None:
    document = made(
        f"services: {{kafka: {{image: kafka}}, shop: {{image: 'a/b:1', environment: {{B: 'kafka:9092'}}, {said}}}}}"
    )
    assert document["services"]["shop"]["replicas"] == 3


@pytest.mark.parametrize("check", ["curl -f http://localhost:$$PORT/readyz", "curl http://localhost:80/readyz/${X}"])
def test_of_a_health_check_with_a_variable_no_half_is_read(made, check: str) -> None:
    document = made(
        "services: {kafka: {image: kafka}, shop: {image: 'a/b:1', ports: ['80:80'], environment: {B: 'kafka:9092'}, "
        f"healthcheck: {{test: '{check}'}}}}}}"
    )
    assert document["services"]["shop"]["ready"].startswith("TODO: ")


@pytest.mark.parametrize(
    ("image", "command"),
    [("redis", "['sh', '-c', 'redis-server --appendonly yes']"), ("postgres", "postgres -cmax_connections=50")],
)
def test_settings_that_are_not_read_are_told(made, tmp_path: Path, image: str, command: str) -> None:
    made(
        f"services: {{store: {{image: {image}, command: {command}}}, kafka: {{image: kafka}}, shop: {{image: 'a/b:1', "
        "environment: {B: 'kafka:9092'}}}"
    )
    text = (tmp_path / "system.yaml").read_text()
    assert "its command is not read: write what matters of it as `config: {…}`" in text


def test_a_password_in_a_url_stays_beside_the_compose_file(made, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MQ=amqp://app:hush-hush@mq.example.org:5672\n")
    (tmp_path / "shop.env").write_text("SEARCH=https://app:hush-hush@search.example.org\n")
    made(
        "services: {kafka: {image: kafka}, shop: {image: 'a/b:1', env_file: shop.env, environment: {B: 'kafka:9092', "
        "MQ: '${MQ}'}}}"
    )
    assert "hush-hush" not in (tmp_path / "system.yaml").read_text()


def test_another_host_name_a_volume_and_variables(made) -> None:
    document = made(KAFKA_ALONE)
    assert document["dependencies"] == {"broker": {"kind": "kafka", "topics": {"orders": 4, "audit": 1}}}
    till = document["services"]["till"]
    assert till["command"] == "python till.py"
    assert "image" not in till
    env = till["env"]
    assert (env["KAFKA"], env["CONSUMER_GROUP"], env["SIZE"], env["PRICE"]) == ("{broker}", "{group}", "12", "5$")
    assert env["DATABASE"] == "sqlite:///{data}/till.db"
    assert "${API_KEY}" in env["KEY"]
    assert "hush" not in str(document)


def test_a_file_of_version_2_is_read(made) -> None:
    document = made(OLD)
    assert document["services"]["api"]["env"]["QUEUE"] == "{kafka}"
    assert document["services"]["api"]["image"] == "acme/api:1"
    assert "dependencies.kafka.topics" in left(document)


def test_the_projects_own_file_becomes_what_it_was_made_from(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["init", "--from-compose", str(ROOT / "docker-compose.chaos.yml"), str(tmp_path)])
    assert said.exit_code == 0, said.output
    document = read(tmp_path / "system.yaml")
    original = load(ROOT / "reference_impl" / "system.postgres.yaml", System)
    assert left(document) == OPEN | {f"services.{name}.ready" for name in original.services}
    assert {name.removeprefix("chaos-"): n for name, n in document["dependencies"]["kafka"]["topics"].items()} == (
        original.topics()
    )
    assert document["dependencies"]["redis"]["config"] == original.dependencies["redis"].config
    for name, service in original.services.items():
        drafted = document["services"][name]
        assert drafted["image"] == service.image
        assert drafted.get("replicas", 1) == service.replicas
        env = {key: text.replace("{topic:chaos-", "{topic:") for key, text in drafted["env"].items()}
        assert env == {"LISTEN_HOST": "127.0.0.1", **service.env}


def test_without_a_broker_it_asks_for_one(made) -> None:
    document = made(
        "services: {api: {image: 'a/api:1', command: run --on 80, ports: ['80']}, mongo: {image: 'mongo:7'}}"
    )
    assert is_todo(document["dependencies"]["kafka"]["topics"])
    assert document["services"]["api"]["command"] == "run --on {port}"


def test_addresses_are_asked_for_or_taken_from_what_is_published(tmp_path: Path) -> None:
    system = ROOT / "reference_impl" / "system.postgres.yaml"
    compose = ROOT / "docker-compose.chaos.yml"
    words = ["init", "--from-external", str(system), str(tmp_path / "asked")]
    for more in ([], ["--from-compose", str(compose)]):
        words[-1] += "-"
        assert CliRunner().invoke(app, [*words, *more]).exit_code == 0
    asked, known = (read(tmp_path / name / "addresses.yaml") for name in ("asked-", "asked--"))
    assert all(map(is_todo, asked["dependencies"].values()))
    assert known["dependencies"] == {
        "kafka": "127.0.0.1:29092",
        "redis": "127.0.0.1:6379",
        "postgres": "127.0.0.1:5432",
    }
    assert known["services"]["cj_assessment#2"] == "127.0.0.1:8009"
    assert set(known["links"]) == {f"{a}->{b}" for a, b in load(system, System).links()}
    said = CliRunner().invoke(
        app, ["validate", str(tmp_path / "asked--" / "addresses.yaml"), "--system", str(system)]
    )
    assert said.exit_code == 2
    assert len(said.stderr.splitlines()) == len(left(known)) == 1 + len(known["links"])
