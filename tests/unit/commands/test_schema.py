"""``oneffect schema``: what it prints takes the files that there are, refuses what is misspelt, and explains each field."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.commands.schema import File, fault_parameters, json_schema
from harness.faults import TABLE
from harness.files.document import parse
from harness.units import parse_duration, parse_rate, parse_share, written

ROOT = Path(__file__).parents[3]
SCENARIOS = sorted([*(ROOT / "scenarios").glob("*.yaml"), *(ROOT / "benchmarks").glob("soak*.yaml")])
SYSTEMS = sorted([*(ROOT / "reference_impl").glob("system*.yaml"), *(ROOT / "tests").rglob("system*.yaml")])
BLOCK = re.compile(r"^```yaml (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    (page, *found.groups())
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for found in BLOCK.finditer(page.read_text(encoding="utf-8"))
]

SCENARIO: dict[str, Any] = {
    "oneffect": 1,
    "name": "one",
    "load": {"uploads": 40, "rate": "20/s"},
    "faults": [{"fault": "net.hang", "on": "a->b", "at": "25%", "for": "2s", "direction": "upstream"}],
}


def wrong(file: File, value: object) -> list[str]:
    """What a schema has against a value."""
    validator = jsonschema.Draft202012Validator(json_schema(file))
    return [error.message for error in validator.iter_errors(value)]


@pytest.mark.parametrize("file", File)
def test_what_is_printed_is_a_schema(say, file: File) -> None:
    printed = json.loads(say("schema", file).stdout)
    assert printed == json_schema(file)
    jsonschema.Draft202012Validator.check_schema(printed)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_it_takes_every_scenario(path: Path) -> None:
    assert not wrong(File.SCENARIO, parse(path).value)


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_takes_every_system(path: Path) -> None:
    assert not wrong(File.SYSTEM, parse(path).value)


@pytest.mark.parametrize(("page", "file", "text"), BLOCKS, ids=[f"{page.stem}-{file}" for page, file, _ in BLOCKS])
def test_it_takes_what_the_documents_show(tmp_path: Path, page: Path, file: str, text: str) -> None:
    (tmp_path / "block.yaml").write_text(text, encoding="utf-8")
    assert not wrong(File(file), parse(tmp_path / "block.yaml").value)


def without(path: str, **changed: object) -> dict[str, Any]:
    """The scenario with one field of a part taken away, or others put in."""
    made = deepcopy(SCENARIO)
    *way, last = path.split(".")
    part: Any = made
    for step in way:
        part = part[int(step) if step.isdigit() else step]
    part.pop(last, None)
    part.update(changed)
    return made


@pytest.mark.parametrize(
    "value",
    [
        without("name"),
        without("x", fautls=[]),
        without("load.x", rate=15),
        without("load.x", rate="15"),
        without("load.x", rejected="20"),
        without("faults.0.x", at="soon"),
        without("faults.0.fault", fault="net.hangs"),
        without("faults.0.for"),
        without("faults.0.on"),
        without("faults.0.direction", direction="up"),
        without("faults.0.direction", way="upstream"),
        without("x", expect="vaild"),
        without("faults.0.direction", fault="kafka.redeliver", count=3),
    ],
)
def test_it_refuses_what_the_command_would(value: dict[str, Any]) -> None:
    assert not wrong(File.SCENARIO, SCENARIO)
    assert wrong(File.SCENARIO, value)


def test_a_system_that_extends_another_says_only_what_it_changes() -> None:
    changed = {"extends": "system.yaml", "services": {"shop": {"env": {"A": None}}, "ledger": None}, "blobs": None}
    assert not wrong(File.SYSTEM, changed)
    assert wrong(File.SYSTEM, {**changed, "servces": {}})
    assert wrong(File.SYSTEM, {key: value for key, value in changed.items() if key != "extends"})


@pytest.mark.parametrize("file", File)
def test_every_field_says_what_it_means(file: File) -> None:
    schema = json_schema(file)
    parts = {name: part for name, part in schema["$defs"].items() if not name.startswith("Extending")}
    parts["the whole"] = schema.get("else", schema)
    fields = {f"{part}.{name}": field for part in parts for name, field in parts[part]["properties"].items()}
    assert not [name for name, field in fields.items() if not field.get("description")]
    assert not [name for name, part in parts.items() if not part.get("description")]


@pytest.mark.parametrize("file", File)
def test_a_default_is_written_as_the_field_is(file: File) -> None:
    schema = json_schema(file)
    whole = schema.get("else", schema)
    for part in [whole, *schema["$defs"].values()]:
        for field in part["properties"].values():
            if "default" in field:
                validator = jsonschema.Draft202012Validator({**field, "$defs": schema["$defs"]})
                assert validator.is_valid(field["default"]), field


def test_a_fault_names_its_parameters() -> None:
    assert set(fault_parameters("net.latency")["properties"]) == {"latency", "jitter"}
    rows = json_schema(File.SCENARIO)["$defs"]["FaultLine"]
    assert [each["const"] for each in rows["properties"]["fault"]["oneOf"]] == list(TABLE)


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (0.5, "3s", "500ms"),
        (30.0, "3s", "30s"),
        (0.0, "3s", "0s"),
        (90.5, "3s", "90.5s"),
        (0.15, "20%", "15%"),
        (15.0, "15/s", "15/s"),
    ],
)
def test_written_is_parsed_again(value: float, like: str, text: str) -> None:
    assert written(value, like) == text
    parse = parse_share if like.endswith("%") else parse_rate if like.endswith("/s") else parse_duration
    assert parse(text) == pytest.approx(value)
