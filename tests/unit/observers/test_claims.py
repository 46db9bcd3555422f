"""Claims are for the story alone: whatever becomes of the look, a run goes on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from harness.observers import claims


class Store:
    """Tells one command, then breaks in a way that nobody thought of."""

    def __init__(self) -> None:
        self.looks = 0

    async def monitor(self) -> AsyncIterator[tuple[float, str, str]]:
        self.looks += 1
        yield 0.0, "GET", "not-a-write"
        yield 0.0, "set", f"key-{self.looks}"
        raise LookupError


class Recorder:
    def __init__(self, full: int) -> None:
        self.keys: list[Any] = []
        self._full = full

    def now(self) -> int:
        return 0

    def record(self, op: str, phase: str, actor: str, **fields: object) -> None:
        if len(self.keys) == self._full:
            raise OSError("full")
        self.keys.append((op, phase, fields["command"], fields["key"]))


async def test_a_look_that_breaks_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_AGAIN", 0)
    recorder = Recorder(full=3)
    # A history that cannot be written does end a run.
    with pytest.raises(OSError, match="full"):
        await asyncio.wait_for(claims.listen(Store(), recorder), 20)  # type: ignore[arg-type]
    assert recorder.keys == [("claim", "seen", "SET", f"key-{n}") for n in (1, 2, 3)]


class Asked:
    """Tells each of these."""

    def __init__(self, *commands: str) -> None:
        self._commands = commands

    async def monitor(self) -> AsyncIterator[tuple[float, str, str]]:
        for command in self._commands:
            yield 0.0, command, "key"


async def test_what_was_asked_is_recorded_with_its_condition() -> None:
    recorder = Recorder(full=4)
    store = Asked("set NX", "SET XX", "GET", "SETNX", "DEL", "SET")
    with pytest.raises(OSError, match="full"):
        await asyncio.wait_for(claims.listen(store, recorder), 20)  # type: ignore[arg-type]
    assert [command for _, _, command, _ in recorder.keys] == ["SET NX", "SET XX", "SETNX", "DEL"]
