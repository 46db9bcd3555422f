"""Tells the harness's own probes of a link by the first bytes on their connections; see ``harness.clients.probes``."""

from __future__ import annotations

import re
from typing import Final

BEGINNING: Final = 1024
"""Bytes at a connection's beginning by which it is told."""

_PROBE: Final = re.compile(
    rb"GET (?:[^\r\n]+\r\n)+?User-Agent: oneffect\r\n"
    rb"|\0\0\0\x12\0\x12\0\0\0\0\0\x01\0\x08oneffect"  # ApiVersions, with this client id
    rb"|\0\0\0.\0\x03\0\0user\0oneffect\0database\0postgres\0application_name\0oneffect probe\0"
    rb"|\*2\r\n\$4\r\nPING\r\n\$\d+\r\noneffect",
    re.DOTALL,
)


def is_probe(beginning: bytes) -> bool:
    """Whether a connection that begins with these bytes is a probe's; what is sent to a server of kind tcp may be anybody's."""
    return _PROBE.match(beginning) is not None
