"""The compose document of a system: what it has to hold, whichever the system."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from harness.stack import RunNames
from harness.system import System

_SPEC = spec_from_file_location("compose", Path(__file__).parents[3] / "docs" / "compose.py")
assert _SPEC is not None
assert _SPEC.loader is not None
compose = module_from_spec(_SPEC)
_SPEC.loader.exec_module(compose)

SYSTEM = {
    "oneffect": 1,
    "name": "shop",
    "dependencies": {"kafka": {"topics": {"orders": 2}}, "redis": {"config": {"appendonly": "yes"}}, "postgres": {}},
    "services": {
        "store": {"image": "shop:3", "env": {"PORT": "{port}"}},
        "till": {
            "image": "shop:3",
            "command": "till --topic {topic:orders}",
            "replicas": 2,
            "env": {
                "PORT": "{port}",
                "KAFKA": "{kafka}",
                "REDIS": "redis://{redis}/0",
                "DB": "postgresql://oneffect@{postgres}/{database}",
                "STORE": "http://{store}",
                "PLACE": "{data}/{service}-{replica}",
            },
        },
    },
    "load": {"upload": {"to": "store", "post": "/orders"}},
    "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    system = System.model_validate(SYSTEM)
    document = compose.Compose(system, names=RunNames("t"), env={"EVERY": "1"}, first_port=7000).document()
    return json.loads(json.dumps(document))


def test_every_dependency_replica_and_its_toxiproxy_is_there(made) -> None:
    assert set(made["services"]) == {
        *("kafka", "kafka-topics", "redis", "postgres", "store-1", "till-1", "till-2"),
        *("toxiproxy-till-1", "toxiproxy-till-2"),
    }


def test_a_replica_knows_its_dependencies_by_its_own_proxies_only(made) -> None:
    for replica in ("till-1", "till-2"):
        proxies = {
            one["name"].partition(".")[2]: one for one in json.loads(made["configs"][f"{replica}_links"]["content"])
        }
        env = made["services"][replica]["environment"]
        listens = {name: f"toxiproxy-{replica}:{one['listen'].rpartition(':')[2]}" for name, one in proxies.items()}
        assert env == {
            "EVERY": "1",
            "PORT": "8000",
            "KAFKA": listens["kafka"],
            "REDIS": f"redis://{listens['redis']}/0",
            "DB": f"postgresql://oneffect@{listens['postgres']}/{RunNames('t').database('till')}",
            "STORE": f"http://{listens['store']}",
            "PLACE": f"/data/till-{replica[-1]}",
        }
        assert len(set(listens.values())) == len(listens)
        assert proxies["store"]["upstream"] == "store-1:8000"
        assert proxies["redis"]["upstream"] == "redis:6379"


def test_the_broker_advertises_each_link_its_own_proxy(made) -> None:
    environment = made["services"]["kafka"]["environment"]
    listeners = dict(one.split("://") for one in environment["KAFKA_LISTENERS"].split(","))
    advertised = dict(one.split("://") for one in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    for replica in ("till-1", "till-2"):
        (proxy,) = [
            one
            for one in json.loads(made["configs"][f"{replica}_links"]["content"])
            if one["name"].endswith(".kafka")
        ]
        behind = "kafka" + ":" + proxy["upstream"].rpartition(":")[2]
        assert proxy["upstream"] == behind
        (name,) = [name for name, own in listeners.items() if own == f":{behind.rpartition(':')[2]}"]
        assert advertised[name] == made["services"][replica]["environment"]["KAFKA"]


def test_ports_are_on_loopback_and_none_twice(made) -> None:
    ports = [port for one in made["services"].values() for port in one.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    outside = [port.split(":")[1] for port in ports]
    assert len(set(outside)) == len(outside)


def test_images_are_pinned_and_services_confined(made) -> None:
    for name, one in made["services"].items():
        assert ":" in one["image"]
        assert not one["image"].endswith(":latest")
        if one["image"] == "shop:3":
            assert one["read_only"]
            assert one["cap_drop"] == ["ALL"]
            assert one["mem_limit"], name


def test_a_service_starts_once_what_it_uses_is_there(made) -> None:
    assert made["services"]["till-1"]["depends_on"] == {
        "kafka": {"condition": "service_healthy"},
        "kafka-topics": {"condition": "service_completed_successfully"},
        "redis": {"condition": "service_healthy"},
        "postgres": {"condition": "service_healthy"},
        "store-1": {"condition": "service_healthy"},
        "toxiproxy-till-1": {"condition": "service_healthy"},
    }


def test_its_database_is_made(made) -> None:
    assert f'"{RunNames("t").database("till")}"' in made["configs"]["postgres_databases"]["content"]
