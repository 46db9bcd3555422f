"""Events are found by what a message says of them."""

from __future__ import annotations

from harness.observers.known import Known


def seen(number: int, *, topic: str = "orders", offset: int | None = None, **fields: object) -> dict[str, object]:
    ids = {"event_id": f"event-{number}", "upload_id": f"up-{number}", "raw_file_storage_id": f"raw-{number}"}
    return {"topic": topic, "partition": 0, "offset": number if offset is None else offset, **ids, **fields}


def known(*records: dict[str, object]) -> Known:
    made = Known()
    for one in records:
        made.note(one)
    return made


def test_by_a_name_in_a_key_with_all_that_names_it() -> None:
    event = known(seen(1), seen(17)).event("claim:event-17", ())
    assert event is not None
    assert event.names == {"event-17", "up-17", "raw-17"}
    assert event.places == {("orders", 0, 17)}


def test_by_the_offset_right_behind_it() -> None:
    event = known(seen(1), seen(2)).event("billing", [("orders", 0, 2)])
    assert event is not None
    assert "event-1" in event.names


def test_an_uploads_events_are_one() -> None:
    event = known(seen(1), seen(2, upload_id="up-1", topic="batches")).event("/v1/content/raw-1", ())
    assert event is not None
    assert event.names == {"event-1", "event-2", "up-1", "raw-1", "raw-2"}
    assert event.places == {("orders", 0, 1), ("batches", 0, 2)}


def test_an_event_without_an_upload_stands_for_itself() -> None:
    records = [seen(number, upload_id=None, raw_file_storage_id=None) for number in (1, 2)]
    event = known(*records).event("claim:event-2", ())
    assert event is not None
    assert event.names == {"event-2"}


def test_nothing_is_found_by_other_names_or_what_is_malformed() -> None:
    everything = known(seen(1), seen(3, malformed="not JSON"))
    assert everything.event("claim:event-3", ()) is None
    assert everything.event("inbox", ()) is None
    assert everything.event("billing", [("orders", 0, 1), ("other", 0, 2)]) is None
