from __future__ import annotations

import gc
import io
import struct
import subprocess
import sys
import zipfile
from random import Random

import docx
import pytest
from reportlab.pdfgen.canvas import Canvas

from reference_impl.common_core.enums import ValidationFailure
from reference_impl.file_service.extractor import NEWEST, Extractor, extension, zip_bomb

LIMIT = 2_000_000


@pytest.fixture
def extractor():
    return Extractor(max_characters=1000, max_unpacked_bytes=LIMIT)


def docx_of(*paragraphs):
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def pdf_of(*pages):
    written = io.BytesIO()
    canvas = Canvas(written, invariant=1)
    for page in pages:
        canvas.drawString(50, 700, page)
        canvas.showPage()
    canvas.save()
    return written.getvalue()


def zip_of(**entries):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return written.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "latin-1"])
def test_text_is_decoded_by_its_mark_or_by_trying(extractor, encoding):
    text = "Räksmörgås\r\nnaïve\r\n"
    assert extractor.extract(text.encode(encoding), "a.txt", NEWEST).text == text


def test_bytes_of_no_encoding_are_text_all_the_same(extractor):
    assert extractor.extract(b"p\xe5 \x81\n", "a.txt", NEWEST).failure is None


def test_a_docx_gives_its_paragraphs(extractor):
    assert extractor.extract(docx_of("Hej", "på dig"), "a.docx", NEWEST).text == "Hej\npå dig"


def test_a_docx_with_a_table_gives_its_cells_too(extractor):
    document = docx.Document()
    document.add_table(1, 1).cell(0, 0).text = "in a cell"
    written = io.BytesIO()
    document.save(written)
    assert "in a cell" in extractor.extract(written.getvalue(), "a.docx", NEWEST).text


def test_a_docx_leaves_nothing_that_waits_to_be_collected(extractor):
    """Documents in cycles pile up in a service that reads several at a time."""
    content = docx_of("text")
    extractor.extract(content, "a.docx", NEWEST)
    gc.collect()
    gc.disable()
    try:
        extractor.extract(content, "a.docx", NEWEST)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_reading_a_docx_imports_nothing_more(tmp_path):
    """Threads that import the same package at once may get half of it, and take good documents for damaged ones."""
    (tmp_path / "a.docx").write_bytes(docx_of("text"))
    (tmp_path / "a.pdf").write_bytes(pdf_of("text"))
    script = """
import sys
from pathlib import Path
from reference_impl.file_service.extractor import NEWEST, Extractor

extractor = Extractor(max_characters=1000, max_unpacked_bytes=2_000_000)
before = set(sys.modules)
for path in map(Path, sys.argv[1:]):
    assert extractor.extract(path.read_bytes(), path.name, NEWEST).text.strip() == "text"
print(sorted(name for name in sys.modules.keys() - before if name.partition(".")[0] in {"docx", "lxml"}))
"""
    words = [sys.executable, "-c", script, str(tmp_path / "a.docx"), str(tmp_path / "a.pdf")]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_pdf_gives_its_pages(extractor):
    assert extractor.extract(pdf_of("first", "second"), "a.pdf", NEWEST).text.split() == ["first", "second"]


@pytest.mark.parametrize(
    ("name", "content", "failure"),
    [
        ("a.txt", b" \r\n\t", ValidationFailure.NO_TEXT),
        ("a.txt", b"\xef\xbb\xbf", ValidationFailure.NO_TEXT),
        ("a.docx", docx_of(""), ValidationFailure.NO_TEXT),
        ("a.pdf", pdf_of(""), ValidationFailure.NO_TEXT),
        ("a.txt", b"x" * 1001, ValidationFailure.TOO_LONG),
        ("a.docx", docx_of(*["x" * 100] * 11), ValidationFailure.TOO_LONG),
        ("a.pdf", pdf_of(*["word " * 20] * 11), ValidationFailure.TOO_LONG),
        ("a.docx", docx_of("text")[:2000], ValidationFailure.DAMAGED),
        ("a.docx", b"no zip", ValidationFailure.DAMAGED),
        ("a.docx", zip_of(other=b"no document"), ValidationFailure.DAMAGED),
        ("a.pdf", b"%PDF-1.7\n" + Random(1).randbytes(2000), ValidationFailure.DAMAGED),
        ("a.pdf", b"", ValidationFailure.DAMAGED),
        ("a.txt", b"\xff\xfe\x00", ValidationFailure.DAMAGED),
    ],
)
def test_what_is_wrong_with_the_bytes_is_a_result(extractor, name, content, failure):
    found = extractor.extract(content, name, NEWEST)
    assert (found.failure, found.text) == (failure, "")
    assert found.detail


def test_the_same_bytes_give_the_same_result(extractor):
    content = docx_of("text")[:2000]
    assert extractor.extract(content, "a.docx", NEWEST) == extractor.extract(content, "a.docx", NEWEST)


@pytest.mark.parametrize(
    ("version", "text"),
    [(1, "e\u0301\r\n\r\n \r\n\n\tx\n\ny"), (2, "\u00e9\n\nx\n\ny")],
)
def test_each_version_keeps_its_text_for_ever(extractor, version, text):
    content = "e\u0301\r\n\r\n \r\n\n\tx\n\ny".encode()
    assert extractor.extract(content, "a.txt", version).text == text


def test_an_unknown_version_is_no_word_about_the_file(extractor):
    with pytest.raises(KeyError):
        extractor.extract(b"text", "a.txt", NEWEST + 1)


def test_exactly_the_limit_is_not_too_long(extractor):
    assert extractor.extract(b"x" * 1000, "a.txt", NEWEST).failure is None


def test_a_bomb_shows_in_its_directory():
    assert "unpacks to 2000001 bytes" in zip_bomb(zip_of(a=b"0" * (LIMIT + 1)), LIMIT)
    assert "2001 entries" in zip_bomb(zip_of(**{f"e{n}": b"" for n in range(2001)}), LIMIT)


@pytest.mark.parametrize("content", [docx_of("text"), b"no zip", docx_of("text")[:2000], b""])
def test_what_is_no_bomb_passes(content):
    assert zip_bomb(content, LIMIT) is None


def test_a_directory_that_lies_does_not_help_a_bomb(extractor):
    """Its declared sizes are forged to 1 byte each: what comes out is bounded all the same."""
    bomb = bytearray(zip_of(**{"word/document.xml": b"0" * (LIMIT * 10)}))
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", bomb, bomb.index(signature) + offset, 1)
    assert zip_bomb(bytes(bomb), LIMIT) is None
    assert extractor.extract(bytes(bomb), "a.docx", NEWEST).failure is not None


def test_unpacking_stops_at_the_limit(extractor):
    found = extractor.extract(zip_of(**{"word/document.xml": b"0" * (LIMIT * 10)}), "a.docx", NEWEST)
    assert found.failure is ValidationFailure.TOO_LONG


@pytest.mark.parametrize(("name", "found"), [("A.TXT", ".txt"), ("a.tar.docx", ".docx"), ("a", ""), (".txt", "")])
def test_the_extension_is_the_last_one(name, found):
    assert extension(name) == found
