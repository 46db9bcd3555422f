"""A suite with real containers of testcontainers', which ``oneffect.adopt`` takes as they are."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.redis import RedisContainer
from testcontainers.core.config import ConnectionMode, testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

import oneffect
from tests.chaos.test_adopt import Shop, Suite, in_postgres

# The tests end their containers themselves, and reach them on this machine.
testcontainers_config.ryuk_disabled = True
testcontainers_config.connection_mode_override = ConnectionMode.docker_host


class Kafka(DockerContainer):
    """Apache's own image; testcontainers' ``KafkaContainer`` wants another vendor's."""

    def __init__(self) -> None:
        super().__init__("apache/kafka:4.4.0")
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            self.at: int = trial.getsockname()[1]
        self.with_bind_ports(9092, self.at)
        self.with_envs(
            KAFKA_NODE_ID="1",
            KAFKA_PROCESS_ROLES="broker,controller",
            KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
            KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
            KAFKA_LISTENERS="PLAINTEXT://:9092,CONTROLLER://:9093",
            KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://127.0.0.1:{self.at}",
            KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
            KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
        )
        self.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(120))

    def get_bootstrap_server(self) -> str:
        return f"127.0.0.1:{self.at}"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with ExitStack() as cleanup:
        kafka = cleanup.enter_context(Kafka())
        redis = cleanup.enter_context(RedisContainer("redis:7-alpine"))
        postgres = cleanup.enter_context(PostgresContainer("postgres:15"))
        session = cleanup.enter_context(oneffect.session(out=tmp_path_factory.mktemp("runs"), seed=41))
        yield Suite(kafka, redis, session, postgres)


@pytest.mark.parametrize("flaw", ["", "setnx"])
def test_a_suites_containers_are_taken_as_they_are(suite: Suite, tmp_path: Path, flaw: str) -> None:
    suite.topic(name := f"orders-{flaw}")
    in_postgres(Shop(suite, name, tmp_path / "unused"), flaw)
