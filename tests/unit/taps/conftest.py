"""What tests of taps share."""

from __future__ import annotations

import pytest

from harness.taps import connection


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that a direction of a connection held, each time that it passed some on."""
    held = [0]
    forward = connection._Flow.forward

    def watched(flow, upto):
        kept = flow.kept, getattr(flow.scanner, "_kept", b"")
        held.append(sum(map(len, kept)) + flow.writer.transport.get_write_buffer_size())
        forward(flow, upto)

    monkeypatch.setattr(connection._Flow, "forward", watched)
    return held
