"""When a batch must have its outcome."""

from harness.load.answers import Answers


def answers() -> tuple[Answers, list[tuple[str, str]]]:
    made, asked = Answers(2), []
    made.on_asked = lambda of, key: asked.append((of, key))
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
