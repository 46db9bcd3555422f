"""Taps in their own thread: the run's loop neither delays them nor is delayed."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from contextlib import suppress

from harness.taps.thread import Taps
from harness.taps.trigger import Trigger
from tests.standin import StandIn

SET = b"*3\r\n$3\r\nSET\r\n$5\r\nclaim\r\n$1\r\n1\r\n"
LINK = "consumer#1->redis"


class Notes(StandIn):
    def now(self):
        return 0

    def record(self, op, phase, actor, **fields):
        return 0


class Store:
    """A server in a thread of its own that answers everything with OK, and notes when."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.got = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection, suppress(OSError):
            while data := connection.recv(1 << 16):
                self.got.append(data)
                connection.sendall(b"+OK\r\n")

    def close(self):
        self._listener.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


async def tapped(taps: Taps, store: Store) -> tuple[str, int]:
    port = free_port()
    await taps.open(LINK, "redis", listen=f"127.0.0.1:{port}", upstream=store.address)
    return "127.0.0.1", port


async def until(true):
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def ask(at, answers, seconds=20.0):
    with socket.create_connection(at, timeout=seconds) as service:
        service.sendall(SET)
        answers.append((service.recv(100), time.monotonic()))


async def test_a_message_is_held_for_the_run_and_let_go_by_it() -> None:
    taps, store = Taps(Notes()), Store()
    try:
        at = await tapped(taps, store)
        trigger, answers = Trigger(side="reply", patterns=["SET *"], links=[LINK]), []
        with taps.armed(trigger):
            service = threading.Thread(target=ask, args=(at, answers))
            service.start()
            held = await asyncio.wait_for(trigger.met(), 20)
            assert store.got == [SET], "the store has answered"
            await asyncio.sleep(0.2)
            assert answers == [], "the service has not heard"
            let_go = time.monotonic()
            held.release()
            await asyncio.to_thread(service.join)
        assert answers[0][0] == b"+OK\r\n"
        assert answers[0][1] >= let_go
    finally:
        await taps.close()
        store.close()


async def test_a_busy_run_does_not_stop_what_passes() -> None:
    taps, store = Taps(Notes()), Store()
    try:
        at = await tapped(taps, store)
        answers = []
        service = threading.Thread(target=ask, args=(at, answers))
        service.start()
        service.join()  # which blocks the run's loop
        assert answers[0][0] == b"+OK\r\n"
    finally:
        await taps.close()
        store.close()


async def test_closing_ends_connections_and_the_thread_and_gives_the_interpreter_back() -> None:
    before = sys.getswitchinterval()
    taps, store = Taps(Notes()), Store()
    assert sys.getswitchinterval() < before
    at = await tapped(taps, store)
    service = await asyncio.to_thread(socket.create_connection, at, 20)
    with service:
        service.sendall(SET)
        assert await asyncio.to_thread(service.recv, 100) == b"+OK\r\n"
        await taps.close()
        service.settimeout(20)
        with suppress(ConnectionResetError):
            assert service.recv(1) == b""
    store.close()
    assert sys.getswitchinterval() == before
    assert "taps" not in {thread.name for thread in threading.enumerate()}


async def test_a_held_message_outlives_neither_its_scope_nor_the_taps() -> None:
    taps, store = Taps(Notes()), Store()
    try:
        at = await tapped(taps, store)
        answers = []
        with taps.armed(Trigger(side="request", patterns=["SET *"], links=[LINK])):
            service = threading.Thread(target=ask, args=(at, answers))
            service.start()
            await asyncio.sleep(0.3)
            assert not answers
        await asyncio.to_thread(service.join)
        assert answers[0][0] == b"+OK\r\n"
    finally:
        await taps.close()
        store.close()


async def test_a_trigger_is_given_to_the_taps_of_its_links_alone() -> None:
    taps, store = Taps(Notes()), Store()
    try:
        at = await tapped(taps, store)
        elsewhere = Trigger(side="request", patterns=["SET *"], links=["consumer#2->redis"])
        with taps.armed(elsewhere), socket.create_connection(at, timeout=20) as service:
            service.sendall(SET[:20])
            await until(lambda: store.got == [SET[:20]])
    finally:
        await taps.close()
        store.close()


async def test_what_waited_for_a_trigger_passes_once_it_is_gone() -> None:
    """Though no further bytes come: its service may wait for an answer to these."""
    taps, store = Taps(Notes()), Store()
    try:
        at = await tapped(taps, store)
        one, other = (Trigger(side="request", patterns=["SET *"], links=[LINK]) for _ in range(2))
        with socket.create_connection(at, timeout=20) as service:
            with taps.armed(one):
                with taps.armed(other):
                    service.sendall(SET[:20])
                    await asyncio.sleep(0.3)
                await asyncio.sleep(0.3)
                assert store.got == [], "the first one waits still"
            await until(lambda: store.got == [SET[:20]])
    finally:
        await taps.close()
        store.close()
