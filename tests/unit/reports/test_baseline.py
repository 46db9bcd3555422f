"""What is worse than in the base, and what is not compared."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import FileError
from harness.reports.baseline import Base, compared, read, written
from tests.unit.reports.cases import case, document

FOUND_OUT = document("invalid", expected="invalid", anomalies={"lost": 3, "duplicate": 1})


def base(*cases) -> Base:
    return Base.model_validate_json(written(cases))


HERE = (Path("scenarios"),)


def worse(before: Base, *now, folders: Sequence[Path] = HERE) -> dict[str, list[str]]:
    return {one.label: list(one.regressions) for one in compared(before, now, Path("base.json"), folders=folders)}


def test_the_same_again_is_no_worse() -> None:
    cases = [case(), case(variant="setnx_only", made=FOUND_OUT)]
    assert worse(base(*cases), *cases) == {"outage": [], "outage setnx_only": []}


def test_a_new_anomaly() -> None:
    before = document("invalid", expected="invalid", anomalies={"lost": 3})
    said = worse(base(case(made=before)), case(made=FOUND_OUT))
    assert said == {"outage": ["new since the base: duplicate 1"]}


def test_more_of_an_old_anomaly_is_no_new_one() -> None:
    before = document("invalid", expected="invalid", anomalies={"lost": 3})
    after = document("invalid", expected="invalid", anomalies={"lost": 4})
    assert worse(base(case(made=before)), case(made=after)) == {"outage": []}


def test_which_anomalies_a_variant_shows_is_luck() -> None:
    before = document("invalid", expected="invalid", anomalies={"lost": 3})
    assert worse(base(case(variant="x", made=before)), case(variant="x", made=FOUND_OUT)) == {"outage x": []}


def test_a_variant_that_is_no_longer_found_out() -> None:
    said = worse(base(case(variant="x", made=FOUND_OUT)), case(variant="x"))
    assert said == {"outage x": ["no longer bites: found duplicate, lost in the base, but is valid now"]}


def test_a_fault_that_no_longer_bites() -> None:
    now = document()
    del now["faults"][0]["bit"]
    assert worse(base(case()), case(made=now)) == {"outage": ["no longer bites: net.hang bit 1 times, 2 in the base"]}


def test_a_run_that_is_not_made_any_more() -> None:
    before = base(case(), case("control"))
    absent = compared(before, [case()], Path("base.json"), folders=HERE)[-1]
    assert (absent.label, absent.passed) == ("control", False)
    assert "no longer bites: it is in the base" in absent.why


def test_what_was_left_out_on_purpose_is_not_missed() -> None:
    assert worse(base(case(), case("control")), case(), folders=[]) == {"outage": []}


def test_a_variant_of_a_scenario_that_was_run_is_missed_whatever_was_named() -> None:
    before = base(case(), case(variant="x", made=FOUND_OUT), case("control"), case("control", "x"))
    assert worse(before, case(), folders=[]).keys() == {"outage", "outage x"}


@pytest.mark.parametrize(
    ("folders", "missed"),
    [
        (["a"], ["in_a"]),
        (["b", "b/../a"], ["in_a", "in_b"]),
        (["more"], []),
        ([], []),
    ],
)
def test_what_a_folder_held_is_missed_and_what_another_holds_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: list[str], missed: list[str]
) -> None:
    for name in ("a", "b", "more"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    lay = [replace(case("in_a"), file=Path("a/x.yaml")), replace(case("in_b"), file=tmp_path / "b" / "x.yaml")]
    before = base(*lay)
    assert [run.folder for run in before.runs.values()] == ["a", "b"]
    found = compared(before, [case("new")], Path("base.json"), folders=[Path(name) for name in folders])
    assert [one.scenario for one in found[1:]] == missed


@pytest.mark.parametrize("folder", [None, "gone", "x\0y", "x" * 5000])
def test_a_folder_that_is_not_known_or_not_there_may_have_been_the_one(folder: str | None) -> None:
    before = base(case(), case("control"))
    before.runs["control"] = before.runs["control"].model_copy(update={"folder": folder})
    assert worse(before, case()).keys() == {"outage", "control"}
    assert worse(before, case(), folders=[]).keys() == {"outage"}


def test_what_the_base_does_not_know_and_what_could_not_be_run() -> None:
    assert worse(base(case()), case(error="x"), case("new")) == {"outage": [], "new": []}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "it: "),
        (b"{}", "oneffect_base: field required"),
        (b'{"oneffect_base": 2, "runs": {}}', "oneffect_base: "),
        (
            b'{"oneffect_base": 1, "runs": {"a": {"verdict": "good", "anomalies": [], "bitten": {}}}}',
            "runs.a.verdict",
        ),
        (b'{"oneffect_base": 1, "runs": {}, "more": 1}', "more: "),
    ],
)
def test_a_base_that_is_none(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "base.json"
    path.write_bytes(text)
    with pytest.raises(FileError) as caught:
        read(path)
    assert said in str(caught.value)
    assert "--write-base" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_base(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        read(tmp_path / "base.json")
