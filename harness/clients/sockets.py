"""TCP_INFO of loopback sockets, from the kernel over netlink (sock_diag(7)); needs no root and about a millisecond.

The layouts are those of linux/inet_diag.h and linux/tcp.h. pyroute2 has them too, but importing it alone takes longer
than one query may.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOCK_DIAG: Final = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_DUMP: Final = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_DONE, _ERROR = 3, 2
_INFO: Final = 2  # INET_DIAG_INFO
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_IPV4: Final = 4
_ESTABLISHED: Final = 1 << 1
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48x")
_MESSAGE: Final = 72  # sizeof(struct inet_diag_msg)
_SENT_AT, _RECEIVED_AT = 44, 52  # offsetof(struct tcp_info, tcpi_last_data_sent), …recv: milliseconds ago
_BYTES_AT: Final = 120  # offsetof(struct tcp_info, tcpi_bytes_acked); tcpi_bytes_received follows


@dataclass(frozen=True, slots=True)
class Connection:
    """One established connection, from the listening side."""

    local: IPv4Address | IPv6Address
    """The address that the client connected to."""
    peer: int
    """The client's port."""
    received: int
    """Bytes received from the client."""
    sent: int
    """Bytes that the client acknowledged."""
    unanswered: float | None
    """Seconds since the client last sent data; None if something was sent to it since."""


def connections(port: int, at: IPv4Address | IPv6Address | None) -> list[Connection]:
    """Return the established connections to ``port`` at an address; None means any address.

    Raises OSError if the kernel refuses.
    """
    # A server that listens on all addresses may see IPv4 clients as IPv6.
    families = [socket.AF_INET] if at is not None and at.version == _IPV4 else _FAMILIES
    established = [connection for family in families for connection in _dump(family, port)]
    return [connection for connection in established if at is None or connection.local == at]


def _dump(family: int, port: int) -> Iterator[Connection]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as netlink:
        netlink.settimeout(2)
        netlink.send(_request(family, port))
        while True:
            for kind, payload in _messages(netlink.recv(1 << 18)):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    code = struct.unpack_from("=i", payload)[0]
                    raise OSError(-code, "the kernel refused to list sockets")
                yield _connection(payload)


def _request(family: int, port: int) -> bytes:
    # Byte code: local port >= port and <= port; a jump to 4 bytes past its end rejects.
    ports = struct.pack("=BBHBBHBBHBBH", 2, 8, 20, 0, 0, port, 3, 8, 12, 0, 0, port)
    code = struct.pack("=HH", 4 + len(ports), 1) + ports
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_INFO - 1), _ESTABLISHED) + code
    return _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _DUMP, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _connection(payload: bytes) -> Connection:
    family, peer = payload[0], struct.unpack_from("!H", payload, 6)[0]
    local = _address(payload[8:12] if family == socket.AF_INET else payload[8:24])
    attributes = payload[_MESSAGE:]
    while len(attributes) >= 4:  # noqa: PLR2004 - an attribute's own header
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == _INFO and length >= 4 + _BYTES_AT + 16:
            acknowledged, received = struct.unpack_from("=QQ", attributes, 4 + _BYTES_AT)
            (sent_ago,) = struct.unpack_from("=I", attributes, 4 + _SENT_AT)
            (received_ago,) = struct.unpack_from("=I", attributes, 4 + _RECEIVED_AT)
            waits = received and (received_ago < sent_ago or not acknowledged)
            unanswered = received_ago / 1000 if waits else None
            return Connection(local, peer, received, acknowledged, unanswered)
        attributes = attributes[(length + 3) & ~3 :]
    return Connection(local, peer, 0, 0, None)


def _address(packed: bytes) -> IPv4Address | IPv6Address:
    address = ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address
