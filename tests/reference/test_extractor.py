from __future__ import annotations

import gc
import io
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from random import Random

import docx
import pypdf
import pytest
from pypdf._crypt_providers import _fallback
from reportlab.pdfgen.canvas import Canvas

from reference_impl.common_core.enums import ValidationFailure
from reference_impl.file_service.document import NEWEST, extension, zip_bomb
from reference_impl.file_service.extractor import Extractor

LIMIT = 2_000_000
SPACE = zlib.compress(b" " * 100_000_000)
FILES = Path(__file__).parent / "files"

TRANSITIONAL = (
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument",
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
)
STRICT = (
    "http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
)


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


def word_of(body, kind=TRANSITIONAL, target="word/document.xml"):
    """A document as Word writes it, from the XML of its body."""
    relation, words = kind
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    choices = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    return zip_of(
        **{
            "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Type="{package}/metadata/core-properties" '
            f'Target="docProps/core.xml"/><Relationship Type="{relation}" Target="{target}"/></Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{words}" xmlns:mc="{choices}" xmlns:x="urn:x">'
            f"<w:body>{body}</w:body></w:document>",
        }
    )


def run(*parts):
    return f"<w:r>{''.join(parts)}</w:r>"


def t(text):
    return f"<w:t>{text}</w:t>"


def pdf_with(tree, *objects):
    """One page with the text "x", below so many nodes of pages, and with objects from 4 on."""
    above = [f"<</Type/Pages/Count 1/Kids[{n + 1} 0 R]>>" for n in range(10, 10 + tree)]
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>"
    numbered = {
        1: b"<</Type/Catalog/Pages 10 0 R>>",
        4: b"<</Length 18>>stream\nBT /F 9 Tf (x)Tj ET\nendstream",
        5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    } | dict(objects)
    numbered |= {10 + n: each.encode() for n, each in enumerate([*above, page])}
    body = b"".join(b"%d 0 obj\n%b\nendobj\n" % each for each in numbered.items())
    return b"%PDF-1.7\n" + body + b"trailer\n<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n"


def encrypted(user_password):
    written, result = io.BytesIO(pdf_of("sealed words")), io.BytesIO()
    writer = pypdf.PdfWriter(clone_from=written)
    writer.encrypt(user_password, "of the owner", algorithm="RC4-128")
    writer.write(result)
    return result.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "latin-1"])
def test_text_is_decoded_by_its_mark_or_by_trying(extractor, encoding):
    text = "Räksmörgås\r\nnaïve\r\n"
    assert extractor.extract(text.encode(encoding), "a.txt", NEWEST).text == text


def test_bytes_of_no_encoding_are_text_all_the_same(extractor):
    assert extractor.extract(b"p\xe5 \x81\n", "a.txt", NEWEST).failure is None


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark_is_known_by_its_nuls(extractor, encoding):
    text = "Räksmörgås \u2013 \u0100\r\n"
    assert extractor.extract(text.encode(encoding), "a.txt", NEWEST).text == text


@pytest.mark.parametrize(
    "content",
    [
        b"hej\0 hej",
        b"hej hej\0",
        "h\0ej".encode("utf-16"),
        "hej".encode("utf-32-le"),
        docx_of("text"),
        pdf_of("text"),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 of an older Word",
        Random(1).randbytes(2000),
        zip_of(a=b"x")[2:],
    ],
)
def test_what_is_no_text_is_damaged_whatever_its_name_says(extractor, content):
    assert extractor.extract(content, "a.txt", NEWEST).failure is ValidationFailure.DAMAGED


def test_a_glyph_that_stands_for_nothing_leaves_no_nul(extractor):
    content = pdf_with(0, (4, b"<</Length 24>>stream\nBT /F 9 Tf (a\\000b)Tj ET\nendstream"))
    assert extractor.extract(content, "a.pdf", NEWEST).text == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"<w:p>{run(t('a'), '<w:br/>', t('b'), '<w:cr/>', t('c'))}</w:p>", "a\nb\nc"),
        (f"<w:p>{run(t('a'), '<w:tab/>', t('b'), '<w:ptab/>', t('c'))}</w:p>", "a\tb\tc"),
        (f"<w:p>{run(t('a'), '<w:noBreakHyphen/>', t('b'), '<w:softHyphen/>', t('c'))}</w:p>", "a-bc"),
        (f"<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr>{run(t('a'))}</w:p>", "a"),
        (f"<w:p>{run(t('a<!-- unseen -->b<?unseen?>c'))}</w:p>", "abc"),
        (f"<w:p>{run(t('a'))}<w:del>{run('<w:delText>x</w:delText>', '<w:tab/>')}</w:del>{run(t('b'))}</w:p>", "ab"),
        (f"<w:p><w:moveFrom>{run(t('a'))}</w:moveFrom></w:p><w:p><w:moveTo>{run(t('a'))}</w:moveTo></w:p>", "\na"),
        (f"<w:p>{run(t('a'))}</w:p><w:tbl><w:tr><w:tc><w:p>{run(t('b'))}</w:p></w:tc></w:tr></w:tbl>", "a\nb"),
    ],
)
@pytest.mark.parametrize("kind", [TRANSITIONAL, STRICT])
def test_a_docx_gives_what_a_reader_sees(extractor, kind, body, text):
    assert extractor.extract(word_of(body, kind), "a.docx", NEWEST).text == text


BOX = f"<w:txbxContent><w:p>{run(t('in'))}</w:p><w:p>{run(t('side'))}</w:p></w:txbxContent>"


@pytest.mark.parametrize(
    "box",
    [
        BOX,
        f"<mc:AlternateContent><mc:Choice>{BOX}</mc:Choice><mc:Fallback>{BOX}</mc:Fallback></mc:AlternateContent>",
        f"<mc:AlternateContent><!-- --><mc:Choice>{BOX}</mc:Choice><mc:Choice>{BOX}</mc:Choice></mc:AlternateContent>",
        f"<mc:AlternateContent><mc:Fallback>{BOX}</mc:Fallback></mc:AlternateContent>",
    ],
)
def test_a_text_box_stands_once_and_after_the_whole_paragraph_around_it(extractor, box):
    content = word_of(f"<w:p>{run(t('be'))}{run(box)}{run(t('fore'))}</w:p><w:p>{run(t('after'))}</w:p>")
    assert extractor.extract(content, "a.docx", NEWEST).text == "before\nin\nside\nafter"


@pytest.mark.parametrize("target", ["/word/document.xml", "./word/document.xml", "docProps/../word/document.xml"])
def test_the_main_part_is_found_by_its_relation(extractor, target):
    content = word_of(f"<w:p>{run(t('a'))}</w:p>", target=target)
    assert extractor.extract(content, "a.docx", NEWEST).text == "a"


def test_a_pdf_that_needs_no_password_is_read(extractor):
    assert extractor.extract(encrypted(""), "a.pdf", NEWEST).text == "sealed words\n"


def test_a_file_that_needs_a_password_is_not_damaged(extractor):
    found = extractor.extract(encrypted("secret"), "a.pdf", NEWEST)
    assert (found.failure, found.detail) == (ValidationFailure.UNSUPPORTED, "encrypted: it needs a password")
    found = extractor.extract(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.docx", NEWEST)
    assert found.failure is ValidationFailure.UNSUPPORTED
    assert "encrypted" in found.detail


@pytest.mark.parametrize("name", ["aes-128.pdf", "aes-256.pdf"])
def test_what_needs_a_library_that_is_not_there_never_blames_the_file(extractor, name, monkeypatch):
    for part in ("CryptAES", "aes_cbc_decrypt", "aes_cbc_encrypt", "aes_ecb_decrypt", "aes_ecb_encrypt"):
        monkeypatch.setattr(f"pypdf._encryption.{part}", getattr(_fallback, part))
    found = extractor.extract((FILES / name).read_bytes(), name, NEWEST)
    assert found.failure is ValidationFailure.UNSUPPORTED
    assert "cryptography" in found.detail


def test_a_compression_that_is_not_known_is_not_damage(extractor):
    content = bytearray(docx_of("text"))
    for signature, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        struct.pack_into("<H", content, content.index(signature) + offset, 97)
    assert extractor.extract(bytes(content), "a.docx", NEWEST).failure is ValidationFailure.UNSUPPORTED


@pytest.mark.parametrize(
    "content",
    [
        pdf_with(150),
        pdf_with(0, (4, b"<</Filter/FlateDecode/Length %d>>stream\n%b\nendstream" % (len(SPACE), SPACE))),
    ],
)
def test_what_its_parser_thinks_too_much_is_too_complex(extractor, content):
    assert extractor.extract(pdf_with(50), "a.pdf", NEWEST).text == "x"
    assert extractor.extract(content, "a.pdf", NEWEST).failure is ValidationFailure.TOO_COMPLEX


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
from reference_impl.file_service.document import NEWEST
from reference_impl.file_service.extractor import Extractor

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
    assert "unpacks to 2000001 bytes" in (zip_bomb(zip_of(a=b"0" * (LIMIT + 1)), LIMIT) or "")
    assert "2001 entries" in (zip_bomb(zip_of(**{f"e{n}": b"" for n in range(2001)}), LIMIT) or "")


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


def test_what_a_parser_quotes_of_a_file_is_cut_short(extractor, monkeypatch):
    """The child's answer is one line of bounded length: a longer one would be taken for its end, again and again."""

    def quotes(content):
        raise NotImplementedError("A" * 1_000_000)

    monkeypatch.setattr(type(extractor), "_pdf", staticmethod(quotes))
    found = extractor.extract(b"%PDF-", "a.pdf", NEWEST)
    assert found.failure is ValidationFailure.UNSUPPORTED
    assert len(found.detail) <= 500
