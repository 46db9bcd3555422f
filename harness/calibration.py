"""The file beside a system file that says what ``oneffect calibrate`` planted in that system, and whether it was seen."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import orjson
import rfc8785
from pydantic import ValidationError

from harness.errors import FileError
from harness.files import load
from harness.model import Model
from harness.system import System

Answer = Literal["seen", "unseen", "not_tried"]


class Told(Model):
    """The result of one control."""

    control: str
    """What was planted, for example ``duplicate``."""
    of: str
    """A service with effects, or ``blobs``."""
    answer: Answer
    """``unseen``: it was planted, and a run with it would not be called wrong; ``not_tried``: it could not be planted."""
    said: str
    """How it was planted and what was found, or why it was not planted."""
    part: str
    """SHA-256 of the part of the system file that it depends on."""


class Calibration(Model):
    """A whole calibration file."""

    oneffect_calibration: Literal[1]
    """The version of this format: 1."""
    oneffect: str
    """The version of oneffect that made it."""
    system: str
    """SHA-256 of the system, with all that its file extends."""
    run: str
    """The run directory that has the histories of the controls."""
    seed: int
    told: list[Told]


def beside(system_path: Path) -> Path:
    """Return where the calibration of a system file is: ``system.yaml`` has ``system.calibration.json``."""
    return system_path.with_suffix(".calibration.json")


def made(system: System, *, run: str, seed: int, told: list[Told]) -> Calibration:
    """Make the calibration, by this version, of a system as loaded from its file."""
    return Calibration(
        oneffect_calibration=1, oneffect=version("oneffect"), system=_whole(system), run=run, seed=seed, told=told
    )


def write(calibration: Calibration, system_path: Path) -> Path:
    """Write a calibration beside its system file; return the path. FileError if that cannot be."""
    path = beside(system_path)
    try:
        path.write_bytes(
            orjson.dumps(calibration.model_dump(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )
    except OSError as error:
        raise FileError(f"cannot be written: {error.strerror}", path=str(path)) from error
    return path


def in_plan(system_path: Path) -> dict[str, Any]:
    """Return the calibration's fields for a plan, and so for a history; empty if all was seen and nothing is stale.

    A control stays ``unseen`` until its part of the system file changes. ``stale`` says why the rest of a calibration,
    of another system file or by another version, no longer counts. FileError if the file is not a calibration.
    """
    path = beside(system_path)
    if not path.is_file():
        return {}
    # As in its own file, without the values that an addresses file replaces.
    system = load(system_path, System)
    try:
        calibration = Calibration.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise FileError(
            "is not a calibration that this oneffect can read; make it again (`oneffect calibrate`), or delete it",
            path=str(path),
        ) from error
    unseen = [
        {"control": one.control, "of": one.of, "said": one.said}
        for one in calibration.told
        if one.answer == "unseen" and one.part == part(system, one.control, one.of)
    ]
    stale = None
    if calibration.system != _whole(system):
        stale = "the system file has changed since"
    elif calibration.oneffect != version("oneffect"):
        stale = f"oneffect {calibration.oneffect} made it"
    if not unseen and stale is None:
        return {}
    return {"calibration": {"file": path.name, "unseen": unseen, "stale": stale}}


def part(system: System, control: str, of: str) -> str:
    """Return the digest of what a control depends on in the system file."""
    about: dict[str, Any] = {"events": system.events.model_dump(mode="json")}
    if of in system.effects:
        about["effects"] = system.effects[of].model_dump(mode="json")
    if of == "blobs" and system.blobs is not None:
        about["blobs"] = system.blobs.model_dump(mode="json")
    if control == "dead_letter" and system.dead_letters is not None:
        about["dead_letters"] = system.dead_letters.model_dump(mode="json")
    return _digest(about)


def _whole(system: System) -> str:
    return _digest(system.model_dump(mode="json"))


def _digest(value: Any) -> str:  # noqa: ANN401 - JSON values
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()
