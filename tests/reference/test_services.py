"""Each service as a whole: built from its providers, configured by its environment, run as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from aiokafka.errors import KafkaConnectionError
from dishka import make_async_container

from reference_impl.batch_orchestrator import di as batch_orchestrator
from reference_impl.cj_assessment import di as cj_assessment
from reference_impl.content_service.config import ContentServiceSettings
from reference_impl.essay_lifecycle import di as essay_lifecycle
from reference_impl.essay_lifecycle.config import EssayLifecycleSettings
from reference_impl.file_service import di as file_service
from reference_impl.service_libs import kafka_bus
from reference_impl.service_libs.consumer import Consumer
from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.errors import KafkaUnavailable
from reference_impl.service_libs.kafka_bus import KafkaBus
from reference_impl.service_libs.outbox import Relay
from reference_impl.service_libs.retention import Retention
from reference_impl.service_libs.serving import Service
from reference_impl.service_libs.settings import load
from reference_impl.spell_checker import di as spell_checker
from reference_impl.variants import VARIANTS
from reference_impl.variants.__main__ import providers

SERVICES = {
    "file_service": file_service,
    "essay_lifecycle": essay_lifecycle,
    "batch_orchestrator": batch_orchestrator,
    "spell_checker": spell_checker,
    "cj_assessment": cj_assessment,
}


async def built(name):
    container = make_async_container(*SERVICES[name].providers())
    return container, await container.get(Service)


def test_a_swapped_guard_is_put_over_every_consumer():
    changed = {name for name, di in SERVICES.items() if len(providers("setnx_only", name)) > len(di.providers())}
    assert changed == SERVICES.keys() - {"file_service"}


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_is_built_while_nothing_answers(service_environment, name):
    container, service = await built(name)
    parts = {run.__qualname__ for run in service.background}
    assert parts - {"Consumer.run", "Worker.run"} == {"Relay.run", "Retention.run"}
    assert len(service.background) == 3
    await container.close()


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"file_service"}))
async def test_a_consumer_forgets_nothing_before_it_has_caught_up(service_environment, name):
    container, _ = await built(name)
    consumer, retention = await container.get(Consumer), await container.get(Retention)
    await container.close()
    assert retention.caught_up == consumer.catch_up


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_shows_its_figures(service_environment, name):
    container, service = await built(name)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://service") as http:
        answer = await http.get("/metrics")
    shown = service.metrics
    await container.close()
    assert answer.headers["content-type"].startswith("text/plain")
    assert "process_resident_memory_bytes" in answer.text
    assert "redis_errors_total " in answer.text
    assert shown is not (await _another(name)), "one service's figures are its own"


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_shows_what_its_relay_counts(service_environment, name):
    container, service = await built(name)
    (await container.get(Relay)).metrics.refused.inc()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://service") as http:
        answer = await http.get("/metrics")
    await container.close()
    assert "outbox_refused_total 1.0" in answer.text


async def _another(name):
    container, service = await built(name)
    await container.close()
    return service.metrics


@pytest.mark.parametrize("name", SERVICES)
async def test_while_nothing_answers_it_is_alive_and_not_ready(service_environment, name):
    container, service = await built(name)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://service") as http:
        assert (await http.get("/healthz")).status_code == 200
        answer = await http.get("/readyz")
    await container.close()
    assert answer.status_code == 503
    assert answer.json()["needed"]["database"] is True
    assert answer.json()["needed"]["kafka"] is False
    assert answer.json()["needed"]["content_service"] is False


async def test_a_front_door_that_reached_kafka_stays_ready_while_kafka_is_down(service_environment, monkeypatch):
    """It goes on taking uploads: their outcomes wait in the outbox."""
    monkeypatch.setattr(kafka_bus, "AIOKafkaProducer", Producer)
    container, service = await built("file_service")
    (await container.get(ContentClient)).reached = True
    bus = await container.get(KafkaBus)
    await bus.start()
    with pytest.raises(KafkaUnavailable):
        await bus.publish("essays", "k", b"v")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://service") as http:
        answer = await http.get("/readyz")
    await container.close()
    assert (answer.status_code, answer.json()["needed"]["kafka"]) == (200, True)


class Producer:
    """It connects, and then its broker is gone."""

    def __init__(self, **_options): ...

    async def start(self): ...

    async def stop(self): ...

    async def send_and_wait(self, *_arguments, **_options):
        raise KafkaConnectionError("gone")


async def test_a_consumer_reports_redis_and_does_not_need_it(service_environment):
    container, service = await built("essay_lifecycle")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://service") as http:
        answer = (await http.get("/readyz")).json()
    await container.close()
    assert answer["reported"] == {"redis": False}
    assert "redis" not in answer["needed"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", SERVICES)
async def test_a_variant_of_each_service_can_be_built(service_environment, variant, name):
    container = make_async_container(*providers(variant, name))
    assert await container.get(Service)
    await container.close()


def test_a_missing_variable_ends_the_start_and_is_named(monkeypatch, capsys):
    monkeypatch.delenv("BLOB_DIR", raising=False)
    monkeypatch.setenv("PORT", "no number")
    with pytest.raises(SystemExit) as ended:
        load(ContentServiceSettings, "content_service")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "content_service: environment variable PORT: " in said
    assert "content_service: environment variable BLOB_DIR: Field required" in said


def test_a_consumers_defaults_are_safe(service_environment):
    settings = load(EssayLifecycleSettings, "essay_lifecycle")
    assert settings.ttl_seconds == 86_400
    assert settings.group == "essay_lifecycle"
    assert settings.listen_host == "127.0.0.1"
    assert settings.heartbeat_interval_ms < settings.session_timeout_ms


def free_port():
    for port in range(21_000, 30_000):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port")


async def test_a_process_serves_logs_json_and_leaves_with_status_0_on_sigterm(tmp_path):
    port = free_port()
    process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-m", "reference_impl.content_service"],
        env={**os.environ, "PORT": str(port), "BLOB_DIR": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http, asyncio.timeout(60):
            while True:
                try:
                    assert (await http.get("/readyz")).status_code == 200
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
            await http.post("/v1/content?content_type=raw_upload_blob", content=b"x")
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.to_thread(process.communicate)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    (line,) = said.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["service"], entry["timestamp"][-1]) == ("stored", "content_service", "Z")


HEAVY = {"aiokafka", "lxml", "numpy", "psycopg", "pypdf", "redis", "spellchecker", "sqlalchemy", "urllib3", "uvicorn"}
PUBLISHES = {"aiokafka", "sqlalchemy", "urllib3", "uvicorn"}


@pytest.mark.parametrize(
    ("module", "uses"),
    [
        ("content_service.di", {"uvicorn"}),
        ("file_service.di", PUBLISHES),
        ("file_service.__main__", set()),
        ("file_service.reprocess", {"sqlalchemy"}),
        ("essay_lifecycle.di", {*PUBLISHES, "redis"}),
        ("batch_orchestrator.di", {*PUBLISHES, "redis"}),
        ("spell_checker.di", {*PUBLISHES, "redis", "spellchecker"}),
        ("cj_assessment.di", {*PUBLISHES, "redis", "numpy"}),
    ],
)
def test_a_start_loads_what_the_service_uses_and_no_more(module, uses):
    """On SQLite. A document's parsers are loaded by the processes that extract."""
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, reference_impl.{module}; print(*sys.modules)"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert HEAVY & set(loaded.stdout.split()) == uses


def test_an_unknown_variant_is_refused():
    asked = subprocess.run(
        [sys.executable, "-m", "reference_impl.variants", "nothing", "essay_lifecycle"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert asked.returncode == 1
    assert b"variants: setnx_only" in asked.stderr


@pytest.mark.parametrize("name", SERVICES)
async def test_no_password_is_in_the_repr_of_a_part(service_environment, monkeypatch, name):
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    monkeypatch.setenv("DATABASE_URL", f"{service_environment['DATABASE_URL']}-secret")
    container, service = await built(name)
    await container.close()
    assert "secret" not in repr(service)
