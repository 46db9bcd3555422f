from __future__ import annotations

import hashlib
import json

import pytest

from reference_impl.common_core.event_ids import digest
from reference_impl.common_core.events import UPLOAD_OUTCOMES
from reference_impl.service_libs.message import Delivery, Malformed, malformed, read

ACCEPTED = {each.EVENT_TYPE: each for each in UPLOAD_OUTCOMES}


def changed(delivery, **fields):
    return Delivery("essays", 2, 7, b"k", json.dumps(json.loads(delivery.value) | fields).encode())


def test_a_message_has_the_id_and_the_digest_of_its_data(delivered):
    delivery = delivered()
    message = read(delivery, "c", ACCEPTED)
    document = json.loads(delivery.value)
    assert (message.event_id, message.digest) == (document["event_id"], digest(document["data"]))


def test_metadata_does_not_change_the_digest(delivered):
    later = changed(delivered(), event_timestamp="2030-01-01T00:00:00Z", correlation_id="another")
    assert read(later, "c", ACCEPTED).digest == read(delivered(), "c", ACCEPTED).digest


def test_an_event_of_another_type_is_somebody_elses(delivered):
    other = changed(delivered(), event_type="huleedu.batch.essays.ready.v1", data={"anything": 1})
    assert read(other, "c", ACCEPTED) is None


@pytest.mark.parametrize(
    "value",
    [None, b"", b"junk", b"[]", b"null", b"{}", b'{"event_id": NaN}', b"\xff\xfe", b"[" * 100_000, b'"\\ud800"'],
)
def test_what_is_no_event_is_malformed(value):
    with pytest.raises(Malformed):
        read(Delivery("essays", 0, 0, None, value), "c", ACCEPTED)


def test_an_older_message_without_the_field_is_malformed_and_says_which(delivered):
    data = json.loads(delivered().value)["data"]
    del data["raw_file_storage_id"]
    with pytest.raises(Malformed, match=r"data\.raw_file_storage_id: Field required"):
        read(changed(delivered(), data=data), "c", ACCEPTED)


def test_a_malformed_record_is_known_by_where_it_lies_and_by_its_bytes():
    message = malformed(Delivery("essays", 2, 7, None, b"junk"), "c")
    assert (message.event_id, message.digest) == ("essays:2:7", hashlib.sha256(b"junk").hexdigest())


def test_data_that_is_nested_too_deeply_for_a_digest_is_malformed(delivered):
    """JSON may be nested deeper than the canonical form can be made of: nothing about it changes by trying again."""
    delivery = delivered()
    deep = delivery.value.replace(b'"data":{', b'"data":{"x":' + b"[" * 990 + b"]" * 990 + b",")
    assert deep != delivery.value
    with pytest.raises(Malformed, match="no canonical form"):
        read(Delivery("essays", 2, 7, b"k", deep), "c", ACCEPTED)
