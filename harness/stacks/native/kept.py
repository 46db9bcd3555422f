"""Copies of the services' and stores' files that a stack leaves behind on request; the originals are always removed."""

from __future__ import annotations

import shutil
from pathlib import Path

DATA = "data"
"""Folder in the run directory; it holds SERVICES and STORES, each with one folder per service or store."""

SERVICES = "services"
STORES = "stores"

_NEVER = frozenset({"postmaster.pid"})
"""Its process is gone, but a new server on the copy would believe it alive."""


def copy(source: Path, target: Path) -> str:
    """Copy a folder, without sockets and pipes. Returns what could not be copied and why, or an empty string."""
    if not source.is_dir():
        return "its files are not on this machine's disk"
    try:
        shutil.copytree(source, target, symlinks=True, ignore=_no_files, dirs_exist_ok=True)
    except shutil.Error as error:
        first, *more = error.args[0]
        others = f", and {len(more)} more" if more else ""
        return f"{first[0]}: {first[2]}{others}"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def _no_files(folder: str, names: list[str]) -> set[str]:
    paths = {name: Path(folder) / name for name in names}
    return {
        name
        for name, path in paths.items()
        if name in _NEVER or not (path.is_symlink() or path.is_file() or path.is_dir())
    }
