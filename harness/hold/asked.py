"""Plans a fault that is requested while a system is up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from harness.errors import PlanRefused
from harness.faults.plan import plan_line
from harness.plan import refuse_fault
from harness.scenario import FaultLine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.faults.base import PlannedFault
    from harness.stack import Stack
    from harness.system import System

_OWN: Final = ("fault", "on", "for", "at")


def plan_asked(  # noqa: PLR0913 - what a row of a scenario says, and where
    fault: object,
    on: object,
    lasts: object,
    parameters: Mapping[str, object],
    *,
    system: System,
    stack: Stack,
    seed: int,
    after: int,
) -> list[PlannedFault]:
    """Plan the fault like a row of a scenario, numbered from ``after`` + 1; PlanRefused says what is wrong.

    It acts at once, or at the message of its ``when``.
    """
    # A fault that does not heal may have a ``for`` of its own.
    if taken := [name for name in _OWN if name in parameters and (name != "for" or lasts is not None)]:
        raise PlanRefused(f"{taken[0]} is not a parameter of a fault; see: oneffect inject --help")
    at = {} if parameters.get("when") is not None else {"at": "0%"}
    row = {**parameters, "fault": fault, "on": on, **at, **({"for": lasts} if lasts is not None else {})}
    try:
        line = FaultLine.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first.get("ctx", {}).get("error") or first["msg"]
        raise PlanRefused(f"{'.'.join(map(str, first['loc']))}: {reason}") from error
    planned = plan_line(line, system, seed, after=after)
    for each in planned:
        refuse_fault(each, stack)
    return planned
