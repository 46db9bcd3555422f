"""tap.error: one request is answered with an error of its protocol."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import BeforeValidator

from harness.errors import PlanRefused, nearest
from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.message import acted, held_of
from harness.stack import Tapping
from harness.taps import TABLE, parser_type, protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from harness.system import System

_MANY: Final = 12
"""Most errors of a protocol that a message lists."""


class TapError(Fault):
    """Answers one request with an error; at its reply, after it was executed, with one that may be given then."""

    name = "tap.error"
    summary: ClassVar[str] = (
        "A request is answered with an error in place of the dependency's own reply; at a reply, it was executed."
    )
    bites: ClassVar[str] = "The error took the place of the reply."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Tapping,)
    heals = False
    at_message: ClassVar[bool] = True

    error: Annotated[str, BeforeValidator(str, json_schema_input_type=str | int)]
    """The error: ``LOADING``, ``READONLY`` or ``OOM`` of Redis; the status 500, 502, 503 or 429 of HTTP; the SQLSTATE 40001 or
    40P01 of Postgres; of Kafka's any by its name, for example ``NOT_COORDINATOR``, but for those by which a client gives up for
    good, such as ``MESSAGE_TOO_LARGE``. At a reply, none that says that the request was not executed."""

    def check(self, on: str, system: System) -> None:
        """The error must be one of the link's protocol."""
        spoken = protocol(system, on.partition("->")[2])
        known = parser_type(spoken).errors if spoken in TABLE else {}
        if self.error not in known:
            raise PlanRefused(
                f"error: {on} speaks {spoken}, and a tap knows no error {self.error} of it{nearest(self.error, known)}; "
                f"known: {_listed(known)}"
            )

        if self.error in parser_type(spoken).final:
            raise PlanRefused(
                f"tap.error: {self.error} says for good what is not so, and a right client would give up what nothing is wrong "
                "with; write an error of a dependency in trouble, or make it true there"
            )

    def check_side(self, side: Literal["request", "reply"], on: str, system: System) -> None:
        """The error must not deny what has happened: a system that believes it is right to do it again."""
        parser = parser_type(protocol(system, on.partition("->")[2]))
        if side == "reply" and self.error not in parser.after:
            raise PlanRefused(
                f"tap.error: {self.error} says that the request was not executed, and at its reply it was; write "
                "`when: {request: …}`, or tap.lose_reply in its place"
                + (f", or one of {', '.join(sorted(parser.after))}" if parser.after else "")
            )
        if side == "request" and self.error in parser.only_after:
            raise PlanRefused(
                f"tap.error: {self.error} says that the request was executed, and at a request it never is; write "
                "`when: {reply: …}`"
            )

    def check_commands(self, spoken: str, commands: Collection[str]) -> None:
        """A tap must be able to answer one of them."""
        if not any(parser_type(spoken).refusable(command) for command in commands):
            raise PlanRefused(f"tap.error: a tap cannot answer {' or '.join(commands)} with an error")

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:  # noqa: ARG002 - the message's link
        """The error is on its way once the scope is entered."""
        held = held_of(context)
        held.refuse(self.error)
        yield acted(held, f"was answered with {self.error}")


def _listed(known: Collection[str]) -> str:
    if len(known) > _MANY:
        return f"{len(known)}, for example {next(iter(known))}"
    return ", ".join(known) or "none"
