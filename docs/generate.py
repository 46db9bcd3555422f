"""Writes docs/reference/ from the code: the command, faults, anomalies, the history, the files, the settings.

Run as ``python docs/generate.py``; ``pages()`` gives the same texts to the test that compares them with the files.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import typer
from pydantic import BaseModel

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
Only a fault that bit counts. It must be armed first, and those whom it hits must have work: an idle connection ends of itself,
and a client that polls moves bytes. So a fault that heals has not bitten while no record was given to the consumers that it
hits, and no operation begun where it hits the front door. It hits the service whose link or replica it is on; on a store, or on
a service that neither consumes nor is the front door, it hits the services that use it.

In a run a fault waits twenty seconds at most for something to meet: `service.kill` and `service.pause` for something in hand,
`net.down` for a connection to end, and each of those that heal, after its `for:`, until it has bitten and five records were
given to those whom it hits, or five operations begun. Where they go on with their work and have never connected on that link,
so that nothing will meet it, it says so and is healed.
"""
_MADE = "<!-- made by docs/generate.py; change the code, then run `make docs` -->\n\n"


def pages() -> dict[str, str]:
    """File name -> text of every generated page."""
    made = {
        "command.md": _command(),
        "faults.md": _faults(),
        "anomalies.md": _anomalies(),
        "history.md": _history(),
        "scenario-file.md": _scenario_file(),
        "system-file.md": _system_file(),
        "addresses-file.md": _addresses_file(),
        "settings.md": _settings(),
    }
    return {name: _MADE + text for name, text in made.items()}


def _command() -> str:
    from harness.cli import app

    command = typer.main.get_command(app)
    lines = ["# The command\n"]
    for path, one in _commands(command, "oneffect"):
        with click.Context(one, info_name=path, terminal_width=80) as context:
            lines += [f"## `{path}`\n", "```text", one.get_help(context).strip(), "```\n"]
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
        heals = "yes: give `for:`" if kind.heals else "no: refuses `for:`"
        lines.append(f"| `{name}` | {kind.target} | {heals} | {parameters} | {kind.summary} |")
    return "\n".join([*lines, "", *_bites(), "", *_stacks()]) + "\n"


def _bites() -> Iterator[str]:
    """What counts as the system's having met each fault."""
    from harness.faults import TABLE, fault_type

    yield "# What a bite is\n"
    yield _BITES
    yield "| fault | it bit when |"
    yield "|---|---|"
    for name in sorted(TABLE):
        yield f"| `{name}` | {fault_type(name).bites} |"


def _stacks() -> Iterator[str]:
    """Which fault works on which stack, as each stack says itself."""
    from harness.faults import TABLE, fault_type
    from harness.stacks import TABLE as STACKS
    from harness.stacks import make_stack
    from harness.stacks.external.handle import NEEDS

    yield "# Where each works\n"
    yield "On the external stack a process is broken by commands of your own; the table says which it takes.\n"
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
                cells.append(" and ".join(commands) or "yes")
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
    found = {}
    for line in source.splitlines():
        before, hash_mark, comment = line.partition("#")
        if hash_mark and before.strip().startswith('"'):
            found[before.split('"')[1]] = comment.strip().replace("|", "\\|")
    return found


def _scenario_file() -> str:
    from harness import scenario

    models = [scenario.Scenario, scenario.LoadShape, scenario.FaultLine, scenario.AgainLine, scenario.Expected]
    return "# The scenario file\n\n" + "\n".join(_model(model) for model in models)


def _system_file() -> str:
    from harness import system

    names = ["System", "Dependency", "Service", "Load", "UploadLoad", "Events", "Where", "Outcome", "Effects", "Sql"]
    models = [getattr(system, name) for name in [*names, "Blobs", "DeadLetters", "Request", "Variants"]]
    return "# The system file\n\n" + "\n".join(_model(model) for model in models)


def _addresses_file() -> str:
    from harness import addresses

    models = [addresses.Addresses, addresses.LinkAddress, addresses.LoginAs, addresses.Names, addresses.Commands]
    return "# The addresses file\n\n" + "\n".join(_model(model) for model in models)


def _settings() -> str:
    from reference_impl.service_libs.settings import ServiceSettings

    for name in SERVICES:
        import_module(f"reference_impl.{name}.config")
    rows: dict[tuple[str, str, str], list[str]] = {}
    for settings in sorted(_leaves(ServiceSettings), key=lambda each: SERVICES.index(each.SERVICE)):
        for name, info in settings.model_fields.items():
            # One row for what differs by no more than the service's own name.
            own = info.default == settings.SERVICE
            default = "needed" if info.is_required() else "the service's name" if own else f"`{info.default}`"
            rows.setdefault((name.upper(), default, info.description or ""), []).append(settings.SERVICE)
    lines = [
        "# Settings of the reference's services\n",
        "Each is an environment variable; one that is wrong or missing ends the service with status 2 and its name.\n",
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


def _model(model: type[BaseModel]) -> str:
    meanings = _meanings(model)
    more, rule = (" meaning |", "---|") if meanings else ("", "")
    lines = [
        f"## {model.__name__}\n",
        inspect.getdoc(model) or "",
        "",
        f"| field | default |{more}",
        f"|---|---|{rule}",
    ]
    for name, info in model.model_fields.items():
        default = "needed" if info.is_required() else f"`{info.get_default(call_default_factory=True)!r}`"
        meaning = f" {meanings.get(name, '')} |" if meanings else ""
        lines.append(f"| `{info.alias or name}` | {default} |{meaning}")
    return "\n".join(lines) + "\n"


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Field -> the docstring below it."""
    (definition,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - a model is a class
    return {
        field.target.id: " ".join(said.value.value.split()).replace("``", "`")
        for field, said in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant) and isinstance(said.value.value, str)
    }


def _field(name: str, info: Any) -> str:  # noqa: ANN401 - pydantic's FieldInfo
    return f"`{info.alias or name}`" + ("" if info.is_required() else f" (`{info.default!r}`)")


def main() -> None:
    """Write every page."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
