"""Extraction in real processes. What a limit of CPU time decides takes many times as much on any machine."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import psutil
import pytest

from reference_impl.common_core.enums import ValidationFailure
from reference_impl.file_service import extraction
from reference_impl.file_service.document import NEWEST, Extraction
from reference_impl.file_service.extraction import ExtractionInterrupted, IsolatedExtractor, Limits

MIB = 1024 * 1024
MOST = 50_000
RELATIONS = """<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship
Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>
</Relationships>"""
WORDS = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def pdf_of(*objects):
    written, places = bytearray(b"%PDF-1.7\n"), []
    for number, each in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(written))
        written += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    start, size = len(written), len(objects) + 1
    written += b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, b"".join(places))
    return bytes(written + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, start))


def stream_of(content, entries=b""):
    packed = zlib.compress(content, 9)
    return b"<</Length %d/Filter/FlateDecode%b>>stream\n%b\nendstream" % (len(packed), entries, packed)


def pages_that_share_a_stream(pages=20, operators=200_000):
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</Font<</F 3 0 R>>>>>>"
    return pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%b]>>" % (pages, b" ".join(b"%d 0 R" % (5 + page) for page in range(pages))),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        stream_of(b"BT /F 9 Tf " + b"()Tj " * operators + b"ET"),
        *[page] * pages,
    )


def a_form_that_calls_itself_twice(levels=18):
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]"
    calls = [form + b"/Resources<</XObject<</X %d 0 R>>>>" % (6 + level) for level in range(levels - 1)]
    return pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>>>>>",
        stream_of(b"/X Do"),
        *[stream_of(b"/X Do /X Do", each) for each in calls],
        stream_of(b"BT ET", form),
    )


def nested_paragraphs(deep=200, runs=900_000):
    written = io.BytesIO()
    body = "<w:p>" * deep + "<w:t/>" * runs + "</w:p>" * deep  # texts: lxml passes over the rest by itself
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_rels/.rels", RELATIONS)
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{WORDS}"><w:body>{body}</w:body></w:document>')
    return written.getvalue()


@pytest.fixture
async def make():
    made = []

    def isolated(cpu_seconds=600.0, memory=1024 * MIB):
        made.append(IsolatedExtractor(Limits(MOST, 50 * MIB, cpu_seconds, memory)))
        return made[-1]

    yield isolated
    for each in made:
        await each.stop()
    assert processes() == []


def processes():
    found = []
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie has no words
            found += [each] if extraction.__name__ in each.cmdline() else []
    return found


async def text(extractor, content=b"hej"):
    return (await extractor.extract(content, "a.txt", NEWEST)).text


@pytest.fixture
def busy(until):
    """Has an extractor begin a document that takes longer than any test; gives the task and the process."""

    async def begun(extractor, *, without=()):
        task = asyncio.create_task(extractor.extract(pages_that_share_a_stream(1_000), "a.pdf", NEWEST))
        return task, await another(without)

    async def another(without):
        await until(lambda: [each for each in processes() if each not in without])
        (process,) = (each for each in processes() if each not in without)
        await until(lambda: process.cpu_times().user > 0)
        return process

    begin: Any = begun
    begin.another = another
    return begin


@pytest.mark.parametrize("document", [pages_that_share_a_stream, a_form_that_calls_itself_twice])
async def test_a_document_that_takes_too_long_has_an_outcome_and_holds_up_no_other(make, monkeypatch, document):
    # The CPU time decides here; on a busy machine it takes many seconds only to start the processes.
    monkeypatch.setattr(extraction, "_WALL_FACTOR", 1_000)
    extractor = make(cpu_seconds=0.2)
    found, other, *_ = await asyncio.gather(
        extractor.extract(document(), "a.pdf", NEWEST), text(extractor), text(extractor), text(extractor)
    )
    assert found == Extraction("", ValidationFailure.TOO_COMPLEX, "takes more than 0.2 s of CPU time")
    assert other == await text(extractor) == "hej"


async def test_paragraphs_in_paragraphs_are_walked_once(make):
    """Each paragraph with its own walk of all that is in it takes 200 times the reading of the file."""
    found = await make(cpu_seconds=15).extract(nested_paragraphs(), "a.docx", NEWEST)
    assert found.failure is ValidationFailure.NO_TEXT


async def test_a_document_that_takes_too_much_memory_has_an_outcome_and_holds_up_no_other(make):
    extractor = make(memory=256 * MIB)
    assert await text(extractor) == "hej"
    found = await extractor.extract(nested_paragraphs(deep=1, runs=1_300_000), "a.docx", NEWEST)
    assert found == Extraction("", ValidationFailure.TOO_COMPLEX, f"takes more than {256 * MIB} bytes of memory")
    assert await text(extractor) == "hej"


async def test_only_time_on_the_cpu_counts(make, until):
    extractor = make(cpu_seconds=0.2)
    await text(extractor)
    (process,) = processes()
    process.suspend()
    asked, since = asyncio.create_task(text(extractor)), time.monotonic()
    await until(lambda: time.monotonic() > since + 1)
    process.resume()
    assert await asked == "hej"


async def test_each_document_has_the_whole_time(make, monkeypatch):
    """All together take more than one may, in a process that no number of documents ends."""
    monkeypatch.setattr(extraction, "_MOST_DOCUMENTS", 1_000_000)
    extractor = make(cpu_seconds=1.0)
    document, spent = pages_that_share_a_stream(1, 1_000), 0.0
    while spent < 2:
        assert (await extractor.extract(document, "a.pdf", NEWEST)).failure is ValidationFailure.NO_TEXT
        (process,) = processes()
        spent = process.cpu_times().user


async def test_a_process_that_hangs_is_ended_without_a_word_about_the_file(make, monkeypatch):
    extractor = make(cpu_seconds=1)
    await text(extractor)
    monkeypatch.setattr(extraction, "_WALL_FACTOR", 0.1)
    (process,) = processes()
    process.suspend()
    with pytest.raises(ExtractionInterrupted, match="hangs"):
        await text(extractor)
    assert not process.is_running()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_process_that_is_ended_from_outside_is_no_word_about_the_file(make, busy, number):
    extractor = make()
    task, process = await busy(extractor)
    process.send_signal(number)
    with pytest.raises(ExtractionInterrupted, match=f"ended with -{number:d}"):
        await task
    assert await text(extractor) == "hej"


async def test_a_process_that_ended_while_it_waited_disturbs_nobody(make, until):
    extractor = make()
    await text(extractor)
    (process,) = processes()
    process.kill()
    await until(lambda: extractor._idle[0].process.returncode is not None)
    assert await text(extractor) == "hej"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
async def test_a_document_that_ends_a_new_process_has_an_outcome(make, busy, number):
    task, process = await busy(make())
    process.send_signal(number)
    assert (await task).failure is ValidationFailure.TOO_COMPLEX


async def test_what_ended_a_used_process_is_asked_of_a_new_one(make, busy):
    extractor = make()
    await text(extractor)
    task, process = await busy(extractor)
    process.send_signal(signal.SIGSEGV)
    new = await busy.another([process])
    assert not task.done()
    new.send_signal(signal.SIGSEGV)
    assert (await task).failure is ValidationFailure.TOO_COMPLEX


async def test_who_is_cancelled_ends_its_process(make, busy):
    extractor = make()
    task, process = await busy(extractor)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not process.is_running()


@pytest.mark.parametrize("busy", [True, False])
def test_no_process_outlives_a_service_that_is_killed(tmp_path, busy):
    (tmp_path / "document").write_bytes(pages_that_share_a_stream(1_000) if busy else b"hej")
    script = f"""
import asyncio, pathlib, sys
from reference_impl.file_service.extraction import IsolatedExtractor, Limits

async def main():
    extractor = IsolatedExtractor(Limits({MOST}, {50 * MIB}, 600.0, {1024 * MIB}))
    task = asyncio.create_task(extractor.extract(pathlib.Path(sys.argv[1]).read_bytes(), sys.argv[2], {NEWEST}))
    await asyncio.wait([task], timeout=0 if {busy} else None)
    print("waits", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    words = [sys.executable, "-c", script, str(tmp_path / "document"), "a.pdf" if busy else "a.txt"]
    with subprocess.Popen(words, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as service:
        deadline = time.monotonic() + 60
        try:
            assert service.stdout.readline() == b"waits\n"
            # A second of it is not the start.
            while not (found := psutil.Process(service.pid).children()) or (busy and found[0].cpu_times().user < 1):
                assert time.monotonic() < deadline
        finally:
            service.kill()
    gone, alive = psutil.wait_procs(found, timeout=60)
    assert (len(gone), alive) == (1, [])


async def test_the_longest_text_comes_through_whole(make):
    longest = "\N{GRINNING FACE}" * MOST
    assert await text(make(), longest.encode()) == longest


async def test_a_process_is_replaced_after_many_documents(make, monkeypatch):
    monkeypatch.setattr(extraction, "_MOST_DOCUMENTS", 2)
    extractor, seen = make(), []
    for _ in range(3):
        await text(extractor)
        seen.append([each.pid for each in processes()])
    assert seen[1] == []
    assert seen[0] != seen[2]


async def test_a_version_of_a_newer_release_is_no_word_about_the_file(make):
    extractor = make()
    with pytest.raises(ExtractionInterrupted, match="KeyError"):
        await extractor.extract(b"hej", "a.txt", NEWEST + 1)
    assert await text(extractor) == "hej"
