"""Writes docker-compose.chaos.yml from the reference's system file: ``python docs/compose.py``.

A whole system for stacks that are started by hand (``docker compose up``): brokers, stores, every link through a Toxiproxy of
its replica, the services. Containers share a network; ports are published on loopback only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from harness.files import load
from harness.stack import RunNames
from harness.stacks.docker.stack import IMAGES
from harness.stacks.link import proxy_name
from harness.stacks.native.kafka import settings
from harness.stacks.native.postgres import USER
from harness.system import System
from harness.wiring import Words, is_broker, upstream

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.chaos.yml"
FIRST_PORT = 8000

_HEAD = """\
# The reference pipeline in containers, every link through a Toxiproxy of its replica.
# Made by docs/compose.py from reference_impl/system.postgres.yaml; change that, then run `make docs`.
#   make image && docker compose -f docker-compose.chaos.yml up -d --wait
"""


LOCUST: dict[str, Any] = {
    "profiles": ["load"],
    "image": "oneffect-load:0.1.0",
    "build": {"context": ".", "target": "load"},
    "command": ["--users", "20", "--spawn-rate", "5", "--autostart"],
    "environment": {"ONEFFECT_LOAD": "/etc/oneffect/target.json"},
    "ports": ["127.0.0.1:8089:8089"],
    "volumes": ["load_parts:/data"],
    "configs": [{"source": "locust_target", "target": "/etc/oneffect/target.json"}],
    "depends_on": {"file_service-1": {"condition": "service_healthy"}},
    "mem_limit": "512m",
}


Document = dict[str, Any]

SERVICE_PORT: Final = 8000
API_PORT: Final = 8474
LINK_PORT: Final = 9000
"""The first link of a replica; the next ones follow."""

KAFKA_INSIDE, KAFKA_OUTSIDE, KAFKA_LINK = 19092, 29092, 30000
STORE_PORTS: Final = {"redis": 6379, "postgres": 5432}

_HEALTH: Final = {"interval": "2s", "timeout": "5s", "retries": 45}
_CONFINED: Final[Document] = {
    "read_only": True,
    "tmpfs": ["/tmp"],  # noqa: S108 - of the container's own
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "pids_limit": 256,
}


class Compose:
    """Makes the document. ``env`` is added to every service's environment, ``first_port`` is where published ports begin."""

    def __init__(self, system: System, *, names: RunNames, env: dict[str, str], first_port: int) -> None:
        self._system, self._names, self._env, self._first = system, names, env, first_port
        self._links = system.links()
        self._replicas = system.replicas()

    def document(self) -> Document:
        """The whole of it, as JSON values."""
        services: Document = {}
        for name in self._system.dependencies:
            services |= getattr(self, f"_{self._system.kind(name)}")(name)
        for number, replica in enumerate(self._replicas):
            if any(source == replica for source, _ in self._links):
                services[_proxy(replica)] = self._toxiproxy(replica, number)
        for number, replica in enumerate(self._replicas):
            services[_container(replica)] = self._service(replica, number)
        volumes: Document = {
            volume.partition(":")[0]: {} for one in services.values() for volume in one.get("volumes", ())
        }
        configs = {
            config["source"]: {"content": self._content(config["source"])}
            for one in services.values()
            for config in one.get("configs", ())
        }
        return {"services": services, "configs": configs, "volumes": volumes}

    def _redis(self, name: str) -> Document:
        config = self._system.dependencies[name].config
        words = ["redis-server", *(word for key, value in config.items() for word in (f"--{key}", value))]
        return {
            name: {
                "image": IMAGES["redis"],
                "command": " ".join(words),
                "ports": [f"127.0.0.1:{STORE_PORTS['redis']}:{STORE_PORTS['redis']}"],
                "volumes": [f"{name}_data:/data"],
                "mem_limit": "512m",
                "healthcheck": {"test": ["CMD", "redis-cli", "ping"], **_HEALTH},
            }
        }

    def _postgres(self, name: str) -> Document:
        words = ["postgres", "-c", "max_connections=400"]
        for key, value in self._system.dependencies[name].config.items():
            words += ["-c", f"{key}={value}"]
        return {
            name: {
                "image": IMAGES["postgres"],
                "command": words,
                "environment": {
                    "POSTGRES_USER": USER,
                    "POSTGRES_DB": "postgres",
                    # Reached from this network and from loopback alone.
                    "POSTGRES_HOST_AUTH_METHOD": "trust",
                },
                "ports": [f"127.0.0.1:{STORE_PORTS['postgres']}:{STORE_PORTS['postgres']}"],
                "volumes": [f"{name}_data:/var/lib/postgresql/data"],
                "configs": [{"source": f"{name}_databases", "target": "/docker-entrypoint-initdb.d/databases.sql"}],
                "mem_limit": "1g",
                "healthcheck": {
                    "test": ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", USER, "-d", "postgres"],
                    **_HEALTH,
                },
            }
        }

    def _kafka(self, name: str) -> Document:
        """The broker, with a listener a link, and a container that makes the topics and is done."""
        inside = f"{name}:{KAFKA_INSIDE}"
        mine = [link for link in self._links if link[1] == name]
        named = {
            "CONTROLLER": (":9093", "localhost:9093"),
            "ADMIN": (f":{KAFKA_INSIDE}", inside),
            "OUTSIDE": (f":{KAFKA_OUTSIDE}", f"127.0.0.1:{KAFKA_OUTSIDE}"),
            **{f"LINK{n + 1}": (f":{KAFKA_LINK + n}", self._address(*link)) for n, link in enumerate(mine)},
        }
        topics = " && ".join(
            f"/opt/kafka/bin/kafka-topics.sh --bootstrap-server {inside} --create --if-not-exists "
            f"--topic {self._names.topic(topic)} --partitions {count} --replication-factor 1"
            for topic, count in self._system.dependencies[name].topics.items()
        )
        ask = ["CMD", "/opt/kafka/bin/kafka-broker-api-versions.sh", "--bootstrap-server", inside]
        return {
            name: {
                "image": IMAGES["kafka"],
                "environment": {
                    **{f"KAFKA_{key.replace('.', '_').upper()}": str(one) for key, one in settings(named).items()},
                    "KAFKA_LOG_DIRS": "/var/lib/kafka/data",
                    "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
                },
                "ports": [f"127.0.0.1:{KAFKA_OUTSIDE}:{KAFKA_OUTSIDE}"],
                "volumes": [f"{name}_data:/var/lib/kafka/data"],
                "mem_limit": "1g",
                "healthcheck": {"test": ask, "interval": "3s", "timeout": "10s", "retries": 30},
            },
            f"{name}-topics": {
                "image": IMAGES["kafka"],
                "command": ["bash", "-c", topics],
                "depends_on": {name: {"condition": "service_healthy"}},
                "restart": "no",
            },
        }

    def _toxiproxy(self, replica: str, number: int) -> Document:
        return {
            "image": IMAGES["toxiproxy"],
            "command": ["-host=0.0.0.0", "-config=/etc/toxiproxy.json", "-proxy-metrics"],
            "ports": [f"127.0.0.1:{self._first + 100 + number}:{API_PORT}"],
            "configs": [{"source": f"{_container(replica)}_links", "target": "/etc/toxiproxy.json"}],
            "mem_limit": "128m",
            "healthcheck": {"test": ["CMD", "/toxiproxy-cli", "list"], **_HEALTH},
        }

    def _service(self, replica: str, number: int) -> Document:
        name = replica.partition("#")[0]
        service = self._system.services[name]
        after: Document = {}
        for _, used in (link for link in self._links if link[0] == replica):
            if used in self._system.dependencies:
                after[used] = {"condition": "service_healthy"}
                if self._system.kind(used) == "kafka":
                    after[f"{used}-topics"] = {"condition": "service_completed_successfully"}
            else:
                after[_container(f"{used}#1")] = {"condition": "service_healthy"}
            after[_proxy(replica)] = {"condition": "service_healthy"}
        return {
            "image": service.image,
            **({"command": self._filled(service.command, replica)} if service.command else {}),
            "environment": {**self._env, **{key: self._filled(text, replica) for key, text in service.env.items()}},
            "ports": [f"127.0.0.1:{self._first + number}:{SERVICE_PORT}"],
            "volumes": [f"{name}_data:/data"],
            **({"depends_on": after} if after else {}),
            "mem_limit": "512m",
            **_CONFINED,
        }

    def _filled(self, text: str, replica: str) -> str:
        addresses = {used: self._address(source, used) for source, used in self._links if source == replica}
        own = {"data": lambda: "/data", "port": lambda: str(SERVICE_PORT), "variant": lambda: ""}
        return Words(self._system, self._names, addresses.get, replica, own).filled(text)

    def _address(self, replica: str, used: str) -> str:
        """Where a link's proxy listens."""
        mine = [target for source, target in self._links if source == replica]
        return f"{_proxy(replica)}:{LINK_PORT + mine.index(used)}"

    def _upstream(self, replica: str, used: str) -> str:
        end = upstream(self._system, replica, used)
        if used in self._system.services:
            return f"{_container(end)}:{SERVICE_PORT}"
        if is_broker(self._system, used):
            mine = [link for link in self._links if link[1] == used]
            return f"{end}:{KAFKA_LINK + mine.index((replica, used))}"
        return f"{end}:{STORE_PORTS[self._system.kind(used)]}"

    def _content(self, source: str) -> str:
        """What stands in a file that a container is given."""
        if source.endswith("_databases"):
            mine = [
                name
                for name in self._system.services
                if source.removesuffix("_databases") in self._system.servers(name)
            ]
            return "".join(f'CREATE DATABASE "{self._names.database(name)}";\n' for name in mine)
        replica = next(one for one in self._replicas if f"{_container(one)}_links" == source)
        proxies = [
            {
                "name": proxy_name(replica, used),
                "listen": f"0.0.0.0:{self._address(replica, used).rpartition(':')[2]}",
                "upstream": self._upstream(replica, used),
                "enabled": True,
            }
            for one, used in self._links
            if one == replica
        ]
        return orjson.dumps(proxies, option=orjson.OPT_INDENT_2).decode() + "\n"


def _container(replica: str) -> str:
    return replica.replace("#", "-")


def _proxy(replica: str) -> str:
    return f"toxiproxy-{_container(replica)}"


def _target(system: System) -> str:
    """Where Locust's users upload to (harness/load/target.py)."""
    if (door := system.load.upload) is None:
        raise ValueError("load.publish: Locust's users upload to a front door")
    target = {
        "run": "chaos",
        "front_door": f"http://{door.to}-1:{SERVICE_PORT}{door.path}",
        "upload": door.model_dump(mode="json", by_alias=True),
        "parts": "/data",
        "batch": 5,
    }
    return json.dumps(target, indent=2) + "\n"


class _Dumper(yaml.SafeDumper):
    """No anchors, and texts of several lines as blocks."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - none are wanted
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def text() -> str:
    """The file's text."""
    system = load(ROOT / "reference_impl" / "system.postgres.yaml", System)
    made = Compose(system, names=RunNames("chaos"), env={"LISTEN_HOST": "0.0.0.0"}, first_port=FIRST_PORT).document()  # noqa: S104 - of the container
    for service in made["services"].values():
        if service["image"] == system.services["file_service"].image:
            service["build"] = {"context": ".", "target": "services"}
    made["services"]["locust"] = LOCUST
    made["configs"]["locust_target"] = {"content": _target(system)}
    made["volumes"]["load_parts"] = {}
    whole: dict[str, Any] = {"name": "oneffect-chaos", **made}
    return _HEAD + yaml.dump(whole, Dumper=_Dumper, sort_keys=False, width=118, allow_unicode=True)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
