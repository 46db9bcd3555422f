"""Templates: what is filled in, and what is refused."""

import pytest

from harness.template import check, filled, named


def value(name: str, argument: str | None) -> str | int:
    known: dict[str, str | int] = {"id": "r1-7", "n": 7}
    return known.get(name, f"<{name} {argument}>")


def test_every_text_is_filled_in_and_nothing_else() -> None:
    template = {"a": "x{id}", "b": [{"{id}": "{word:who}"}], "c": 5, "d": None, "e": '{"not": "one"}'}
    expected = {"a": "xr1-7", "b": [{"{id}": "<word who>"}], "c": 5, "d": None, "e": '{"not": "one"}'}
    assert filled(template, value) == expected


def test_a_number_alone_stays_a_number() -> None:
    assert filled({"n": "{n}", "text": "no. {n}"}, value) == {"n": 7, "text": "no. 7"}


def test_what_is_filled_in_is_not_filled_in_again() -> None:
    assert filled("{id}{n}", lambda name, _: "{n}" if name == "id" else 7) == "{n}7"


def test_names_are_found_however_deep() -> None:
    assert named({"a": [{"b": "{id} {number:1..2}"}], "c": 5, "d": None}) == {"id", "number"}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            {"data": {"lines": ["{nuber:1..2}"]}},
            r"value\.data\.lines\[0\]: \{nuber:1\.\.2\} is not filled in here; known: \{id\}",
        ),
        ("{nope}", r"value: \{nope\} is not filled in"),
        ("{number}", "needs a range"),
        ("{number:5..1}", "needs a range"),
        ("{number:1.5..2}", "needs a range"),
        ("{choice:}", "needs choices"),
        ("{choice:a||b}", "needs choices"),
        ("{id:x}", "takes no argument"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(template: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(template, ["id"], "value")


@pytest.mark.parametrize(
    "text", ["{number:-5..5}", "{choice:a}", "{choice:a|b c}", "{word}", "{word:who}", "{}", "{1}"]
)
def test_what_is_right_is_not(text: str) -> None:
    check({"a": text}, ["id"], "value")
