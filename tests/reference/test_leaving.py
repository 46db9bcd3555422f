"""A consumer's process that is asked to stop in the middle of a delivery: a real one, but for Kafka's client."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import asyncio, os, sys
from types import SimpleNamespace
from aiokafka import TopicPartition
from reference_impl.essay_lifecycle.di import providers
from reference_impl.service_libs import consumer
from reference_impl.service_libs.serving import main

PARTITION = TopicPartition("essays", 0)


class Fetcher:
    error_future = SimpleNamespace(done=lambda: False)

    async def _proc_fetch_request(self): ...


class Client:
    """Hands out one record, and says on stdout what is asked of it."""

    def __init__(self, **_):
        self._fetcher = Fetcher()
        value = sys.stdin.buffer.read()
        record = SimpleNamespace(topic="essays", partition=0, offset=7, key=b"k", value=value, headers=())
        self.batches = [{PARTITION: [record]}]

    def say(self, what):
        os.write(1, f"{what}\\n".encode())

    async def start(self): ...

    def subscribe(self, _topics, listener):
        self.listener = listener

    def assignment(self):
        return {PARTITION}

    def pause(self, _): ...

    def resume(self, _): ...

    async def getmany(self, **_):
        if self.batches:
            await self.listener.on_partitions_assigned({PARTITION})
            return self.batches.pop()
        await asyncio.sleep(0.01)
        return {}

    async def commit(self, offsets):
        self.say(f"committed {offsets[PARTITION]}")

    async def stop(self):
        self.say("left")


consumer.AIOKafkaConsumer = Client
main(*providers())
'''


class Content:
    """A content service that lets a fetch wait until it is told to answer."""

    url: str

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def serve(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        await self.answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()


@pytest.fixture
async def content():
    content = Content()
    listening = await asyncio.start_server(content.serve, "127.0.0.1", 0)
    content.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield content
    content.answer.set()
    listening.close()


@pytest.fixture
def start(tmp_path, content):
    """Starts the process with the delivery in hand."""

    async def begin(delivery):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = {
            "PORT": str(port),
            "KAFKA": "127.0.0.1:1",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "CONTENT_URL": content.url,
            "DATABASE_URL": f"sqlite:///{tmp_path}/db",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM),
            env={**os.environ, **environment},
            cwd=Path(__file__).parents[2],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        process.stdin.write(delivery.value)
        process.stdin.close()
        return process

    return begin


@pytest.fixture
def stored(tmp_path):
    def ask(query):
        with sqlite3.connect(tmp_path / "db") as connection:
            return connection.execute(query).fetchall()

    return ask


async def ended(process):
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return process.returncode, said.decode().split("\n")[:-1]


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The name of a blob without bytes."""


@pytest.fixture
def provisioned(delivered):
    from reference_impl.common_core.events import EssayContentProvisionedV1

    fields = {"upload_id": "u1", "batch_id": "u1", "batch_size": 1, "file_name": "a.txt", "extractor_version": 1}
    return delivered(EssayContentProvisionedV1(**fields, raw_file_storage_id=EMPTY, text_storage_id=EMPTY))


async def test_a_delivery_that_can_end_is_finished_and_committed(start, content, provisioned, stored):
    process = await start(provisioned)
    async with asyncio.timeout(60):
        await content.asked.wait()
    process.send_signal(signal.SIGTERM)
    content.answer.set()
    assert await ended(process) == (0, ["committed 8", "left"])
    assert stored("SELECT count(*) FROM effect_ledger") == [(1,)]


async def test_one_that_cannot_is_abandoned_without_loss(start, content, provisioned, stored):
    process = await start(provisioned)
    async with asyncio.timeout(60):
        await content.asked.wait()
    assert stored("SELECT topic, partition FROM holding") == [("essays", 0)]
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == (0, ["left"])
    assert stored("SELECT count(*) FROM effect_ledger") == [(0,)]
    assert stored("SELECT count(*) FROM holding") == [(0,)]  # it went in order: whoever is next suspects nothing
    content.answer.set()
    again = await start(provisioned)  # it is delivered again, and has its effect
    assert await asyncio.wait_for(again.stdout.readline(), 60) == b"committed 8\n"
    again.send_signal(signal.SIGTERM)
    await ended(again)
    assert stored("SELECT count(*) FROM effect_ledger") == [(1,)]
