"""The addresses file: what is off is said with its line, and what fits is laid over the system."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from harness.addresses import described, load_addresses, written
from harness.clients.login import Login, redis_login
from harness.dependency import Dependency
from harness.errors import FileError
from harness.redaction import Redaction
from harness.stack import RunNames
from harness.stacks.external.names import FixedNames
from harness.system import System

SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "small",
        "dependencies": {"kafka": {"topics": {"orders": 2}}, "redis": {}},
        "services": {
            "shop": {"command": "shop", "env": {"KAFKA": "{kafka}"}},
            "ledger": {"command": "ledger", "replicas": 2, "env": {"REDIS": "{redis}"}},
        },
        "load": {"upload": {"to": "shop", "post": "/"}},
        "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
        "effects": {"ledger": {"applies": ["x"], "sql": {"url": "sqlite:///{data}/db", "query": "SELECT 1"}}},
    }
)
GOOD = """oneffect: 1
toxiproxy: 127.0.0.1:8474
dependencies: {kafka: "127.0.0.1:9092", redis: "127.0.0.1:6379"}
services: {shop: "127.0.0.1:8001", ledger#1: "127.0.0.1:8002", ledger#2: "127.0.0.1:8003"}
links:
  shop#1->kafka: {listen: "127.0.0.1:9101", proxy: shop_kafka}
  ledger#1->redis: {listen: "127.0.0.1:9102"}
  ledger#2->redis: {listen: "127.0.0.1:9103", api: "127.0.0.1:8475"}
data: {ledger: /data/ledger}
"""


def file(folder: Path, text: str) -> Path:
    path = folder / "there.yaml"
    path.write_text(text)
    return path


def test_a_whole_one(tmp_path: Path) -> None:
    found = load_addresses(file(tmp_path, GOOD), SYSTEM)
    assert (found.service("shop#1"), found.service("ledger#2")) == ("127.0.0.1:8001", "127.0.0.1:8003")
    assert (found.api("ledger#1->redis"), found.api("ledger#2->redis")) == ("127.0.0.1:8474", "127.0.0.1:8475")


def test_taps_need_a_way_to_start_again_whoever_knows_the_broker(tmp_path: Path) -> None:
    taps = GOOD + "taps: 10.0.0.2\n"
    with pytest.raises(
        FileError, match=r"shop#1 cannot be started again.*commands: \{shop#1: \{stop: …, start: …\}\}"
    ):
        load_addresses(file(tmp_path, taps), SYSTEM)
    for command in ("stop", "kill"):
        found = load_addresses(file(tmp_path, taps + f"commands: {{shop#1: {{{command}: x}}}}\n"), SYSTEM)
        assert found.taps == "10.0.0.2"


def test_urls_are_laid_over_the_system(tmp_path: Path) -> None:
    text = GOOD.replace(
        "data: {ledger: /data/ledger}", "effects: {ledger: postgresql://there/ledger}\nblobs: http://b/{id}"
    )
    found = load_addresses(file(tmp_path, text), SYSTEM).laid_over(SYSTEM)
    assert found.effects["ledger"].sql.url == "postgresql://there/ledger"
    assert found.blobs is not None
    assert found.blobs.get == "http://b/{id}"


OFF = {
    "no port": ('"127.0.0.1:6379"', "127.0.0.1", [":3", "host:port"]),
    "a port that is none": (":6379", ":99999", [":3", "host:port"]),
    "a dependency too few": (', redis: "127.0.0.1:6379"', "", [":3", "redis is missing"]),
    "a dependency too many": ("{kafka:", '{postgres: "127.0.0.1:1", kafka:', [":3", "postgres", "kafka, redis"]),
    "a replica too few": (', ledger#2: "127.0.0.1:8003"', "", [":4", "ledger#2 is missing"]),
    "a replica too many": ("ledger#2:", "ledger#3:", [":4", "ledger#3", "nearest"]),
    "a link too few": ('  ledger#1->redis: {listen: "127.0.0.1:9102"}\n', "", [":5", "ledger#1->redis is missing"]),
    "a link too many": ("ledger#1->redis", "ledger#1->reds", [":7", "nearest: ledger#"]),
    "no toxiproxy": ("toxiproxy: 127.0.0.1:8474\n", "", [":5", "no Toxiproxy"]),
    "no data": ("data: {ledger: /data/ledger}", "", ["ledger is missing", "effects.ledger"]),
    "a topic that is none": ("data:", "names: {topics: {order: x}}\ndata:", [":9", "nearest: orders"]),
    "a command for nobody": ("data:", "commands: {shop: {kill: x}}\ndata:", [":9", "shop#1"]),
    "a command without words": ("data:", "commands: {shop#1: {kill: ' '}}\ndata:", [":9", "not a command"]),
    "a command with half a quote": ("data:", 'commands: {shop#1: {kill: "a \'b"}}\ndata:', [":9", "not a command"]),
    "a command that is none": ("data:", "commands: {shop#1: {klil: x}}\ndata:", [":9", "nearest: kill"]),
}


@pytest.mark.parametrize(("old", "new", "words"), OFF.values(), ids=OFF)
def test_what_is_off_is_said_with_its_line(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(FileError) as caught:
        load_addresses(file(tmp_path, GOOD.replace(old, new, 1)), SYSTEM)
    for word in ("there.yaml", *words):
        assert word in str(caught.value)


def test_what_is_up_is_described_so_that_it_can_be_read_back(tmp_path: Path) -> None:
    addresses = {"kafka": "127.0.0.1:1", "redis": "127.0.0.1:2", **dict.fromkeys(SYSTEM.replicas(), "127.0.0.1:3")}
    link = SimpleNamespace(address="127.0.0.1:4", api="127.0.0.1:5", proxy="ledger-1.redis")
    stack = SimpleNamespace(
        services=dict.fromkeys(SYSTEM.replicas()),
        links={f"{a}->{b}": link for a, b in SYSTEM.links()},
        direct=addresses.__getitem__,
        data=lambda name: Path("/data", name),
    )
    names = RunNames("r1")
    path = file(tmp_path, written(described(SYSTEM, stack, names)))
    found = load_addresses(path, SYSTEM)
    fixed = FixedNames("r2", found.names)
    assert (fixed.topic("orders"), fixed.group("ledger")) == (names.topic("orders"), names.group("ledger"))
    assert (fixed.plain("r1.orders"), fixed.plain("orders"), fixed.plain("other")) == ("orders", None, "other")
    assert found.data == {"ledger": "/data/ledger"}
    assert {one.proxy for one in found.links.values()} == {"ledger-1.redis"}
    assert "commands" not in yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("written_so", "login"),
    [
        ("{password: of-the-file}", Login("of-the-file")),
        ("{user: harness, password: of-the-file}", Login("of-the-file", "harness")),
    ],
)
def test_a_login_is_laid_over_the_system_and_hidden(tmp_path: Path, written_so: str, login: Login) -> None:
    found = load_addresses(file(tmp_path, f"{GOOD}logins: {{redis: {written_so}}}\n"), SYSTEM)
    laid = found.laid_over(SYSTEM)
    assert redis_login(laid.dependencies["redis"].config) == login
    assert redis_login(found.laid_over(laid).dependencies["redis"].config) == login
    assert Redaction(laid).text("it said of-the-file") == "it said ***"
    assert "of-the-file" not in f"{found!r} {laid!r} {login!r}"


def test_only_what_is_a_redis_is_logged_in_at(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"logins.kafka: not in the system.*known are redis"):
        load_addresses(file(tmp_path, f"{GOOD}logins: {{kafka: {{password: of-the-file}}}}\n"), SYSTEM)


def test_without_a_login_the_system_file_s_password_holds(tmp_path: Path) -> None:
    system = SYSTEM.model_copy(
        update={"dependencies": {**SYSTEM.dependencies, "redis": Dependency(config={"requirepass": "of-the-system"})}}
    )
    laid = load_addresses(file(tmp_path, GOOD), system).laid_over(system)
    assert redis_login(laid.dependencies["redis"].config) == Login("of-the-system")
