"""Writes docker-compose.chaos.yml from the reference's system file: ``python docs/compose.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from harness.files import load
from harness.stack import RunNames
from harness.stacks.docker.compose import SERVICE_PORT, Compose
from harness.system import System

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


def _target(system: System) -> str:
    """Where Locust's users upload to (harness/load/target.py)."""
    door = system.load.upload
    target = {
        "run": "chaos",
        "front_door": f"http://{door.to}-1:{SERVICE_PORT}{door.post}",
        "upload": door.model_dump(mode="json"),
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
