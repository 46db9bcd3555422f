"""The client against the real service on a port, and against servers that close, are silent, or never end."""

from __future__ import annotations

import asyncio
import threading

import pytest
import uvicorn

from reference_impl.common_core.enums import ContentType
from reference_impl.content_service.app import build_app
from reference_impl.content_service.core_logic import BlobStore
from reference_impl.service_libs import content_client
from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.errors import ContentMissing, ContentUnavailable

READY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SILENT = b""


@pytest.fixture
async def url(tmp_path, clock, until):
    blobs = BlobStore(tmp_path, clock)
    blobs.start()
    app = build_app(blobs, max_blob_bytes=1000)
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", ws="none", log_config=None))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest.fixture
async def client(url):
    client = ContentClient(url, timeout_seconds=30)
    yield client
    await client.stop()


async def test_it_stores_and_fetches(client):
    await client.start()
    assert client.reached
    storage_id = await client.store_content(b"\x00\r\n\xff", ContentType.EXTRACTED_PLAINTEXT)
    assert await client.fetch_content(storage_id) == b"\x00\r\n\xff"


async def test_it_says_that_a_blob_is_missing(client):
    with pytest.raises(ContentMissing):
        await client.fetch_content("0" * 64)


async def test_it_notices_rotten_bytes(client, tmp_path):
    storage_id = await client.store_content(b"text", ContentType.EXTRACTED_PLAINTEXT)
    (tmp_path / storage_id).write_bytes(b"tExt")
    with pytest.raises(ContentMissing, match="other bytes"):
        await client.fetch_content(storage_id)


async def test_a_refusal_by_the_disk_is_no_verdict_on_the_bytes(client, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BlobStore, "put", refuse)
    with pytest.raises(ContentUnavailable, match="507"):
        await client.store_content(b"text", ContentType.RAW_UPLOAD_BLOB)


async def test_a_proxy_of_the_environment_is_not_asked(client, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    await client.start()


async def test_an_address_may_have_a_path(server, until):
    client = ContentClient(f"{server.url}/behind/", timeout_seconds=30)
    await client.start()
    await client.stop()
    assert server.requests[0].startswith(b"GET /behind/readyz ")


async def test_a_service_that_is_not_there_is_unavailable():
    client = ContentClient("http://127.0.0.1:1", timeout_seconds=30)
    with pytest.raises(ContentUnavailable):
        await client.start()
    assert not client.reached
    await client.stop()


class Server:
    """Answers each request with the next of ``answers`` or else that it is ready; None closes the connection."""

    url: str

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.connections = 0
        self.requests: list[bytes] = []
        self.trickles = False
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(request)
                answer = self.answers.pop(0) if self.answers else READY
                if answer is None:
                    break
                writer.write(answer)
                while self.trickles:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.01)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def server():
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield server
    listening.close()
    for writer in server.writers:
        writer.transport.abort()


@pytest.fixture
async def hasty(server):
    """A client with no patience."""
    client = ContentClient(server.url, timeout_seconds=0.1)
    yield client
    server.trickles = False
    await client.stop()


@pytest.fixture
async def patient(server):
    client = ContentClient(server.url, timeout_seconds=30)
    yield client
    await client.stop()


async def test_a_connection_is_kept(patient, server):
    for _ in range(3):
        await patient.start()
    assert server.connections == 1


async def test_a_kept_connection_that_is_closed_at_the_next_request_is_no_outage(patient, server):
    server.answers = [READY, None]
    await patient.start()
    await patient.start()
    assert (len(server.requests), server.connections) == (3, 2)


async def test_it_is_asked_once_more_and_not_for_ever(patient, server):
    server.answers = [None] * 9
    with pytest.raises(ContentUnavailable):
        await patient.start()
    assert len(server.requests) == 2


async def test_an_answer_that_is_cut_is_unavailable(patient, server):
    server.answers = [READY[:-1], None]
    task = asyncio.create_task(patient.start())
    while not server.requests:
        await asyncio.sleep(0.001)
    server.writers[0].close()
    with pytest.raises(ContentUnavailable):
        await task


async def test_no_connection_lies_idle_for_long(patient, server, monkeypatch, until):
    await patient.start()
    monkeypatch.setattr(content_client, "_IDLE_SECONDS", 0)
    await patient.start()
    assert server.connections == 2
    await until(server.writers[0].is_closing)


async def test_a_service_that_is_silent_is_asked_once(hasty, server):
    server.answers = [SILENT] * 9
    # By the bound of one read, or of the whole on a machine that stood still meanwhile.
    with pytest.raises(ContentUnavailable, match=r"ReadTimeout|TimeoutError"):
        await hasty.start()
    assert len(server.requests) == 1


async def test_an_answer_that_never_ends_does_not_hold_its_caller(hasty, server):
    server.answers, server.trickles = [b"HTTP/1.1 200 OK\r\n"], True
    async with asyncio.timeout(30):
        with pytest.raises(ContentUnavailable, match="TimeoutError"):
            await hasty.start()


async def test_whoever_waits_behind_calls_that_hang_is_told(hasty, server):
    server.answers = [SILENT] * 2000
    asked = await asyncio.gather(*(hasty.start() for _ in range(2000)), return_exceptions=True)
    assert {type(each) for each in asked} == {ContentUnavailable}
    assert len(server.requests) < 2000


async def test_a_cancelled_call_holds_nobody(patient, server, until):
    server.answers = [SILENT]
    task = asyncio.create_task(patient.start())
    await until(lambda: bool(server.requests))
    task.cancel()
    await asyncio.wait([task])
    await patient.start()
    server.writers[0].transport.abort()


async def test_the_loops_own_threads_are_left_to_others(patient, server):
    asked_in = set()
    ask = content_client._request

    def seen(*call):
        asked_in.add(threading.current_thread().name.rpartition("_")[0])
        return ask(*call)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content_client, "_request", seen)
        await patient.start()
    assert asked_in == {"content"}
