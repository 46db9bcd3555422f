"""Documents are real, of the kind they say, and the same for a seed."""

import io
from random import Random

import pytest
from docx import Document as Docx
from pypdf import PdfReader

from harness.load.documents import ACCEPTED, LARGE, REJECTED, make

KINDS = [*ACCEPTED, *LARGE, *REJECTED]


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bytes(kind: str) -> None:
    assert make(kind, Random("7")) == make(kind, Random("7"))


@pytest.mark.parametrize("kind", [*ACCEPTED, "docx_empty", "docx_damaged", "pdf_damaged"])
def test_another_seed_other_bytes(kind: str) -> None:
    assert make(kind, Random("1")) != make(kind, Random("2"))


@pytest.mark.parametrize("kind", KINDS)
def test_expectation_follows_the_table(kind: str) -> None:
    assert make(kind, Random("3")).acceptable is (kind not in REJECTED)


def test_docx_can_be_opened_by_a_reader() -> None:
    content = make("docx_text", Random("4")).content
    assert len(" ".join(p.text for p in Docx(io.BytesIO(content)).paragraphs)) > 100


def test_pdf_can_be_opened_by_a_reader() -> None:
    reader = PdfReader(io.BytesIO(make("pdf_text", Random("4")).content))
    assert len(reader.pages[0].extract_text()) > 100


def test_latin1_is_not_utf8() -> None:
    with pytest.raises(UnicodeDecodeError):
        make("txt_latin1", Random("5")).content.decode()


def test_large_is_large() -> None:
    assert len(make("docx_large", Random("5")).content) > 200_000
