"""``oneffect schema``: the JSON Schema of the files that a user writes."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class File(StrEnum):
    """The files that have one."""

    SCENARIO = "scenario"
    SYSTEM = "system"
    ADDRESSES = "addresses"


def schema(file: Annotated[File, typer.Argument(help="Which file.")]) -> None:
    """Print the JSON Schema of a file that you write, for editors and whatever else checks or completes one.

    It says what each field means and how it is written. What it accepts may still name what is not there, which is said
    before a run begins.

    For example:

      oneffect schema scenario > scenario.schema.json

      oneffect schema system > system.schema.json
    """
    typer.echo(json.dumps(json_schema(file), indent=2, ensure_ascii=False))


def json_schema(file: File) -> Schema:
    """The schema, by JSON Schema 2020-12, of what may stand in a file; texts are those of the models' docstrings."""
    from harness.addresses import Addresses
    from harness.scenario import Scenario
    from harness.system import System

    models: dict[File, type[BaseModel]] = {
        File.SCENARIO: Scenario,
        File.SYSTEM: System,
        File.ADDRESSES: Addresses,
    }
    made = _of(models[file])
    if file is File.SCENARIO:
        _name_faults(made["$defs"]["FaultLine"])
    if file is File.SYSTEM:
        made = _extendable(made)
    return {"$schema": _DIALECT, "title": f"oneffect: {file} file", **made}


def fault_parameters(name: str) -> Schema:
    """The schema of a fault's own parameters."""
    from harness.faults import fault_type

    return _of(fault_type(name))


def _of(model: type[BaseModel]) -> Schema:
    from pydantic.json_schema import GenerateJsonSchema
    from pydantic_core import core_schema

    from harness.units import written

    class Written(GenerateJsonSchema):
        """Defaults as a file has them: ``500ms`` and not 0.5; no titles made of names."""

        def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
            made: Schema = super().default_schema(schema)
            if made.get("type") == "string" and isinstance(made.get("default"), float):
                made["default"] = written(made["default"], made["examples"][0])
            if made.get("default", ...) is None:
                del made["default"]  # left out, not null, is how nobody says anything
            return made

        def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - the names say it
            return False

    made: Schema = model.model_json_schema(schema_generator=Written)
    made.pop("title", None)
    _tidy(made)
    return made


def _tidy(made: Any) -> None:  # noqa: ANN401 - JSON
    """Descriptions as Markdown, a paragraph a line; where names have a form, no other names."""
    if isinstance(made, list):
        for each in made:
            _tidy(each)
    elif isinstance(made, dict):
        if isinstance(said := made.get("description"), str):
            made["description"] = "\n\n".join(" ".join(part.split()) for part in said.split("\n\n")).replace(
                "``", "`"
            )
        if "patternProperties" in made:
            made["additionalProperties"] = False
        for each in made.values():
            _tidy(each)


def _name_faults(line: Schema) -> None:
    """A row of the schedule takes the parameters of the fault that it names, and no others."""
    from harness.faults import TABLE, fault_type

    own = set(line["properties"])
    kinds = {name: fault_type(name) for name in TABLE}
    line["properties"]["fault"]["oneOf"] = [
        {"const": name, "description": kind.summary} for name, kind in kinds.items()
    ]
    line["allOf"] = []
    for name, kind in kinds.items():
        parameters = fault_parameters(name)
        taken = {*own, *parameters["properties"]} - (set() if kind.heals else {"for"})
        then = {
            "properties": parameters["properties"],
            "required": ["on", *(["for"] if kind.heals else []), *parameters.get("required", [])],
            "propertyNames": {"enum": sorted(taken)},
        }
        line["allOf"].append({"if": {"properties": {"fault": {"const": name}}, "required": ["fault"]}, "then": then})


def _extendable(whole: Schema) -> Schema:
    """A system file stands for itself, or says ``extends:`` and only what it changes; null removes what stands there."""
    partial = json.loads(json.dumps(whole).replace("#/$defs/", "#/$defs/Extending"))
    definitions = partial.pop("$defs")
    extends = {"type": "string", "description": "The file that this one is laid over, for example `system.yaml`."}
    for each in (partial, *definitions.values()):
        each.pop("required", None)
        for group in ("properties", "patternProperties"):
            each[group] = {name: _removable(one) for name, one in each.get(group, {}).items()}
    partial["properties"] = {"extends": extends, **partial["properties"]}
    definitions = {f"Extending{name}": one for name, one in definitions.items()}
    return {
        "$defs": {**whole.pop("$defs"), **definitions},
        "if": {"required": ["extends"]},
        "then": partial,
        "else": whole,
    }


def _removable(one: Schema) -> Schema:
    if "patternProperties" in one:
        one = one | {
            "patternProperties": {name: _removable(below) for name, below in one["patternProperties"].items()}
        }
    elif isinstance(one.get("additionalProperties"), dict):
        one = one | {"additionalProperties": _removable(one["additionalProperties"])}
    said = {"description": one["description"]} if "description" in one else {}
    return {**said, "anyOf": [one, {"type": "null"}]}
