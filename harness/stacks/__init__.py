"""Where a system runs: one package and one row of the table per stack."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.addresses import Addresses
    from harness.stack import Stack
    from harness.system import System

TABLE: Final[Mapping[str, str]] = {
    "docker": "harness.stacks.docker.stack:DockerStack",
    "external": "harness.stacks.external.stack:ExternalStack",
    "native": "harness.stacks.native.stack:NativeStack",
}
"""Stack name -> ``module:class``, for every stack that a command may name."""

ADOPTED: Final = "harness.stacks.adopted.stack:AdoptedStack"
"""The stack of ``oneffect.adopt``, which only code can ask for."""


def make_stack(
    name: str, system: System, folder: Path, *, working_directory: Path, addresses: Path | None = None
) -> Stack:
    """Build the stack for a system without starting it; logs go to ``folder``.

    ``addresses`` is the external stack's addresses file. Raises PlanRefused if the stack cannot run the system.
    """
    module, _, attribute = TABLE[name].partition(":")
    kind = getattr(import_module(module), attribute)
    stack: Stack = (
        kind(system, addresses)
        if addresses is not None
        else kind(system, folder, working_directory=working_directory)
    )
    return stack


def make_adopted(system: System, given: Addresses, folder: Path) -> Stack:
    """Build the stack around a test's own broker and stores, without starting it; logs go to ``folder``."""
    module, _, attribute = ADOPTED.partition(":")
    stack: Stack = getattr(import_module(module), attribute)(system, given, folder)
    return stack
