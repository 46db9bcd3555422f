import socket
from pathlib import Path

from harness.clients.sockets import connections


def test_bytes_of_both_directions_by_the_client_s_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"question")
                accepted.recv(100)
                (asked,) = connections(port)
                assert (asked.peer, asked.received, asked.sent) == (client.getsockname()[1], 8, 0)
                assert asked.unanswered is not None
                accepted.sendall(b"answer")
                client.recv(100)
                (answered,) = connections(port)
                assert (answered.received, answered.sent, answered.unanswered) == (8, 6, None)
    assert connections(port) == []


def test_a_look_leaves_no_descriptor_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        connections(1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
