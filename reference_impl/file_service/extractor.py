"""Text out of files. The same bytes give the same result on every try."""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

# Here, and not where they are used: in several threads at once Python gives out modules that are half imported.
import pypdf
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.oxml.ns import qn
from docx.oxml.parser import parse_xml

from reference_impl.common_core.enums import ValidationFailure

EXTENSIONS = frozenset({".txt", ".docx", ".pdf"})

MOST_ENTRIES = 2_000
"""A .docx has some dozens of entries."""

MOST_PAGES = 2_000

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


MOST_XML = 8 * 1024 * 1024
"""Bytes of XML in a document; a parsed tree takes some twenty-five times as much memory."""

_BLANK_LINES = re.compile(r"(?:\r?\n[ \t]*){3,}")


def _tidied(text: str) -> str:
    """One Unicode form, and at most one blank line in a row."""
    return _BLANK_LINES.sub("\n\n", unicodedata.normalize("NFC", text))


_VERSIONS: dict[int, Callable[[str], str]] = {1: str, 2: _tidied}
"""What each version makes of a text that was read."""

NEWEST = max(_VERSIONS)
"""The version that new uploads get."""


@dataclass(frozen=True)
class Extraction:
    """Either a text that passed validation, or why there is none."""

    text: str = ""
    failure: ValidationFailure | None = None
    detail: str = ""


class _TooLong(Exception):
    """There is more text, or more to unpack, than is allowed; the message says what."""


class Extractor:
    """Text from .txt, .docx and .pdf, within limits. Blocks: call it in a thread."""

    def __init__(self, *, max_characters: int, max_unpacked_bytes: int) -> None:
        self._max_characters = max_characters
        self._max_unpacked_bytes = max_unpacked_bytes

    def extract(self, content: bytes, file_name: str, version: int) -> Extraction:
        """The text, or the reason why the file is rejected. Whatever a parser raises, the file is damaged.

        Raises ``KeyError`` for a version that it does not have: a newer replica's, and no word about the file.
        """
        finish = _VERSIONS[version]
        read = {".txt": self._txt, ".docx": self._docx, ".pdf": self._pdf}[extension(file_name)]
        try:
            text = finish(read(content))
        except _TooLong as error:
            return Extraction(failure=ValidationFailure.TOO_LONG, detail=str(error))
        except (MemoryError, ImportError):
            raise  # this machine's trouble, and no word about the file
        except Exception as error:  # noqa: BLE001 - parsers of foreign bytes raise anything
            return Extraction(failure=ValidationFailure.DAMAGED, detail=type(error).__name__)
        if len(text) > self._max_characters:
            return Extraction(
                failure=ValidationFailure.TOO_LONG, detail=f"more than {self._max_characters} characters"
            )
        if not text.strip():
            return Extraction(failure=ValidationFailure.NO_TEXT, detail="nothing but space")
        return Extraction(text)

    def _txt(self, content: bytes) -> str:
        for mark, encoding in _BYTE_ORDER_MARKS:
            if content.startswith(mark):
                return content.decode(encoding)
        for encoding in ("utf-8", "cp1252"):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                continue
        return content.decode("latin-1")

    def _docx(self, content: bytes) -> str:
        self._unpack(content)
        # The main part alone: docx.Document makes cycles of all parts, which pile up faster than they are collected.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            relations = parse_xml(archive.read("_rels/.rels"))
            main = next(
                one.get("Target") for one in relations if one.get("Type") == RELATIONSHIP_TYPE.OFFICE_DOCUMENT
            )
            document = parse_xml(archive.read(PackURI.from_rel_ref("/", main).membername))
        lines: list[str] = []
        left = self._max_characters
        for paragraph in document.body.iter(qn("w:p")):
            line = "".join(node.text or "" for node in paragraph.iter(qn("w:t")))
            lines.append(line)
            left -= len(line)
            if left < 0:
                break
        return "\n".join(lines)

    def _pdf(self, content: bytes) -> str:
        pages = pypdf.PdfReader(io.BytesIO(content)).pages
        if len(pages) > MOST_PAGES:
            raise _TooLong(f"more than {MOST_PAGES} pages")
        texts: list[str] = []
        left = self._max_characters
        for page in pages:
            texts.append(page.extract_text())
            left -= len(texts[-1])
            if left < 0:
                break
        return "\n".join(texts)

    def _unpack(self, content: bytes) -> None:
        """Unpack everything once, keeping nothing: a directory may say less than what comes out."""
        left, left_to_parse = self._max_unpacked_bytes, MOST_XML
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    while chunk := file.read(64 * 1024):
                        left -= len(chunk)
                        left_to_parse -= len(chunk) if entry.filename.endswith((".xml", ".rels")) else 0
                        if left < 0:
                            raise _TooLong(f"unpacks to more than {self._max_unpacked_bytes} bytes")
                        if left_to_parse < 0:
                            raise _TooLong(f"has more than {MOST_XML} bytes of XML")


def extension(file_name: str) -> str:
    """The last extension, in lower case, with its dot."""
    return PurePosixPath(file_name).suffix.lower()


def zip_bomb(content: bytes, max_unpacked_bytes: int) -> str | None:
    """Why a .docx must not be unpacked, by its directory alone; None if there is no reason.

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
