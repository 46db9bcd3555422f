"""Blobs on disk: under its name a blob is complete, or absent."""

import contextlib
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from reference_impl.service_libs.clock import Clock

_STORAGE_ID = re.compile(r"[0-9a-f]{64}")
_INCOMING = ".incoming-"

LONGEST_WRITE_SECONDS = 3600
"""No write takes so long: a process that died left an older temporary file."""


@dataclass(frozen=True)
class BlobStore:
    """A folder of blobs, each in a file named by the SHA-256, in hex, of its bytes.

    Methods block on the disk: call them in a thread.
    """

    folder: Path
    clock: Clock

    def start(self) -> None:
        """Create the folder, or clear it of unfinished writes of dead processes. Raises ``OSError``."""
        created = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder in created:
            _sync_folder(folder.parent)
        oldest = self.clock.now().timestamp() - LONGEST_WRITE_SECONDS
        for path in self.folder.glob(f"{_INCOMING}*"):
            with contextlib.suppress(FileNotFoundError):  # another replica removed it
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def put(self, content: bytes) -> str:
        """Store bytes; once it returns, they survive a power loss. Raises ``OSError`` if nothing was stored."""
        storage_id = hashlib.sha256(content).hexdigest()
        if not self._holds(storage_id, len(content)):
            self._write(storage_id, content)
        # Even for an existing file: the process that renamed it may have died before this line.
        _sync_folder(self.folder)
        return storage_id

    def get(self, storage_id: str) -> bytes | None:
        """Return a blob's bytes as they are on disk, or None if there is no such blob."""
        if not _STORAGE_ID.fullmatch(storage_id):
            return None
        try:
            return (self.folder / storage_id).read_bytes()
        except FileNotFoundError:
            return None

    def _holds(self, storage_id: str, size: int) -> bool:
        """Compare the content: the name alone proves nothing, since the file may be half-written or rotten."""
        try:
            with (self.folder / storage_id).open("rb") as file:
                return (
                    os.fstat(file.fileno()).st_size == size
                    and hashlib.file_digest(file, "sha256").hexdigest() == storage_id
                )
        except FileNotFoundError:
            return False

    def _write(self, storage_id: str, content: bytes) -> None:
        # In the same folder, because a rename is atomic only within one file system.
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=_INCOMING)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.folder / storage_id)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
