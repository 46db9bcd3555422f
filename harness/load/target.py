"""Where the uploads of a Locust process go: from a JSON file that ONEFFECT_LOAD names, else from ``oneffect up``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import FileError, UsageError
from harness.history.part import Clock
from harness.standing import told_at
from harness.system import UploadLoad

VARIABLE: Final = "ONEFFECT_LOAD"
"""Names a target's file."""


class Target(BaseModel):
    """The front door, and where what was asked of it is written down.

    ``oneffect load`` writes one; ``.oneffect/up.json`` has the same first three fields and further ones.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    """Every upload's id begins with it."""
    front_door: str
    """``http://…``, where uploads are posted to."""
    upload: UploadLoad
    parts: Path | None = None
    """The folder of the parts of the history, from the file that says so; None: beside it."""
    seed: int = 0
    batch: Annotated[int, Field(ge=1)] = 1
    """Uploads that make a batch, where the front door is told of batches."""
    owner: int | None = None
    """Process id of a harness: when it is gone, so is its load on its own machine."""
    machine: str = ""
    """Where that id means something: a copy of this file elsewhere looks for nobody."""


def machine() -> str:
    """Names this machine, or this container on it: one of the same boot, yet process ids mean others there."""
    names = [Clock.now().boot]
    with suppress(OSError):
        names.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(names)


def find_target(environ: Mapping[str, str], here: Path) -> Target:
    """The target that ``environ`` names, else what is up in ``here`` or above; UsageError or FileError without one."""
    if named := environ.get(VARIABLE):
        return _read(Path(named), "name another file in ONEFFECT_LOAD")
    if (told := told_at(here)) is not None:
        return _read(told, "start it again: oneffect up")
    raise UsageError(
        f"nothing says where to upload to: run `oneffect up` here, or name a target's file in {VARIABLE}"
    )


def _read(path: Path, mend: str) -> Target:
    try:
        target = Target.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}; {mend}", path=str(path)) from error
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise FileError(f"{problem['msg']}; {mend}", path=str(path), field=field) from error
    beside = path.absolute().parent
    return target.model_copy(update={"parts": beside / (target.parts or Path("parts", target.run))})
