"""Extracts text from files: what a reader sees, each text once. The same bytes give the same result on every attempt.

An upload's version fixes how its text is finished. A fix to how files are read applies to every version: a release that
kept the old reading would give new uploads texts with missing words. So "the same" holds within a release.
"""

import codecs
import io
import posixpath
import zipfile
from dataclasses import dataclass

# Imported here, not where they are used, so that no document pays for the imports.
import pypdf
from lxml import etree
from pypdf.errors import DependencyError, LimitReachedError

from reference_impl.common_core.enums import ValidationFailure
from reference_impl.file_service.document import VERSIONS, Extraction, extension

MOST_PAGES = 2_000

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OLE = b"\xd0\xcf\x11\xe0"
_NO_TEXTS = (b"PK\x03\x04", b"%PDF-", _OLE)
"""First bytes of files that are not text, whatever their names say."""

_MAIN_PARTS = {
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument",
    "http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument",
}
"""The relationship from a .docx to its text: Transitional Open XML, and Strict."""

_CHOICE, _FALLBACK = (
    f"{{http://schemas.openxmlformats.org/markup-compatibility/2006}}{name}" for name in ("Choice", "Fallback")
)
_SEPARATORS = {"br": "\n", "cr": "\n", "tab": "\t", "ptab": "\t", "noBreakHyphen": "-"}
_UNSEEN = ("del", "moveFrom", "pPr")
"""Deleted and moved-away text, and paragraph properties, whose tabs are only tab stops."""

MOST_XML = 8 * 1024 * 1024
"""Limit on a document's bytes of XML; a parsed tree takes about twenty-five times as much memory."""


class _TooLong(Exception):
    """There is more text, or more to unpack, than allowed; the exception's text says what."""


_FAILURES: dict[type[Exception], ValidationFailure] = {
    _TooLong: ValidationFailure.TOO_LONG,
    LimitReachedError: ValidationFailure.TOO_COMPLEX,
    NotImplementedError: ValidationFailure.UNSUPPORTED,
    DependencyError: ValidationFailure.UNSUPPORTED,
}
"""What an error says about a file; any other error means that it is damaged."""


_LONGEST_DETAIL = 500


@dataclass(frozen=True)
class Extractor:
    """Extracts text from .txt, .docx and .pdf, within limits; an ``IsolatedExtractor`` bounds time and memory."""

    max_characters: int
    max_unpacked_bytes: int

    def extract(self, content: bytes, file_name: str, version: int) -> Extraction:
        """Return the text, or the reason why the file is rejected: damaged, if a parser raises anything unlisted.

        Raises ``MemoryError`` and ``ImportError``, which blame the machine, and ``KeyError`` for a newer replica's version;
        none of them says anything about the file.
        """
        finish = VERSIONS[version]
        read = {".txt": self._txt, ".docx": self._docx, ".pdf": self._pdf}[extension(file_name)]
        try:
            text = self._checked(finish(read(content)))
        except (MemoryError, ImportError):
            raise  # the machine's fault, not the file's
        except Exception as error:  # noqa: BLE001 - parsers of foreign bytes raise anything
            failure = next((failure for kind, failure in _FAILURES.items() if isinstance(error, kind)), None)
            if failure is None:
                return Extraction(failure=ValidationFailure.DAMAGED, detail=type(error).__name__)
            return Extraction(failure=failure, detail=str(error)[:_LONGEST_DETAIL])  # it may quote the file
        if not text.strip():
            return Extraction(failure=ValidationFailure.NO_TEXT, detail="nothing but space")
        return Extraction(text)

    def _checked(self, text: str) -> str:
        if "\0" in text:
            raise ValueError("holds NUL")
        if len(text) > self.max_characters:
            raise _TooLong(f"more than {self.max_characters} characters")
        return text

    def _txt(self, content: bytes) -> str:
        if content.startswith(_NO_TEXTS):
            raise ValueError("is no text")
        for mark, encoding in _BYTE_ORDER_MARKS:
            if content.startswith(mark):
                return content.decode(encoding)
        for encoding, halves in (("utf-16-le", content[1::2]), ("utf-16-be", content[::2])):
            if 2 * halves.count(0) > len(halves):  # UTF-16 without its mark
                return content.decode(encoding)
        for encoding in ("utf-8", "cp1252"):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                continue
        return content.decode("latin-1")

    def _docx(self, content: bytes) -> str:
        if content.startswith(_OLE):
            raise NotImplementedError("is an OLE file: encrypted, or of a Word before 2007")
        self._unpack(content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            relations = _parsed(archive.read("_rels/.rels"))
            main = next(one.get("Target") for one in relations if one.get("Type") in _MAIN_PARTS)
            document = _parsed(archive.read(posixpath.normpath(f"/{main}").lstrip("/")))
        return "\n".join(self._paragraphs(document))

    def _paragraphs(self, document: etree._Element) -> list[str]:
        """Return each paragraph's own text, in order of their beginnings; a text box follows its paragraph."""
        words = f"{{{etree.QName(document).namespace}}}"  # Strict uses another namespace
        paragraph, text = f"{words}p", f"{words}t"
        separators = {words + name: separator for name, separator in _SEPARATORS.items()}
        unseen = {words + name for name in _UNSEEN}
        walk = etree.iterwalk(
            document.find(f"{words}body"),
            events=("start", "end"),
            tag=(paragraph, text, *separators, *unseen, _CHOICE, _FALLBACK),
        )
        lines: list[list[str]] = []
        around: list[list[str]] = [[]]  # text outside every paragraph is invisible
        left = self.max_characters
        for event, element in walk:
            tag = element.tag
            if tag == paragraph:
                if event == "start":
                    around.append([])
                    lines.append(around[-1])
                else:
                    around.pop()
            elif event == "end":
                continue
            elif tag == text or tag in separators:
                around[-1].append((element.text or "") if tag == text else separators[tag])
                left -= len(around[-1][-1])
                if left < 0:
                    break
            elif tag in unseen or next(element.itersiblings(_CHOICE, preceding=True), None) is not None:
                walk.skip_subtree()
        return ["".join(line) for line in lines]

    def _pdf(self, content: bytes) -> str:
        reader = pypdf.PdfReader(io.BytesIO(content))
        if reader.is_encrypted and reader.decrypt("") is pypdf.PasswordType.NOT_DECRYPTED:
            raise NotImplementedError("encrypted: it needs a password")
        pages = reader.pages
        if len(pages) > MOST_PAGES:
            raise _TooLong(f"more than {MOST_PAGES} pages")
        texts: list[str] = []
        left = self.max_characters
        for page in pages:
            texts.append(page.extract_text().replace("\0", "\N{REPLACEMENT CHARACTER}"))  # a glyph without a mapping
            left -= len(texts[-1])
            if left < 0:
                break
        return "\n".join(texts)

    def _unpack(self, content: bytes) -> None:
        """Unpack everything once and keep nothing: the directory may understate the sizes."""
        left, left_to_parse = self.max_unpacked_bytes, MOST_XML
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    while chunk := file.read(64 * 1024):
                        left -= len(chunk)
                        left_to_parse -= len(chunk) if entry.filename.endswith((".xml", ".rels")) else 0
                        if left < 0:
                            raise _TooLong(f"unpacks to more than {self.max_unpacked_bytes} bytes")
                        if left_to_parse < 0:
                            raise _TooLong(f"has more than {MOST_XML} bytes of XML")


def _parsed(xml: bytes) -> etree._Element:
    try:
        return etree.fromstring(xml, etree.XMLParser(resolve_entities=False, remove_comments=True, remove_pis=True))
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError("parsing XML") from error
        raise
