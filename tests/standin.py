"""What a stand-in derives from: to the type checker it passes for whatever it stands in for."""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    StandIn: TypeAlias = Any
else:
    StandIn = object
