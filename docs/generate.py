"""Generate docs/reference/ from the code: the command, faults, anomalies, the history, the files, the settings, the Python API.

Run ``python docs/generate.py``; a test compares ``pages()`` with the files.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import typer

from harness.commands.schema import File, fault_parameters, json_schema
from harness.files import load
from harness.system import System

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
SERVICES = (
    "content_service",
    "file_service",
    "essay_lifecycle",
    "batch_orchestrator",
    "spell_checker",
    "cj_assessment",
)
_BITES = """\
Only a fault that bit counts. It must be armed first, and the services that it hits must have work: an idle connection may
close by itself, and a polling client moves bytes. So a fault that heals has not bitten until records were given to the
consumers that it hits, or, where it hits the front door, operations begun. A fault hits the service whose link or replica it
is on; on a store, or on a service that neither consumes nor is the front door, it hits the services that use it.

In a run a fault waits up to a minute for something to meet: `service.kill` and `service.pause` wait for work in progress
(where they meet no request for a while, they hold back the answers on one of the replica's links until one waits for its
answer), `net.down` for a connection to end, and every fault that heals waits, after its `for:`, until it has bitten and five
records were given to the services that it hits, or five operations begun. If those services keep working but have never
connected on that link, nothing will ever meet the fault: it says so and is healed.
"""
_MADE = "<!-- made by docs/generate.py; change the code, then run `make docs` -->\n\n"


def pages() -> dict[str, str]:
    """Return every generated page: file name to text."""
    made = {
        "command.md": _command(),
        "faults.md": _faults(),
        "anomalies.md": _anomalies(),
        "history.md": _history(),
        "scenario-file.md": _scenario_file(),
        "system-file.md": _system_file(),
        "addresses-file.md": _addresses_file(),
        "settings.md": _settings(),
        "python.md": _python(),
    }
    return {name: _MADE + text for name, text in made.items()}


def _python() -> str:
    import oneffect

    lines = ["# The Python API\n", (inspect.getdoc(oneffect) or "").replace("\n\n::\n", "\n"), ""]
    classes = [getattr(oneffect, name) for name in oneffect.__all__]
    for made in sorted(classes, key=lambda one: (not inspect.isfunction(one), one.__name__.lower())):
        words = f"({', '.join(_signature(made))})" if inspect.isfunction(made) else ""
        lines += [f"## `oneffect.{made.__name__}{words}`\n", f"{inspect.getdoc(made)}\n"]
        if inspect.isclass(made) and made.__module__.startswith("harness.steps"):
            lines += [f"- {line}" for line in _members(made)]
            lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _members(made: type) -> Iterator[str]:
    """Yield each public attribute, property and method of a class that has words of its own."""
    for base in reversed(made.__mro__[:-1]):
        for name, member in vars(base).items():
            if name.startswith("_") or not (isinstance(member, property) or inspect.isfunction(member)):
                continue
            words = f"({', '.join(_signature(member))})" if inspect.isfunction(member) else ""
            text = " ".join((inspect.getdoc(member) or "").split())
            yield f"`{'async ' * inspect.iscoroutinefunction(member)}{name}{words}`: {text}"
        yield from (f"`{name}`" for name in getattr(base, "__annotations__", {}) if not name.startswith("_"))


def _signature(function: Any) -> list[str]:  # noqa: ANN401 - any callable
    """Return its parameters as written, without ``self`` and types."""
    given = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    words, named = [], False
    for one in given:
        if one.kind is one.KEYWORD_ONLY and not named:
            words.append("*")
            named = True
        star = "**" if one.kind is one.VAR_KEYWORD else ""
        default = "" if one.default is one.empty else f"={one.default!r}"
        words.append(f"{star}{one.name}{default}")
        if one.kind is one.POSITIONAL_ONLY:
            words.append("/")
    return words


def _command() -> str:
    from harness.cli import app

    command = typer.main.get_command(app)
    lines = ["# The command\n"]
    for path, subcommand in _commands(command, "oneffect"):
        with click.Context(subcommand, info_name=path, terminal_width=80) as context:
            lines += [f"## `{path}`\n", "```text", subcommand.get_help(context).strip(), "```\n"]
    return "\n".join(lines)


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - click's types vary with its version
    yield path, command
    for name, child in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(child, f"{path} {name}")


def _faults() -> str:
    from harness.faults import TABLE, fault_type

    lines = ["# Faults\n", "| fault | target | heals | parameters | what it does |", "|---|---|---|---|---|"]
    for name in sorted(TABLE):
        kind = fault_type(name)
        parameters = ", ".join(_field(field, info) for field, info in kind.model_fields.items()) or "none"
        heals = "yes: give `for:`" if kind.heals else "no" if kind.model_fields.get("lasts") else "no: refuses `for:`"
        lines.append(f"| `{name}` | {kind.target} | {heals} | {parameters} | {kind.summary} |")
    return "\n".join([*lines, "", *_parameters(), "", *_bites(), "", *_stacks()]) + "\n"


def _parameters() -> Iterator[str]:
    """Describe how to write each fault's parameters."""
    from harness.faults import TABLE

    yield "# Parameters\n"
    yield "| fault | parameter | written | default | meaning |"
    yield "|---|---|---|---|---|"
    for name in sorted(TABLE):
        for row in _rows(fault_parameters(name)):
            yield f"| `{name}` {row}".replace("](#", "](scenario-file.md#")


def _bites() -> Iterator[str]:
    """Say what counts as a bite of each fault."""
    from harness.faults import TABLE, fault_type

    yield "# What a bite is\n"
    yield _BITES
    yield "| fault | it bit when |"
    yield "|---|---|"
    for name in sorted(TABLE):
        yield f"| `{name}` | {fault_type(name).bites} |"


def _stacks() -> Iterator[str]:
    """Say which fault works on which stack, by the stack's own account."""
    from harness.faults import TABLE, fault_type
    from harness.stack import Tapping
    from harness.stacks import TABLE as STACKS
    from harness.stacks import make_stack
    from harness.stacks.external.handle import NEEDS

    yield "# Where each works\n"
    yield "On the external stack your own commands break processes; the table says which ones a fault needs.\n"
    yield f"| fault | {' | '.join(STACKS)} |"
    yield "|---" * (len(STACKS) + 1) + "|"
    system = load(ROOT / "reference_impl" / "system.postgres.yaml", System)
    made = {name: make_stack(name, system, ROOT, working_directory=ROOT) for name in STACKS if name != "external"}
    for name in sorted(TABLE):
        needs = fault_type(name).needs
        cells = []
        for stack in STACKS:
            commands = [f"`{command}`" for need in needs for command in NEEDS.get(need, ())]
            if stack == "external":
                cells.append("`taps` in the addresses file" if Tapping in needs else " and ".join(commands) or "yes")
            else:
                reasons = [reason for need in needs if (reason := made[stack].lacks(need))]
                cells.append(f"no: {reasons[0]}" if reasons else "yes")
        yield f"| `{name}` | {' | '.join(cells)} |"


def _anomalies() -> str:
    from harness.checkers.judge import checkers

    lines = ["# Checkers and anomalies\n"]
    for kind in checkers():
        name = kind.name
        lines += [f"## {name}\n", inspect.getdoc(inspect.getmodule(type(kind))) or "", ""]
        lines += ["| anomaly | makes the run | said as |", "|---|---|---|"]
        for anomaly in kind.anomalies:
            verdict = "a warning" if anomaly.verdict is None else anomaly.verdict.word
            lines.append(f"| `{anomaly.name}` | {verdict} | {anomaly.explain} |")
        lines.append("")
    return "\n".join(lines)


def _history() -> str:
    from harness.history import records

    lines = ["# The history\n", inspect.getdoc(records) or "", "", "| op | phases |", "|---|---|"]
    lines += [f"| `{op}` | {', '.join(phases)} |" for op, phases in records.PHASES.items()]
    lines += ["", "| field | type in the typed copy | meaning |", "|---|---|---|"]
    comments = _comments(inspect.getsource(records))
    lines += [f"| `{name}` | {kind} | {comments.get(name, '')} |" for name, kind in records.COLUMNS.items()]
    return "\n".join(lines) + "\n"


def _comments(source: str) -> dict[str, str]:
    comments = {}
    for line in source.splitlines():
        before, hash_mark, comment = line.partition("#")
        if hash_mark and before.strip().startswith('"'):
            comments[before.split('"')[1]] = comment.strip().replace("|", "\\|")
    return comments


def _file(file: File, title: str, *names: str) -> str:
    """Return the page of one file: the whole, then each of its parts in the order of ``names``."""
    schema = json_schema(file)
    whole = schema.get("else", schema)
    parts = {"The whole": whole, **{name: schema["$defs"][name] for name in names}}
    kinds = {part for part in schema["$defs"] if not part.startswith("Extending")}
    if missing := kinds - set(names):
        raise LookupError(f"{file}: {', '.join(sorted(missing))} has no section")
    schema_line = f"`oneffect schema {file}` prints all of it as JSON Schema.\n"
    return f"# {title}\n\n{schema_line}\n" + "\n".join(_part(name, part) for name, part in parts.items())


def _scenario_file() -> str:
    names = ("LoadShape", "FaultLine", "When", "AgainLine", "Cover", "Expected")
    return _file(File.SCENARIO, "The scenario file", *names)


def _system_file() -> str:
    names = (
        "Dependency",
        "Ping",
        "Service",
        "Prints",
        "Load",
        "UploadLoad",
        "OwnFiles",
        "CommandLoad",
        "PublishLoad",
        "Encode",
        "Events",
        "TypeByTopic",
        "Decode",
        "Where",
        "Outcome",
        "Effects",
    )
    forms = ("Sql", "OutputTopic", "RedisKeys", "HttpList", "Files", "Total")
    more = ("Blobs", "DeadLetters", "SourceHeaders", "Request", "Variants")
    return _file(File.SYSTEM, "The system file", *names, *forms, *more)


def _addresses_file() -> str:
    return _file(File.ADDRESSES, "The addresses file", "LinkAddress", "LoginAs", "Names", "Commands")


def _settings() -> str:
    from reference_impl.service_libs.settings import ServiceSettings

    for name in SERVICES:
        import_module(f"reference_impl.{name}.config")
    rows: dict[tuple[str, str, str], list[str]] = {}
    for settings in sorted(_leaves(ServiceSettings), key=lambda each: SERVICES.index(each.SERVICE)):
        for name, info in settings.model_fields.items():
            # Settings that differ only by the service's own name share a row.
            own = info.default == settings.SERVICE
            default = "needed" if info.is_required() else "the service's name" if own else f"`{info.default}`"
            rows.setdefault((name.upper(), default, info.description or ""), []).append(settings.SERVICE)
    lines = [
        "# Settings of the reference's services\n",
        "Each is an environment variable. A wrong or missing one ends the service with status 2 and names the variable.\n",
        "| variable | default | meaning | services |",
        "|---|---|---|---|",
    ]
    for (name, default, meaning), services in sorted(rows.items()):
        where = "all" if len(services) == len(SERVICES) else ", ".join(services)
        lines.append(f"| `{name}` | {default} | {' '.join(meaning.split())} | {where} |")
    return "\n".join(lines) + "\n"


def _leaves(kind: type[Any]) -> Iterator[type[Any]]:
    below = kind.__subclasses__()
    if not below and hasattr(kind, "SERVICE"):
        yield kind
    for each in below:
        yield from _leaves(each)


def _part(name: str, part: dict[str, Any]) -> str:
    lines = [f"## {name}\n", part["description"], "", "| field | written | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *_rows(part)]) + "\n"


def _rows(part: dict[str, Any]) -> Iterator[str]:
    for field, schema in part["properties"].items():
        needed = field in part.get("required", ())
        default = "needed" if needed else f"`{_yaml(schema['default'])}`" if "default" in schema else ""
        meaning = " ".join(schema.get("description", "").split())
        yield f"| `{field}` | {_cell(_form(schema, needed or 'default' in schema))} | {default} | {_cell(meaning)} |"


def _form(schema: dict[str, Any], nullable: bool = True) -> str:  # noqa: C901, FBT001, FBT002, PLR0911, PLR0912 - one a kind
    """Describe how to write a value: its unit by examples, its bounds, or what may stand there."""
    match schema:
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": kinds}:
            forms = [_form(kind) for kind in kinds if kind != {"type": "null"}]
            return " or ".join(forms + (["`null`"] if nullable and {"type": "null"} in kinds else []))
        case {"const": value}:
            return f"`{_yaml(value)}`"
        case {"enum": values}:
            return " or ".join(f"`{_yaml(value)}`" for value in values)
        case {"oneOf": _}:
            return "a [fault](faults.md)"
        case {"examples": examples}:
            return ", ".join(f"`{example}`" for example in examples)
        case {"type": "array", "items": items}:
            return f"list of {_form(items)}"
        case {"patternProperties": values}:
            return f"name: {_form(next(iter(values.values())))}"
        case {"additionalProperties": True}:
            return "any JSON object"
        case {"additionalProperties": values}:
            return f"text: {_form(values)}"
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"{least:,} to {most:,}"
        case {"title": title}:
            return str(title)
        case {"pattern": pattern}:
            return f"text like `{pattern}`"
        case {"type": kind}:
            return {"string": "text", "integer": "number", "boolean": "`true` or `false`"}[kind]
    raise LookupError(f"no words for {schema}")


def _yaml(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _field(name: str, info: Any) -> str:  # noqa: ANN401 - pydantic's FieldInfo
    return f"`{info.alias or name}`" + ("" if info.is_required() else " (optional)")


def main() -> None:
    """Write every page."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
