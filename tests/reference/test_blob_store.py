from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from reference_impl.content_service.core_logic import BlobStore

CONTENT = b"some bytes"
NAME = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def blobs(tmp_path, clock):
    store = BlobStore(tmp_path / "blobs", clock)
    store.start()
    return store


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "blobs"


@pytest.mark.parametrize("content", [b"", CONTENT, b"\r\n\xff\xfe\x00" * 100_000])
def test_what_is_stored_comes_back_byte_for_byte(blobs, content):
    storage_id = blobs.put(content)
    assert storage_id == hashlib.sha256(content).hexdigest()
    assert blobs.get(storage_id) == content


def test_what_was_never_stored_is_not_there(blobs):
    assert blobs.get("0" * 64) is None


@pytest.mark.parametrize("name", ["", "../secret", "a" * 63, "A" * 64, NAME + "\n", f"{NAME}/.."])
def test_a_name_that_is_no_storage_id_is_not_there(blobs, folder, name):
    (folder.parent / "secret").write_bytes(b"secret")
    assert blobs.get(name) is None


@pytest.mark.parametrize("found", [b"", CONTENT[:4], CONTENT + b"x", b"Some bytes"])
def test_a_half_written_or_rotten_file_under_the_name_is_replaced(blobs, folder, found):
    (folder / NAME).write_bytes(found)
    blobs.put(CONTENT)
    assert (folder / NAME).read_bytes() == CONTENT


def test_a_blob_that_is_there_is_not_written_again(blobs, folder):
    blobs.put(CONTENT)
    before = (folder / NAME).stat().st_ino
    blobs.put(CONTENT)
    assert (folder / NAME).stat().st_ino == before


async def test_many_at_once_store_one(blobs, folder):
    await asyncio.gather(*(asyncio.to_thread(blobs.put, CONTENT) for _ in range(20)))
    assert [path.name for path in folder.iterdir()] == [NAME]


@pytest.fixture
def steps(monkeypatch):
    """Which system calls were made, in order; one named in ``fails`` raises."""

    class Steps(list):
        fails = ""

    done = Steps()
    for name in ("fsync", "rename", "replace"):
        real = getattr(os, name)

        def step(*arguments, name=name, real=real, **options):
            if name == done.fails:
                raise OSError(28, "No space left on device")
            done.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, step)
    return done


def test_it_syncs_the_file_then_renames_then_syncs_the_folder(blobs, steps):
    blobs.put(CONTENT)
    assert steps == ["fsync", "replace", "fsync"]


def test_a_blob_that_was_there_is_synced_with_its_folder_too(blobs, steps):
    blobs.put(CONTENT)
    steps.clear()
    blobs.put(CONTENT)
    assert steps == ["fsync"]  # whoever wrote it may have died before


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_nothing(blobs, folder, steps, call):
    steps.fails = call
    with pytest.raises(OSError, match="No space"):
        blobs.put(CONTENT)
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_was_writing_is_cleared_at_the_next_start_but_not_what_may_still_be_written(
    blobs, folder, clock
):
    stored = blobs.put(CONTENT)
    now = clock.now().timestamp()
    for name, age in ((".incoming-dead", 3601), (".incoming-busy", 3599), (stored, 10**6), ("other", 10**6)):
        (folder / name).touch()
        os.utime(folder / name, (now - age, now - age))
    blobs.start()
    assert {path.name for path in folder.iterdir()} == {".incoming-busy", stored, "other"}


def test_a_folder_that_was_made_is_synced_into_its_parents(tmp_path, clock, monkeypatch):
    synced = []
    real = os.fsync

    def fsync(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    store = BlobStore(tmp_path / "a" / "b", clock)
    store.start()
    assert set(synced) == {tmp_path, tmp_path / "a"}
    synced.clear()
    store.start()
    assert synced == []
