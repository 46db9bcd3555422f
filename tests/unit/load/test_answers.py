"""When a batch must have its outcome."""

import pytest

from harness.load.answers import Answers, blob_in_body
from harness.system_load import UploadLoad


def answers() -> tuple[Answers, list[tuple[str, str]]]:
    made, asked = Answers(2), []
    made.on_asked = lambda of, key, _acceptable: asked.append((of, key))
    return made, asked


def note(made: Answers, phase: str, upload: str) -> None:
    made.note(phase, upload, batch="g0", acceptable=True, raw=None, sha256="")


def test_a_batch_is_asked_for_once_all_its_uploads_are_acknowledged() -> None:
    made, asked = answers()
    note(made, "ok", "u0")
    assert asked == [("upload", "u0")]
    note(made, "ok", "u1")
    assert asked[-1] == ("batch", "g0")


def test_an_outcome_seen_after_the_answer_failed_to_come_is_as_good() -> None:
    made, asked = answers()
    note(made, "ok", "u0")
    note(made, "unknown", "u1")
    assert ("batch", "g0") not in asked
    made.outcome("u1")
    made.outcome("u1")
    assert asked.count(("batch", "g0")) == 1


def test_and_so_is_one_that_was_seen_before() -> None:
    made, asked = answers()
    made.has_outcome = lambda upload: upload == "u1"
    note(made, "ok", "u0")
    note(made, "unknown", "u1")
    assert asked[-1] == ("batch", "g0")


def test_an_upload_without_either_keeps_its_batch_open() -> None:
    made, asked = answers()
    note(made, "ok", "u0")
    note(made, "unknown", "u1")
    note(made, "fail", "u2")
    assert ("batch", "g0") not in asked
    note(made, "ok", "u1")
    assert asked[-1] == ("batch", "g0")


@pytest.mark.parametrize(
    ("body", "blob"),
    [(b'{"raw": 17}', "17"), (b'{"raw": 18446744073709551617}', "18446744073709551617"), (b'{"raw": "a"}', "a")]
    + [(body, None) for body in (b"{}", b"<p>", b"", b'{"raw": null}', b'{"raw": ""}', b'{"raw": [1]}', b"17")],
)
def test_an_answer_names_its_blob_as_an_event_does(body: bytes, blob: str | None) -> None:
    door = UploadLoad(to="front", post="/v1/files", blob="/raw")
    assert blob_in_body(body, door) == blob
    assert blob_in_body(body, door.model_copy(update={"blob": None})) is None
