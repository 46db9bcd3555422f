"""Which parts of an effect's name its event carries."""

import pytest

from harness.observers.carried import SAMPLE, Carried
from harness.stack import Record

VALUE = {"event_id": "e1", "data": {"order": 17, "lines": [{"sku": "a.b"}], "customer": "c-9", "paid": True}}
RECORD = Record("orders", 0, 0, b"key-1", b"", (("trace", b"t-5"),))


@pytest.fixture
def carried() -> Carried:
    made = Carried()
    made.note("e1", "placed", RECORD, VALUE)
    return made


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("17", "{/data/order}"),
        ("e1", "{/event_id}"),
        ("key-1", "{key}"),
        ("t-5", "{header trace}"),
        ("order-17", "order-{/data/order}"),
        ("c-9:17:a.b", "{/data/customer}:{/data/order}:{/data/lines/0/sku}"),
        ("order-17-5f3a", "order-{/data/order}-5f3a"),
        ("170", "170"),
        ("axb", "axb"),
        ("8d0c1a", "8d0c1a"),
        ("", ""),
    ],
)
def test_what_the_event_carries_is_taken_out_of_a_name(carried: Carried, name: str, template: str) -> None:
    assert carried.template("e1", name) == template


def test_of_an_event_that_nobody_kept_nothing_is_said(carried: Carried) -> None:
    assert carried.template("e2", "17") is None


def test_a_sample_of_each_type_is_kept() -> None:
    carried = Carried()
    for n in range(SAMPLE + 5):
        carried.note(f"a{n}", "a", RECORD, {"n": n})
    carried.note("b0", "b", RECORD, {"n": 0})
    assert carried.template(f"a{SAMPLE - 1}", "x") == "x"
    assert carried.template(f"a{SAMPLE}", "x") is None
    assert carried.template("b0", "x") == "x"
