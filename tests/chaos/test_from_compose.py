"""From a compose file to a verdict: what `init` drafts is filled in as `validate` says, and runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ONEFFECT = str(Path(sys.executable).with_name("oneffect"))
PATIENCE = 900.0

COMPOSE = """\
services:
  kafka:
    image: apache/kafka:4.0.0
    ports: ["127.0.0.1:9092:9092"]
  topics:
    image: apache/kafka:4.0.0
    command: /opt/kafka/bin/kafka-topics.sh --bootstrap-server kafka:9092 --create --topic orders --partitions 4
    depends_on: [kafka]
  shop: &service
    image: python:3.12-slim
    command: python shop.py
    working_dir: /app
    volumes: [".:/app"]
    ports: ["8080:8000"]
    environment: {PORT: 8000, KAFKA: "kafka:9092", ORDERS: orders}
    healthcheck: {test: [CMD, curl, -f, "http://localhost:8000/readyz"]}
  billing:
    <<: *service
    command: ["python", "billing.py"]
    ports: ["8000"]
    healthcheck: {disable: true}
    deploy: {replicas: 2}
    volumes: [".:/app", "bills:/var/lib/bills"]
    environment: {PORT: 8000, KAFKA: "kafka:9092", ORDERS: orders, GROUP: billing, DATABASE: /var/lib/bills/bills.db}
volumes: {bills: {}}
"""


@pytest.fixture
def oneffect(tmp_path: Path):
    """``oneffect("run", …)``: the exit status and what was said."""

    def ran(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [ONEFFECT, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        return done.returncode, done.stdout + done.stderr

    return ran


@pytest.mark.wide
def test_a_compose_file_becomes_a_system_with_a_verdict(oneffect, tmp_path: Path) -> None:
    assert oneffect("init", ".")[0] == 0
    system = tmp_path / "system.yaml"
    system.unlink()
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    status, said = oneffect("init", "--from-compose", "docker-compose.yml")
    assert (status, "5 TODO" in said) == (0, True), said
    status, said = oneffect("validate", "system.yaml")
    assert status == 2
    lines = system.read_text().splitlines()
    for message in said.splitlines():
        _, _, number, what = message.split(":", 3)
        example = what.partition("; for example ")[2].partition(", or {")[0]
        line = lines[int(number) - 1]
        lines[int(number) - 1] = f"{line.partition(':')[0]}: {example}"
    system.write_text("\n".join(lines) + "\n")
    status, said = oneffect("validate", "system.yaml")
    assert status == 0, said
    assert "billing#1 to #2->kafka" in said
    status, said = oneffect("run", "control", "--system", "system.yaml", "--seed", "1", "--out", "runs")
    assert status == 0, said
    assert "VALID  control  seed 1  exactly one effect (" in said
