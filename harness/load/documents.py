"""Real documents from a seed: the same seed gives the same bytes, file name and expectation.

Each kind is one function from a ``Random`` to bytes. ``ACCEPTED`` should pass validation; ``REJECTED`` should fail it
for having no text, being too long, or being damaged.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Make = Callable[[Random], bytes]

_SOME = (
    "skolan eleven läraren uppsats århundrade naïve façade Zürich smörgås history argument because "
    "although evidence reader paragraph conclusion therefore winter summer river mountain öga ålder häst "
    "garçon élan über question answer writing language story journey morning evening number letter island "
    "forest castle market"
)
WORDS = _SOME.split()
"""Words of several languages, not all in ASCII."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_TOO_LONG = 60_000
"""Characters; the reference's limit is 50,000."""
_NOISE_SIDE = 320
"""Side in pixels of the noise picture that makes a document large, about 300 KiB."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file that a client uploads."""

    file_name: str
    content: bytes
    acceptable: bool


@dataclass(frozen=True, slots=True)
class Kinds:
    """Kinds of documents to choose from, by what should become of them."""

    accepted: tuple[str, ...]
    large: tuple[str, ...]
    """Large documents, which should be accepted as well."""
    rejected: tuple[str, ...]


def make(kind: str, random: Random) -> Document:
    """Make a document of a kind; KeyError for a kind in none of the tables."""
    acceptable = kind in ACCEPTED or kind in LARGE
    suffix, build = (ACCEPTED | LARGE | REJECTED)[kind]
    stem = random.choice(["uppsats", "essay", "Räksmörgås", "my essay (final)", "Å i åa", "aufsatz-ß", "论文"])
    return Document(f"{stem}-{random.randrange(10_000)}.{suffix}", build(random), acceptable)


def _text(random: Random, low: int = 40, high: int = 400) -> str:
    words = random.choices(WORDS, k=random.randint(low, high))
    lines = [" ".join(words[at : at + 11]) for at in range(0, len(words), 11)]
    return "\n".join(lines) + "\n"


def _txt_utf8(random: Random) -> bytes:
    return _text(random).encode()


def _txt_crlf(random: Random) -> bytes:
    return _text(random).replace("\n", "\r\n").encode()


def _txt_bom(random: Random) -> bytes:
    return _text(random).encode("utf-8-sig")


def _txt_latin1(random: Random) -> bytes:
    """Make bytes that are not UTF-8; the lone 0xE5 at the end guarantees it."""
    return _text(random).encode("latin-1") + b"p\xe5 \xf6n\n"


def _txt_tiny(random: Random) -> bytes:
    return random.choice(WORDS).encode()


def _docx(paragraphs: list[str], picture: bytes | None = None) -> bytes:
    from docx import Document as Docx

    document = Docx()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    if picture is not None:
        document.add_picture(io.BytesIO(picture))
    written = io.BytesIO()
    document.save(written)
    return _timeless(written.getvalue())


def _timeless(archive: bytes) -> bytes:
    """Set every entry's timestamp to the zip epoch, so that the bytes depend on the seed alone."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as read, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as write:
        for name in read.namelist():
            write.writestr(zipfile.ZipInfo(name, _EPOCH), read.read(name), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _docx_text(random: Random) -> bytes:
    return _docx(_text(random).splitlines())


def _docx_large(random: Random) -> bytes:
    from PIL import Image

    noise = Image.frombytes("RGB", (_NOISE_SIDE, _NOISE_SIDE), random.randbytes(3 * _NOISE_SIDE * _NOISE_SIDE))
    picture = io.BytesIO()
    noise.save(picture, "PNG")
    return _docx(_text(random).splitlines(), picture.getvalue())


def _docx_empty(_: Random) -> bytes:
    return _docx(["", " "])


def _docx_damaged(random: Random) -> bytes:
    """Make the first half of a document, without the zip directory at the end."""
    whole = _docx_text(random)
    return whole[: len(whole) // 2]


def _pdf(lines: list[str]) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    written = io.BytesIO()
    canvas = Canvas(written, invariant=1)
    for at in range(0, max(1, len(lines)), 45):
        text = canvas.beginText(50, 780)
        text.textLines(lines[at : at + 45])
        canvas.drawText(text)
        canvas.rect(40, 40, 515, 760)
        canvas.showPage()
    canvas.save()
    return written.getvalue()


def _pdf_text(random: Random) -> bytes:
    return _pdf(_text(random).splitlines())


def _pdf_without_text(_: Random) -> bytes:
    return _pdf([])


def _pdf_damaged(random: Random) -> bytes:
    return b"%PDF-1.7\n" + random.randbytes(2_000)


def _txt_blank(random: Random) -> bytes:
    return b" \r\n\t\n" * random.randint(1, 50)


def _txt_too_long(random: Random) -> bytes:
    text = _text(random, 200, 300)
    return (text * (_TOO_LONG // len(text) + 1)).encode()


ACCEPTED: dict[str, tuple[str, Make]] = {
    "txt_utf8": ("txt", _txt_utf8),
    "txt_crlf": ("txt", _txt_crlf),
    "txt_bom": ("txt", _txt_bom),
    "txt_latin1": ("txt", _txt_latin1),
    "txt_tiny": ("txt", _txt_tiny),
    "docx_text": ("docx", _docx_text),
    "pdf_text": ("pdf", _pdf_text),
}
LARGE: dict[str, tuple[str, Make]] = {"docx_large": ("docx", _docx_large)}
REJECTED: dict[str, tuple[str, Make]] = {
    "txt_blank": ("txt", _txt_blank),
    "txt_too_long": ("txt", _txt_too_long),
    "docx_empty": ("docx", _docx_empty),
    "docx_damaged": ("docx", _docx_damaged),
    "pdf_without_text": ("pdf", _pdf_without_text),
    "pdf_damaged": ("pdf", _pdf_damaged),
}

GENERATED = Kinds(tuple(ACCEPTED), tuple(LARGE), tuple(REJECTED))
"""All kinds."""

TEXTS = Kinds(("txt_utf8", "txt_crlf", "txt_tiny"), (), ("txt_blank", "txt_too_long"))
"""Kinds that are text in UTF-8, for front doors that take text in JSON."""
