"""Where a system runs. One stack, one module or folder, one row."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.stack import Stack
    from harness.system import System

TABLE: Final[Mapping[str, str]] = {
    "docker": "harness.stacks.docker.stack:DockerStack",
    "external": "harness.stacks.external.stack:ExternalStack",
    "native": "harness.stacks.native.stack:NativeStack",
}
"""Stack's name -> where its class is."""


def make_stack(
    name: str, system: System, folder: Path, *, working_directory: Path, addresses: Path | None = None
) -> Stack:
    """A stack for one system, not started; logs go to ``folder``. PlanRefused if the system needs what it has not.

    ``addresses``: where the external one is.
    """
    module, _, attribute = TABLE[name].partition(":")
    kind = getattr(import_module(module), attribute)
    made: Stack = (
        kind(system, addresses)
        if addresses is not None
        else kind(system, folder, working_directory=working_directory)
    )
    return made
