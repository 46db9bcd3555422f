"""``.oneffect/up.json`` announces the system that is up in a folder to other terminals and to external load.

It exists while ``oneffect up`` waits, and only its owner may read it. A lock, which the kernel frees when its process
dies, tells a live announcement from one that a killed process left behind.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, Self

import orjson
from pydantic import Field, ValidationError

from harness.errors import StackError
from harness.model import Model
from harness.system_load import UploadLoad

FOLDER: Final = Path(".oneffect")
NAME: Final = "up.json"
ADDRESSES: Final = "up.addresses.yaml"
"""The addresses file of the system that is up, for ``--addresses``."""

_LOCK: Final = "up.lock"
_SOCKET: Final = "up.sock"
_OWNER_ONLY: Final = 0o600


class Proxy(Model):
    """A link's proxy in its Toxiproxy."""

    api: str
    """host:port of the Toxiproxy's HTTP API."""
    name: str
    """The proxy's name there."""


class Announcement(Model):
    """The content of up.json. Addresses are host:port and bypass the proxies, except ``links``, the proxies' own."""

    format: Literal[1] = 1
    run: str
    pid: int
    stack: str
    system: str
    front_door: str | None = None
    """The URL to post uploads to, ``http://…``."""
    upload: UploadLoad | None = None
    """The system file's ``load.upload``."""
    services: dict[str, str]
    dependencies: dict[str, str]
    links: dict[str, str]
    proxies: dict[str, Proxy] = {}
    """By link: how any client of Toxiproxy addresses its proxy."""
    at: Path = Field(alias="socket")
    """The socket to which ``oneffect inject`` connects."""

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """Connect to the process that holds the system up; raises StackError if it no longer listens."""
        with _reached(self.at) as name, socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(name)
            except OSError as error:
                raise StackError(
                    f"`oneffect up` (process {self.pid}) does not answer: {error.strerror}; start it: oneffect up"
                ) from error
            yield connection


def find(start: Path) -> Announcement:
    """Return the announcement in ``start`` or the nearest folder above; raises StackError if nothing is up."""
    path = announced_at(start)
    if path is None:
        raise StackError("no stack is up in this folder or above; start one in another terminal: oneffect up")
    try:
        return Announcement.model_validate(orjson.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        raise StackError(f"{path}: cannot be read: {error}; end `oneffect up` and start it again") from error


def announced_at(start: Path) -> Path | None:
    """Return the nearest up.json in ``start`` or above whose process is alive, or None."""
    for folder in (start, *start.parents):
        path = folder / FOLDER / NAME
        if path.is_file() and _alive(folder / FOLDER / _LOCK):
            return path
    return None


class Announcer:
    """Announces one stack in ``folder`` while its ``with`` block lasts; leaving it removes the files.

    Raises StackError if a stack is already up there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._lock = -1

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
        except OSError as error:
            raise StackError(f"{self._folder}: cannot be written to: {error.strerror}; use another folder") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._lock, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise StackError(
                f"a stack is already up in this folder (process {pid}); end it, or use another folder"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        self._clear()  # what a killed process left
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()
        os.ftruncate(self._lock, 0)
        os.close(self._lock)

    @property
    def address(self) -> Path:
        """The path of the socket."""
        return self._folder.absolute() / _SOCKET

    def listening(self) -> socket.socket:
        """Return a socket that listens at ``address``, to which only its owner may connect."""
        listener = socket.socket(socket.AF_UNIX)
        os.fchmod(listener.fileno(), _OWNER_ONLY)  # before bind, so that nobody else can ever connect
        with _reached(self.address) as name:
            listener.bind(name)
        listener.listen()
        return listener

    def announce(self, announcement: Announcement, addresses: str | None = None) -> None:
        """Write the addresses file and up.json, each atomically."""
        if addresses is not None:
            self._write(ADDRESSES, addresses.encode())
        self._write(
            NAME, orjson.dumps(announcement.model_dump(mode="json", by_alias=True), option=orjson.OPT_INDENT_2)
        )

    def _write(self, name: str, text: bytes) -> None:
        partial = self._folder / f".{name}"
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb") as file:
            file.write(text)
        partial.replace(self._folder / name)

    def _clear(self) -> None:
        for name in (NAME, ADDRESSES, _SOCKET):
            (self._folder / name).unlink(missing_ok=True)


def _alive(lock: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _reached(path: Path) -> Iterator[str]:
    """Yield a short alias for a socket's path, which may exceed the 107 characters that a socket's name may have."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        with suppress(OSError):
            os.close(folder)
