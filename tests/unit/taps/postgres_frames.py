"""Postgres' messages, and a server that answers them when Postgres does: after a Sync, a Flush or a simple query."""

from __future__ import annotations

import struct


def frame(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def startup(code: int, rest: bytes = b"") -> bytes:
    return struct.pack("!II", 8 + len(rest), code) + rest


def query(text: str) -> bytes:
    return frame("Q", text.encode() + b"\0")


def parse(text: str, name: bytes = b"") -> bytes:
    return frame("P", name + b"\0" + text.encode() + b"\0\0\0")


def bind(name: bytes = b"", value: bytes = b"secret") -> bytes:
    return frame("B", b"\0" + name + b"\0\0\0\0\1" + struct.pack("!I", len(value)) + value + b"\0\0")


def describe(name: bytes = b"") -> bytes:
    return frame("D", b"S" + name + b"\0")


EXECUTE = frame("E", b"\0\0\0\0\0")
FLUSH = frame("H")
SYNC = frame("S")


def extended(text: str, *, name: bytes = b"", value: bytes = b"secret", prepared: bool = False) -> bytes:
    return (b"" if prepared else parse(text, name)) + bind(name, value) + frame("D", b"P\0") + EXECUTE + SYNC


START = startup(196608, b"user\0me\0\0")
READY = frame("Z", b"I")
STARTED = frame("R", bytes(4)) + READY
BOUND = frame("2")
PREPARED = frame("1") + frame("t", bytes(2)) + frame("n")
"""What a server says to Parse and Describe of a statement that returns no rows."""

COPIES = frame("G", bytes(3))
COPIED = frame("C", b"COPY 1\0")


def answer(*frames: bytes, status: bytes = b"I") -> bytes:
    return b"".join(frames) + frame("Z", status)


def error(code: bytes) -> bytes:
    return frame("E", b"SERROR\0VERROR\0C" + code + b"\0Mtext with a secret\0\0")


def done(text: str) -> bytes:
    """What a server says to a statement that it has executed."""
    return frame("C", text.split(maxsplit=1)[0].upper().encode() + b" 1\0")


class Server:
    """Executes statements on no data; ``executed`` are their texts. One that says ``refused`` ends in an error.

    As Postgres does, it skips what follows an error up to a Sync, and while it reads a COPY's data it ignores a Sync. A
    COPY ends in an error at data that say ``wrong``, and into a ``guarded`` table before it reads any.
    """

    def __init__(self):
        self.executed = []

    def session(self):
        return _Session(self.executed)

    async def __call__(self, reader, writer):
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)
        writer.write(STARTED)
        session = self.session()
        while kind := (await reader.read(1)).decode():
            body = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)
            session.take(kind, body)
            if session.flushes:
                writer.write(session.out)
                session.out, session.flushes = b"", False


class _Session:
    _status = b"I"

    def __init__(self, executed):
        self.out, self.flushes = b"", False
        self._executed = executed
        self._statements, self._bound = {}, ""
        self._skips = self._copies = self._simple = False

    def take(self, kind, body):
        if self._copies:
            self._copy(kind, body)
        elif kind == "S":
            self._ready()
        elif kind == "Q":
            self._simple = True
            self._execute(body.rstrip(b"\0").decode())
            if not self._copies:
                self._ready()
        elif kind == "H":
            self.flushes = True
        elif not self._skips:
            self._extended(kind, body)

    def _extended(self, kind, body):
        first, _, rest = body.partition(b"\0")
        if kind == "P":
            self._statements[first] = rest.partition(b"\0")[0].decode()
            self.out += frame("1")
        elif kind == "B":
            self._bound = self._statements[rest.partition(b"\0")[0]]
            self.out += BOUND
        elif kind == "D":
            self.out += frame("n") if first[:1] == b"P" else frame("t", bytes(2)) + frame("n")
        elif kind == "C":
            self.out += frame("3")
        elif kind == "E":
            self._execute(self._bound)

    def _execute(self, text):
        self._executed.append(text)
        if "refused" in text:
            self._fail(b"23505")
        elif "STDIN" in text:
            self.flushes = True
            self.out += COPIES
            if "guarded" in text:
                self._fail(b"P0001")
            else:
                self._copies = True
        else:
            self.out += done(text)

    def _copy(self, kind, body):
        wrong = b"wrong" in body
        if kind not in "cf" and not wrong:
            return
        self._copies = False
        if kind == "c":
            self.out += COPIED
        else:
            self._fail(b"22P02" if wrong else b"57014")
        if self._simple:
            self._ready()

    def _fail(self, code):
        self.out += error(code)
        self._skips = self.flushes = True

    def _ready(self):
        self._skips = self._simple = False
        self.out, self.flushes = self.out + frame("Z", self._status), True


class Transactions(Server):
    """A server with transactions; ``committed`` are the statements that count. Text without a word in capitals is none."""

    def __init__(self):
        super().__init__()
        self.committed = []

    def session(self):
        return _InTransactions(self.executed, self.committed)


class _InTransactions(_Session):
    def __init__(self, executed, committed):
        super().__init__(executed)
        self._committed, self._open = committed, []

    def _execute(self, text):
        word = text.partition(" ")[0]
        if not word.isupper():
            self._fail(b"42601")
        elif word in {"COMMIT", "ROLLBACK"}:
            counts = word == "COMMIT" and self._status == b"T"
            self._committed += self._open if counts else []
            self._status, self._open = b"I", []
            super()._execute("COMMIT" if counts else "ROLLBACK")
        elif self._status == b"E":
            self._fail(b"25P02")
        elif word == "BEGIN":
            self._status = b"T"
            super()._execute(text)
        else:
            (self._committed if self._status == b"I" else self._open).append(text)
            super()._execute(text)

    def _fail(self, code):
        super()._fail(code)
        self._status = b"I" if self._status == b"I" else b"E"
