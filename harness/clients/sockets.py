"""TCP_INFO of loopback sockets, asked of the kernel over netlink (sock_diag(7)); no root, about a millisecond.

The layouts are those of linux/inet_diag.h and linux/tcp.h. pyroute2 knows them too, but its import alone takes
longer than a look may.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOCK_DIAG: Final = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_DUMP: Final = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_DONE, _ERROR = 3, 2
_INFO: Final = 2  # INET_DIAG_INFO
_ESTABLISHED: Final = 1 << 1
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48x")
_MESSAGE: Final = 72  # sizeof(struct inet_diag_msg)
_SENT_AT, _RECEIVED_AT = 44, 52  # offsetof(struct tcp_info, tcpi_last_data_sent), …recv: milliseconds ago
_BYTES_AT: Final = 120  # offsetof(struct tcp_info, tcpi_bytes_acked); tcpi_bytes_received follows


@dataclass(frozen=True, slots=True)
class Connection:
    """One established connection as the listening side sees it."""

    peer: int
    """The client's port."""
    received: int
    """Bytes received from the client."""
    sent: int
    """Bytes that the client acknowledged."""
    unanswered: float | None
    """Seconds since the client last sent data, if nothing was sent to it since; None if something was."""


def connections(port: int) -> list[Connection]:
    """Established IPv4 connections whose local port is ``port``; OSError if the kernel refuses to say."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as netlink:
        netlink.settimeout(2)
        netlink.send(_request(port))
        found: list[Connection] = []
        while True:
            for kind, payload in _messages(netlink.recv(1 << 18)):
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    code = struct.unpack_from("=i", payload)[0]
                    raise OSError(-code, "the kernel refused to list sockets")
                found.append(_connection(payload))


def _request(port: int) -> bytes:
    # Byte code: local port >= port and <= port; a jump past its end by 4 rejects.
    ports = struct.pack("=BBHBBHBBHBBH", 2, 8, 20, 0, 0, port, 3, 8, 12, 0, 0, port)
    code = struct.pack("=HH", 4 + len(ports), 1) + ports
    body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << (_INFO - 1), _ESTABLISHED) + code
    return _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _DUMP, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _connection(payload: bytes) -> Connection:
    peer = struct.unpack_from("!H", payload, 6)[0]
    attributes = payload[_MESSAGE:]
    while len(attributes) >= 4:  # noqa: PLR2004 - an attribute's own header
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == _INFO and length >= 4 + _BYTES_AT + 16:
            acknowledged, received = struct.unpack_from("=QQ", attributes, 4 + _BYTES_AT)
            (sent_ago,) = struct.unpack_from("=I", attributes, 4 + _SENT_AT)
            (received_ago,) = struct.unpack_from("=I", attributes, 4 + _RECEIVED_AT)
            waits = received and (received_ago < sent_ago or not acknowledged)
            unanswered = received_ago / 1000 if waits else None
            return Connection(peer, received, acknowledged, unanswered)
        attributes = attributes[(length + 3) & ~3 :]
    return Connection(peer, 0, 0, None)
