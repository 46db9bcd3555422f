"""What is known of a document without a parser: its type, its size unpacked, how its text is finished.

Apart from ``extractor``, whose parsers only the extracting processes load.
"""

import io
import re
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from reference_impl.common_core.enums import ValidationFailure

EXTENSIONS = frozenset({".txt", ".docx", ".pdf"})

MOST_ENTRIES = 2_000
"""Limit on the entries of a .docx, which has a few dozen."""

_BLANK_LINES = re.compile(r"(?:\r?\n[ \t]*){3,}")


def _tidied(text: str) -> str:
    """Normalize to NFC, with at most one blank line in a row."""
    return _BLANK_LINES.sub("\n\n", unicodedata.normalize("NFC", text))


VERSIONS: dict[int, Callable[[str], str]] = {1: str, 2: _tidied}
"""How each version finishes a text."""

NEWEST = max(VERSIONS)
"""The version for new uploads."""


@dataclass(frozen=True)
class Extraction:
    """A text that passed validation, or the reason why there is none."""

    text: str = ""
    failure: ValidationFailure | None = None
    detail: str = ""


def extension(file_name: str) -> str:
    """Return the last extension, in lower case, with its dot."""
    return PurePosixPath(file_name).suffix.lower()


def zip_bomb(content: bytes, max_unpacked_bytes: int) -> str | None:
    """Return why a .docx must not be unpacked, judged by its directory alone, or None.

    A directory that cannot be read is no reason: the file is damaged, and is kept like any other.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except Exception:  # noqa: BLE001 - a parser of foreign bytes
        return None
    if len(entries) > MOST_ENTRIES:
        return f"{len(entries)} entries; at most {MOST_ENTRIES} are taken"
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max_unpacked_bytes:
        return f"unpacks to {unpacked} bytes; at most {max_unpacked_bytes} are taken"
    return None
