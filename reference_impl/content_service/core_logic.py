"""Blobs on disk: there under their name wholly, or not at all."""

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
"""A temporary file older than this was left by a process that died: no writer takes so long."""


@dataclass(frozen=True)
class BlobStore:
    """A folder of blobs, each in a file named by the SHA-256, in hex, of its bytes.

    It waits for the disk: call it in a thread.
    """

    folder: Path
    clock: Clock

    def start(self) -> None:
        """Make the folder, or clear it of what a process that died was writing. Raises OSError if that cannot be."""
        made = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder in made:
            _sync_folder(folder.parent)
        oldest = self.clock.now().timestamp() - LONGEST_WRITE_SECONDS
        for path in self.folder.glob(f"{_INCOMING}*"):
            with contextlib.suppress(FileNotFoundError):  # another replica's clearing
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def put(self, content: bytes) -> str:
        """Store bytes; on return they survive a loss of power. Raises OSError, and then nothing was stored."""
        storage_id = hashlib.sha256(content).hexdigest()
        if not self._holds(storage_id, len(content)):
            self._write(storage_id, content)
        # Also when it was there: whoever renamed it may have died before this line.
        _sync_folder(self.folder)
        return storage_id

    def get(self, storage_id: str) -> bytes | None:
        """The bytes as they are on disk; None if there are none of that name."""
        if not _STORAGE_ID.fullmatch(storage_id):
            return None
        try:
            return (self.folder / storage_id).read_bytes()
        except FileNotFoundError:
            return None

    def _holds(self, storage_id: str, size: int) -> bool:
        """An existing name says nothing by itself: a half-written or rotten file may bear it."""
        try:
            with (self.folder / storage_id).open("rb") as file:
                return (
                    os.fstat(file.fileno()).st_size == size
                    and hashlib.file_digest(file, "sha256").hexdigest() == storage_id
                )
        except FileNotFoundError:
            return False

    def _write(self, storage_id: str, content: bytes) -> None:
        # In the same folder: a rename is atomic only within one file system.
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
