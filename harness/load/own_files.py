"""Documents of the user's own, read from a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import FileError
from harness.load.documents import GENERATED, TEXTS, Document, Kinds

if TYPE_CHECKING:
    from harness.system import System
    from harness.system_load import CommandLoad, OwnFiles, UploadLoad

MOST_FILES: Final = 10_000
MOST_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Supply:
    """The documents that a load can send: ``kinds`` to choose from, and the user's own by kind."""

    kinds: Kinds
    own: Mapping[str, Document]


def supply(door: UploadLoad | CommandLoad, folder: Path) -> Supply:
    """Return what a load can send; its folder of files is relative to ``folder``, the system file's.

    FileError if the files cannot be read, are too many, or are not text where the template needs text.
    """
    text = door.carries == "text"
    generated = TEXTS if text else GENERATED
    if door.files is None:
        return Supply(generated, {})
    own = _read(door.files, folder / door.files.folder, text=text)
    accepted = tuple(kind for kind, one in own.items() if one.acceptable)
    rejected = tuple(kind for kind, one in own.items() if not one.acceptable)
    if not door.files.generated:
        if not accepted:
            raise FileError(
                "no file but those of `files.rejected` is in it; add one that is accepted, or set `generated: true`",
                path=str(folder / door.files.folder),
            )
        return Supply(Kinds(accepted, (), rejected), own)
    kinds = Kinds((*generated.accepted, *accepted), generated.large, (*generated.rejected, *rejected))
    return Supply(kinds, own)


def check_files(system: System, path: Path) -> None:
    """Read the user's own documents once, if a system file names any; FileError as ``supply``."""
    if system.load.uploads is not None:
        supply(system.load.uploads, path.absolute().parent)


def _read(described: OwnFiles, folder: Path, *, text: bool) -> dict[str, Document]:
    """Return the documents in a folder by kind: ``own:`` and the file's path in it."""
    documents: dict[str, Document] = {}
    matched: set[str] = set()
    left = MOST_BYTES
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            name.encode()
            content = _bounded(path, left)
        except UnicodeEncodeError:
            raise FileError("its name is not valid UTF-8; rename it", path=repr(name)) from None
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror}", path=str(path)) from error
        if content is None:
            raise FileError(
                f"its files have more than {MOST_BYTES // 1024 // 1024} MiB in all; leave some out", path=str(folder)
            )
        left -= len(content)
        if text:
            _check_text(content, path)
        matching = [pattern for pattern in described.rejected if fnmatchcase(name, pattern)]
        matched.update(matching)
        documents[f"own:{name}"] = Document(path.name, content, acceptable=not matching)
    if not documents:
        raise FileError("there is no file in it; add one, or leave `files` out", path=str(folder))
    if unmatched := [pattern for pattern in described.rejected if pattern not in matched]:
        raise FileError(f"files.rejected: no file in it matches {unmatched[0]}", path=str(folder))
    return documents


def _files(folder: Path) -> Iterator[Path]:
    """Yield the regular files in a folder in a fixed order, without hidden ones; FileError if there are too many."""

    def refuse(error: OSError) -> None:
        raise FileError(f"cannot be read: {error.strerror}; correct `files.folder`", path=str(error.filename))

    count = 0
    for at, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            count += 1
            if count > MOST_FILES:
                raise FileError(f"it holds more than {MOST_FILES:,} files; leave some out", path=str(folder))
            if not name.startswith(".") and _regular(Path(at, name)):
                yield Path(at, name)


def _regular(path: Path) -> bool:
    """Whether it is a regular file, not a pipe or a device."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}", path=str(path)) from error


def _bounded(path: Path, most: int) -> bytes | None:
    """Return a file's bytes; None if it has more than ``most``."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    return content if len(content) <= most else None


def _check_text(content: bytes, path: Path) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise FileError(
            f"is not text in UTF-8 (byte {error.start}), which {{text}} in the template needs; write {{base64}} there, or "
            "leave the file out",
            path=str(path),
        ) from None
