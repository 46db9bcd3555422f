"""How long a calibration holds, and what of it a plan has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from harness import calibration
from harness.calibration import Told
from harness.errors import FileError
from harness.files import load
from harness.plan import make_plan
from harness.system import System

FILE = """
oneffect: 1
name: shop
dependencies: {kafka: {topics: {orders: 4}}}
services: {shop: {command: ./shop, env: {KAFKA: "{kafka}"}}}
load: {upload: {to: shop, post: /orders}}
events: {id: /id, type: /type, topics: [orders]}
effects:
  shop: {applies: [placed], sql: {url: "sqlite:///{data}/db", query: "SELECT event AS id, max(n) AS effect FROM bills"}}
settle: 2s
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "system.yaml"
    file.write_text(FILE)
    calibrated(file, "seen")
    return file


def calibrated(path: Path, answer: Any) -> None:
    system = load(path, System)
    part = calibration.part(system, "duplicate", "shop")
    told = [Told(control="duplicate", of="shop", answer=answer, said="a row of bills copied", part=part)]
    calibration.write(calibration.made(system, run="r", seed=1, told=told), path)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


UNSEEN = [{"control": "duplicate", "of": "shop", "said": "a row of bills copied"}]


@pytest.mark.parametrize("answer", ["seen", "not_tried"])
def test_only_what_is_unseen_has_consequences(path: Path, answer: str) -> None:
    calibrated(path, answer)
    assert calibration.in_plan(path) == {}


def test_a_system_without_a_calibration_is_planned_as_ever(path: Path) -> None:
    calibration.beside(path).unlink()
    assert calibration.in_plan(path) == {}


def test_what_is_unseen_is_in_the_plan(path: Path) -> None:
    calibrated(path, "unseen")
    wanted = {"file": "system.calibration.json", "unseen": UNSEEN, "stale": None}
    assert calibration.in_plan(path) == {"calibration": wanted}
    scenario = path.with_name("load.yaml")
    scenario.write_text("oneffect: 1\nname: load\nload: {uploads: 30, rate: 20/s}\n")

    def planned(**words: Any) -> Any:
        return make_plan(scenario, system_path=path, variant=None, seed=1, stack="auto", **words)

    assert planned().document["calibration"] == wanted
    assert "calibration" not in planned(calibrated=False).document
    assert planned().digest != planned(calibrated=False).digest


def test_comments_make_no_other_system(path: Path) -> None:
    path.write_text(f"# words\n{FILE}")
    assert calibration.in_plan(path) == {}


def test_a_changed_system_is_no_more_calibrated(path: Path) -> None:
    rewrite(path, "settle: 2s", "settle: 3s")
    assert calibration.in_plan(path)["calibration"]["stale"] == "the system file has changed since"
    assert not calibration.in_plan(path)["calibration"]["unseen"]


def test_what_was_unseen_stays_so_until_its_own_part_changes(path: Path) -> None:
    calibrated(path, "unseen")
    rewrite(path, "settle: 2s", "settle: 3s")
    assert calibration.in_plan(path)["calibration"]["unseen"] == UNSEEN
    rewrite(path, "max(n)", "n")
    assert calibration.in_plan(path)["calibration"]["unseen"] == []
    assert calibration.in_plan(path)["calibration"]["stale"]


def test_another_oneffect_may_see_otherwise(path: Path) -> None:
    file = calibration.beside(path)
    file.write_bytes(orjson.dumps({**orjson.loads(file.read_bytes()), "oneffect": "0.0.1"}))
    assert calibration.in_plan(path)["calibration"]["stale"] == "oneffect 0.0.1 made it"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"oneffect_calibration": 2}', b"\xff"])
def test_a_file_that_is_no_calibration_is_refused(path: Path, content: bytes) -> None:
    calibration.beside(path).write_bytes(content)
    with pytest.raises(FileError, match=r"system\.calibration\.json: is not a calibration"):
        calibration.in_plan(path)
