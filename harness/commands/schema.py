"""``oneffect schema``: prints the JSON Schema of a file that users write."""

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
    """The files that have a schema."""

    SCENARIO = "scenario"
    SYSTEM = "system"
    ADDRESSES = "addresses"


def schema(file: Annotated[File, typer.Argument(help="Which file.")]) -> None:
    """Print the JSON Schema of a file that you write, for editors and other tools that check or complete it.

    It says what each field means and how to write it. A file that it accepts may still name something that does not exist;
    the harness reports that before a run begins.

    For example:

      oneffect schema scenario > scenario.schema.json

      oneffect schema system > system.schema.json
    """
    typer.echo(json.dumps(json_schema(file), indent=2, ensure_ascii=False))


def json_schema(file: File) -> Schema:
    """Build the JSON Schema (2020-12) of a file; its descriptions are the models' docstrings."""
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
    """Build the schema of a fault's own parameters."""
    from harness.faults import fault_type

    return _of(fault_type(name))


def _of(model: type[BaseModel]) -> Schema:
    from pydantic.json_schema import GenerateJsonSchema
    from pydantic_core import core_schema

    from harness.units import written

    class Written(GenerateJsonSchema):
        """Writes defaults as in a file, ``500ms`` and not 0.5, and no titles derived from names."""

        def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
            made: Schema = super().default_schema(schema)
            if made.get("type") == "string" and isinstance(made.get("default"), float):
                made["default"] = written(made["default"], made["examples"][0])
            if made.get("default", ...) is None:
                del made["default"]  # a field is left out, not null, to say nothing
            return made

        def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - names suffice
            return False

    made: Schema = model.model_json_schema(schema_generator=Written)
    made.pop("title", None)
    _tidy(made)
    return made


def _tidy(made: Any) -> None:  # noqa: ANN401 - JSON
    """Turn descriptions into Markdown with one line for each paragraph; allow only names that match a given pattern."""
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
    """Restrict a row of the schedule to the parameters of the fault that it names."""
    from harness.faults import TABLE, fault_type

    own = set(line["properties"])
    kinds = {name: fault_type(name) for name in TABLE}
    line["properties"]["fault"]["oneOf"] = [
        {"const": name, "description": kind.summary} for name, kind in kinds.items()
    ]
    line["allOf"] = []
    for name, kind in kinds.items():
        parameters = fault_parameters(name)
        taken = (own if kind.heals else own - {"for"}) | parameters["properties"].keys()
        then = {
            "properties": parameters["properties"],
            "required": ["on", *(["for"] if kind.heals else []), *parameters.get("required", [])],
            "propertyNames": {"enum": sorted(taken)},
        }
        line["allOf"].append({"if": {"properties": {"fault": {"const": name}}, "required": ["fault"]}, "then": then})


def _extendable(whole: Schema) -> Schema:
    """Allow a system file to be complete, or to have ``extends:`` and only changes, where null removes a value."""
    partial = json.loads(json.dumps(whole).replace("#/$defs/", "#/$defs/Extending"))
    definitions = partial.pop("$defs")
    extends = {"type": "string", "description": "The file that this one overlays, for example `system.yaml`."}
    for each in (partial, *definitions.values()):
        each.pop("required", None)
        for group in ("properties", "patternProperties"):
            each[group] = {name: _removable(field) for name, field in each.get(group, {}).items()}
    partial["properties"] = {"extends": extends, **partial["properties"]}
    definitions = {f"Extending{name}": definition for name, definition in definitions.items()}
    return {
        "$defs": {**whole.pop("$defs"), **definitions},
        "if": {"required": ["extends"]},
        "then": partial,
        "else": whole,
    }


def _removable(field: Schema) -> Schema:
    if "patternProperties" in field:
        field = field | {
            "patternProperties": {name: _removable(below) for name, below in field["patternProperties"].items()}
        }
    elif isinstance(field.get("additionalProperties"), dict):
        field = field | {"additionalProperties": _removable(field["additionalProperties"])}
    described = {"description": field["description"]} if "description" in field else {}
    return {**described, "anyOf": [field, {"type": "null"}]}
