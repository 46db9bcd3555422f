import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from harness.clients.sockets import connections

HERE = ip_address("127.0.0.1")


def test_bytes_of_both_directions_by_the_client_s_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"question")
                accepted.recv(100)
                (asked,) = connections(port, HERE)
                assert (asked.peer, asked.received, asked.sent) == (client.getsockname()[1], 8, 0)
                assert asked.unanswered is not None
                accepted.sendall(b"answer")
                client.recv(100)
                (answered,) = connections(port, HERE)
                assert (answered.received, answered.sent, answered.unanswered) == (8, 6, None)
    assert connections(port, HERE) == []


def test_a_look_leaves_no_descriptor_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        connections(1, HERE)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("listens", "connects", "asked", "seen"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", 1),
        ("127.0.0.1", "127.0.0.1", "127.0.0.2", 0),
        ("127.0.0.1", "127.0.0.1", None, 1),
        ("0.0.0.0", "127.0.0.2", "127.0.0.2", 1),
        ("0.0.0.0", "127.0.0.2", None, 1),
        ("::", "127.0.0.1", None, 1),
        ("::", "::1", "::1", 1),
        ("::", "::1", "127.0.0.1", 0),
    ],
)
def test_connections_to_an_address_are_told_from_those_to_another(listens, connects, asked, seen) -> None:
    """Two proxies on one machine may have one port; one that listens on [::] is reached by IPv4 too."""
    ipv6 = ":" in listens
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    with socket.create_server((listens, 0), family=family, dualstack_ipv6=ipv6) as server:
        port = server.getsockname()[1]
        with socket.create_connection((connects, port)):
            accepted, _ = server.accept()
            with accepted:
                assert len(connections(port, ip_address(asked) if asked else None)) == seen
