"""The message at which a fault acts: a ``when:`` of the scenario, with its links resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import PlanRefused, SystemLacks, nearest
from harness.faults.targets import by_role, resolve
from harness.taps import TABLE, parser_type, protocol
from harness.taps.trigger import Pattern, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from harness.faults.base import Fault
    from harness.scenario import FaultLine, When
    from harness.system import System
    from harness.taps.message import Side


@dataclass(frozen=True, slots=True)
class Condition:
    """The ``nth`` message, or each ``every``-th, on ``links`` that one of ``patterns`` matches."""

    side: Literal["request", "reply"]
    patterns: tuple[str, ...]
    links: tuple[str, ...]
    nth: int = 1
    every: int | None = None
    per_key: int | None = None
    after: int = 0
    """Uploads that must begin before the count starts."""
    follows: int | None = None
    """The row whose event the messages must be about."""

    @property
    def said(self) -> str:
        """The condition in words."""
        count = f"each {self.every}." if self.every is not None else f"number {self.nth}"
        turn = f", each number {self.per_key} with its key" if self.per_key is not None else ""
        after = f", after {self.after} uploads" if self.after else ""
        event = f", for the event of row {self.follows}" if self.follows is not None else ""
        what = " or ".join(map(repr, self.patterns))
        return f"{count} of {self.side} {what} on {', '.join(self.links)}{turn}{after}{event}"

    def unmet(self, counted: int) -> str:
        """Say that it was not met, although so many messages matched."""
        return f"{counted} messages matched, and it acts at {self.said}"

    def trigger(self) -> Trigger:
        """Return a trigger that counts from now on."""
        return Trigger(
            side=self.side,
            patterns=self.patterns,
            links=self.links,
            nth=self.nth,
            every=self.every,
            per_key=self.per_key,
            follows=self.follows is not None,
        )

    def document(self) -> dict[str, Any]:
        """The form that the plan's document holds."""
        return {
            self.side: list(self.patterns),
            "on": list(self.links),
            **({"nth": self.nth} if self.every is None else {"every": self.every}),
            **({"per_key": self.per_key} if self.per_key is not None else {}),
            **({"after": self.after} if self.after else {}),
            **({"follows": self.follows} if self.follows is not None else {}),
        }


def condition(fault: Fault, target: str, line: FaultLine, system: System) -> Condition | None:
    """Resolve a row's ``when:`` for one target; PlanRefused if it cannot be, or the fault needs one and there is none."""
    when = line.when
    if when is None:
        if fault.at_message:
            raise PlanRefused(f"{fault.name} acts on a message, so say on which: `when: {{request: …, nth: 1}}`")
        return None
    if fault.at_message and line.at is not None:
        raise PlanRefused(
            f"{fault.name} acts on a message, never by the clock; leave `at` out, and write `after` in `when`"
        )
    if fault.at_message and when.on is not None:
        raise PlanRefused(
            f"{fault.name} acts on its own link; write the link as the fault's `on`, and no `on` in `when`"
        )
    if when.on is None and fault.target != "link":
        raise PlanRefused(
            f"when: say on which link the message is: `on: SERVICE->DEPENDENCY`, since {target} is none"
        )
    side, _ = when.message
    fault.check_side(side, target, system)
    own = for_target(line, target, system).when or when
    return _resolved("when", own, target, system, side=fault.acts_at or side, check=fault.check_commands)


def own_link(link: str, on: str, target: str, system: System) -> str:
    """Return ``link``, or the own link of one target of ``on`` if ``link`` starts with ``on``.

    Raises SystemLacks if ``link`` has a role and this target has no such link.
    """
    start, arrow, end = link.partition("->")
    if not arrow or start != on or start in {target, "*"}:
        return link
    try:
        links = resolve("link", link, system)
    except SystemLacks as lacks:
        raise SystemLacks(f"it acts at a message on {link}: {lacks}") from lacks
    own = [one for one in links if target in {one.partition("->")[0], one.partition("#")[0]}]
    if not own and by_role(link, system):
        raise SystemLacks(f"it acts at a message on {link}: {target} has no link to {end}")
    return f"{target}->{end}"


def for_target(line: FaultLine, target: str, system: System) -> FaultLine:
    """Return a row for one of its targets, acting at that target's own messages if it did so before.

    Raises SystemLacks as ``own_link`` does.
    """
    when = line.when
    if when is not None and when.on is not None and line.on is not None:
        when = when.model_copy(update={"on": own_link(when.on, line.on, target, system)})
    return line.model_copy(update={"on": target, "when": when})


def awaited(fault: Fault, target: str, system: System) -> Condition | None:
    """Resolve the further message that a fault waits for; raises PlanRefused if that fails."""
    when = fault.awaits
    if when is None:
        return None
    if when.follows is not None:
        raise PlanRefused("until: it waits for any message that matches; leave `follows` out")
    side, _ = when.message
    return _resolved("until", when, target, system, side=side, check=lambda _spoken, _commands: None)


def _resolved(  # noqa: PLR0913 - what a condition is resolved by
    name: str,
    when: When,
    target: str,
    system: System,
    *,
    side: Side,
    check: Callable[[str, Collection[str]], None],
) -> Condition:
    links = [target] if when.on is None else resolve("link", when.on, system)
    _, patterns = when.message
    for link in links:
        spoken = protocol(system, link.partition("->")[2])
        if spoken not in TABLE:
            raise PlanRefused(
                f"{name}: no tap understands {spoken}, which {link} speaks; taps understand {', '.join(sorted(TABLE))}"
                + ("; if it speaks one of these, say so: `speaks`" if spoken == "tcp" else "")
            )
    for spoken in sorted({protocol(system, link.partition("->")[2]) for link in links}):
        for commands in _commands(name, spoken, patterns):
            check(spoken, commands)
    return Condition(side, patterns, tuple(links), when.nth, when.every, when.per_key, when.after or 0, when.follows)


def _commands(name: str, spoken: str, patterns: Sequence[str]) -> Iterator[Collection[str]]:
    """Yield the commands that each pattern names; where a protocol's are not known, a name without ``*`` is a command.

    Raises PlanRefused if a pattern names none.
    """
    known = parser_type(spoken).commands
    for pattern in patterns:
        if not known:
            if "*" not in (command := pattern.strip().partition(" ")[0]):
                yield [command.upper()]
            continue
        if not (named := Pattern(pattern).named(known)):
            command = pattern.strip().partition(" ")[0]
            raise PlanRefused(
                f"{name}: {spoken} has no request {command}{nearest(command, known)}, so none will match"
            )
        yield named
