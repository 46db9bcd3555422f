"""``oneffect validate``: reports everything that is wrong with files, and what a run sees with those that are right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pydantic import BaseModel

    from harness.errors import OneffectError

WRONG: Final = 2
"""Exit code if anything is wrong with a file."""


def validate(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE", help="System, scenario and addresses files.")],
    system: Annotated[
        Path | None,
        typer.Option(
            "--system",
            metavar="FILE",
            help="The system of scenarios and addresses files; default: the scenario's own, else the nearest system.yaml.",
        ),
    ] = None,
) -> None:
    """Say everything that is wrong with files: file, line, field, and the nearest name. Nothing is started.

    For a system file without mistakes, it also lists the links that there will be, what counts as an effect, what is
    checked, and what the file as it stands leaves unseen.

    Exit status: 0 nothing is wrong, 2 something is.

    For example:

      oneffect validate system.yaml

      oneffect validate system.yaml scenarios/*.yaml
    """
    from harness.reports.terminal import console
    from harness.reports.untrusted import shown

    failed = False
    printer = console()
    for path in paths:
        said, errors = _examined(path, system)
        for error in errors:
            typer.echo(f"oneffect: {shown(error, lines=True)}", err=True)
        failed = failed or bool(errors)
        for line in said:
            printer.print(line, markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(WRONG)


def _examined(path: Path, given: Path | None) -> tuple[Sequence[str], Sequence[OneffectError]]:
    """Return the report on a file that is right, and the errors of one that is wrong."""
    from harness.addresses import Addresses, problems
    from harness.checkers.judge import checkers
    from harness.errors import OneffectError
    from harness.files import load, wrong
    from harness.files.document import parse
    from harness.load.own_files import check_files
    from harness.plan import find_system, misfits, nearest_system
    from harness.reports.outlook import outlook
    from harness.scenario import Scenario
    from harness.system import System

    try:
        model = _nearest(parse(path).value.keys(), (System, Scenario, Addresses))
        read, errors = wrong(path, model)
        found: list[OneffectError] = list(errors)
        if isinstance(read, System):
            check_files(read, path)
            return [
                f"{path}: a system file, nothing wrong",
                *outlook(read, checkers()),
                f"next: oneffect run --all --system {path}",
            ], []
        if isinstance(read, Scenario):
            system_path = given or find_system(read, path)
            found += misfits(read, path, load(system_path, System), system_path, elsewhere=given is not None)
            return ([] if found else [f"{path}: a scenario, nothing wrong; its system is {system_path}"]), found
        if isinstance(read, Addresses):
            if (around := given or nearest_system(path.resolve().parent)) is None:
                return [f"{path}: an addresses file; give --system FILE to hold it against its system"], []
            found += problems(read, path, load(around, System))
            return ([] if found else [f"{path}: an addresses file, nothing wrong; its system is {around}"]), found
    except OneffectError as error:
        return [], [error]
    return [], found


def _nearest(fields: Collection[str], models: Sequence[type[BaseModel]]) -> type[BaseModel]:
    """Return the model that knows most of a file's fields and misses the fewest required ones."""

    def score(model: type[BaseModel]) -> int:
        known = {info.alias or name for name, info in model.model_fields.items()}
        needed = {info.alias or name for name, info in model.model_fields.items() if info.is_required()}
        return len(known & set(fields)) - len(needed - set(fields))

    return models[0] if "extends" in fields else max(models, key=score)
