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


def test_of_two_equal_values_the_one_that_differs_more_between_events_names() -> None:
    """By chance an order of 17 pieces has the number 17."""
    carried = Carried()
    for n in range(1, 40):
        carried.note(f"e{n}", "placed", RECORD, {"data": {"order": n, "pieces": 17 if n == 17 else n % 3}})
    assert {carried.template(f"e{n}", f"order-{n}") for n in range(1, 40)} == {"order-{/data/order}"}


def test_of_two_equal_values_the_one_that_other_names_hold_names() -> None:
    """By chance an order's amount, which differs more than the pieces by which it is named, equals these."""
    carried = Carried()
    for n in range(1, 40):
        carried.note(
            f"e{n}", "placed", RECORD, {"order": 1000 + n, "pieces": n % 9, "amount": 5 if n == 5 else 100 + n}
        )
    names = {carried.template(f"e{n}", f"{1000 + n}-{n % 9}") for n in (1, 2, 3, 5)}
    assert names == {"{/order}-{/pieces}"}


def test_letters_beside_a_number_are_no_part_of_it() -> None:
    carried = Carried()
    carried.note("e1", "placed", RECORD, {"n": 17, "word": "cat"})
    assert carried.template("e1", "order17b") == "order{/n}b"
    assert carried.template("e1", "2017-cats-3cat") == "2017-cats-3{/word}"
