"""The target of a Locust process's uploads: the JSON file that ONEFFECT_LOAD names, else the system of ``oneffect up``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.announcement import announced_at
from harness.errors import FileError, UsageError
from harness.history.part import Clock
from harness.system_load import UploadLoad

VARIABLE: Final = "ONEFFECT_LOAD"
"""Environment variable that names the target's file."""


class Target(BaseModel):
    """The front door, and where to record the operations on it.

    ``oneffect load`` writes one; ``.oneffect/up.json`` shares the first three fields.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    """The run's id; every upload's id begins with it."""
    front_door: str
    """The URL to post uploads to."""
    upload: UploadLoad
    parts: Path | None = None
    """Folder of the parts of the history, relative to the target's file; None: ``parts/RUN`` beside it."""
    seed: int = 0
    batch: Annotated[int, Field(ge=1)] = 1
    """Uploads in a batch, if the front door takes batches."""
    owner: int | None = None
    """Process id of the harness: once it is gone, its load on the same machine ends."""
    machine: str = ""
    """The machine on which ``owner`` is valid: elsewhere nothing looks for that process."""


def machine() -> str:
    """Identify this machine or container; a container shares its machine's boot id, but not its process ids."""
    names = [Clock.now().boot]
    with suppress(OSError):
        names.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(names)


def find_target(environ: Mapping[str, str], here: Path) -> Target:
    """Return ``environ``'s target, else that of the system up at or above ``here``; UsageError or FileError if none."""
    if named := environ.get(VARIABLE):
        return _read(Path(named), "name another file in ONEFFECT_LOAD")
    if (announcement := announced_at(here)) is not None:
        return _read(announcement, "start it again: oneffect up")
    raise UsageError(f"no target to upload to: run `oneffect up` here, or name a target's file in {VARIABLE}")


def _publishes(content: bytes) -> bool:
    """Whether a target file is that of a system without an HTTP front door."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and {"front_door", "upload"} <= document.keys() and document["upload"] is None


def _read(path: Path, mend: str) -> Target:
    try:
        content = path.read_bytes()
        if _publishes(content):
            raise UsageError(
                f"{path}: this system's load is not uploaded over HTTP (load.upload), so Locust's users have no front door; "
                "use `oneffect run`, or write `load: {upload: …}`"
            )
        target = Target.model_validate_json(content)
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}; {mend}", path=str(path)) from error
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise FileError(f"{problem['msg']}; {mend}", path=str(path), field=field) from error
    if not target.upload.plain:
        raise UsageError(
            f"{path}: load.upload: Locust's users send generated documents in multipart forms by POST, with the upload's id "
            "in a header; this front door takes something else, so use `oneffect run`"
        )
    beside = path.absolute().parent
    return target.model_copy(update={"parts": beside / (target.parts or Path("parts", target.run))})
