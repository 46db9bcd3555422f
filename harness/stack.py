"""Protocols that stacks implement and faults, observers and the run use. No implementation lives here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager as Scope

Fields = Mapping[str, object]
State = Literal["absent", "starting", "ready", "paused", "exited"]
MARK = "oneffect-fault"
"""The header, its value a fault's name, on what that fault publishes: for people. A system may forward it, so nothing is
told by it."""

TopicPartition = tuple[str, int]
"""The topic by the system file's name, and the partition."""

_LONGEST_DATABASE = 63
"""Characters of a name that Postgres keeps; it drops the rest without a word."""


@dataclass(frozen=True, slots=True)
class RunNames:
    """What carries a run's id, so that runs on one warm stack never meet.

    ``topic("essays")`` is the broker's name of a topic, ``group("essay_lifecycle")`` a service's consumer group.
    """

    run: str

    @property
    def shared(self) -> bool:
        """Whether other runs, and other people, use the same names: what was there before is then left aside."""
        return False

    def topic(self, name: str) -> str:
        """The broker's name of a topic of the system file."""
        return f"{self.run}.{name}"

    def plain(self, topic: str) -> str | None:
        """The system file's name of a broker's topic; None: it is not of this run."""
        prefix = self.topic("")
        return topic.removeprefix(prefix) if topic.startswith(prefix) else None

    def group(self, service: str) -> str:
        """The consumer group of a service."""
        return f"{service}-{self.run}"

    def database(self, service: str) -> str:
        """The database of a service: small letters, digits and _, at most 63 of them."""
        plain = f"{self.run}_{service}"
        name = re.sub("[^a-z0-9_]", "_", plain.lower())
        if name == plain and len(name) <= _LONGEST_DATABASE:
            return name
        # What was changed or cut off might have been all that told two services apart.
        return f"{name[: _LONGEST_DATABASE - 9]}_{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Probe:
    """The harness's own request through a link."""

    answered: bool
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The service's own open connections to one link's proxy; the harness's are left out.

    Keys are the client's ports; values are bytes the proxy received from the service, and bytes sent to it.
    """

    connections: Mapping[int, tuple[int, int]]
    unanswered: Mapping[int, float] = field(default_factory=dict)
    """Seconds since the service last sent something, by client's port, where nothing has gone back to it since."""
    accepted: int | None = None
    """Connections of the service's that the proxy has accepted since the services started; None where nobody counts."""


@runtime_checkable
class ServiceHandle(Protocol):
    """One replica of a service, or a dependency."""

    name: str  # "essay_lifecycle#2", "redis"

    @property
    def pid(self) -> int | None:
        """Process id while it lives."""
        ...

    @property
    def ended_on_purpose(self) -> bool:
        """Whether it was killed or stopped while it ran, and has not been started since; true before its end is seen."""
        ...

    async def state(self) -> State:
        """What it is doing now."""
        ...

    async def ready(self, timeout: float) -> None:
        """Wait until it answers past the proxies; StackError with the tail of its log if it does not."""
        ...

    def log_tail(self, lines: int = 20) -> str:
        """The last lines it wrote."""
        ...


@runtime_checkable
class Killable(Protocol):
    """Can be ended at once (SIGKILL) and started again; ``kill`` returns the exit status, -9."""

    async def kill(self) -> int: ...
    async def start(self) -> None: ...


@runtime_checkable
class Stoppable(Protocol):
    """Can be asked to leave (SIGTERM) and started again; ``stop`` returns the exit status."""

    async def stop(self) -> int: ...
    async def start(self) -> None: ...


@runtime_checkable
class Pausable(Protocol):
    """Can be frozen (SIGSTOP) and thawed (SIGCONT)."""

    async def pause(self) -> None: ...
    async def resume(self) -> None: ...


@runtime_checkable
class Forgetful(Protocol):
    """A store whose files can be taken away while it is down."""

    async def forget(self) -> None: ...


@runtime_checkable
class Link(Protocol):
    """The connection from one replica to one dependency, always through its own proxy."""

    name: str  # "essay_lifecycle#2->redis"
    service: str  # "essay_lifecycle#2"
    dependency: str  # "redis"
    address: str  # host:port of its proxy
    api: str  # host:port of the API of the Toxiproxy that it is in

    def disturb(
        self, toxic: str, *, stream: Literal["upstream", "downstream"] = "downstream", **attributes: int
    ) -> Scope[None]:
        """A toxic on this link while the scope lasts; attributes by Toxiproxy's names and units."""
        ...

    def refuse(self) -> Scope[None]:
        """The proxy is off while the scope lasts: open connections end, new ones are refused."""
        ...

    async def toxics(self) -> Collection[str]:
        """Types of the toxics that the proxy says are on it now; ``down`` if it says that it is off."""
        ...

    async def probe(self, timeout: float, size: int = 0) -> Probe:
        """A request of the harness's own through the proxy; never raises for what the link does.

        ``size``: ask until the answers make up so many bytes, so that a throttle can be seen.
        """
        ...

    async def traffic(self) -> Traffic:
        """The service's own connections now."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """A stack that can leave the data of services and stores behind, in the folder ``data`` of the run directory."""

    keeps: bool
    """Whether it does; said before the services start. What nobody asked for outlives no run."""

    @property
    def unkept(self) -> Sequence[str]:
        """What is not left, and why; complete once the stack has stopped."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Broker(Protocol):
    """The harness's own client of the broker, past the proxies. Topics by the system file's names."""

    async def committed(self, service: str) -> Mapping[TopicPartition, int]:
        """Committed offsets of a service's group: the next offset it would read; absent: none."""
        ...

    async def assigned(self, service: str) -> Mapping[TopicPartition, str] | None:
        """The same; None if it cannot be seen what the service is given."""
        ...

    async def ends(self, topics: Mapping[str, int]) -> Mapping[TopicPartition, int]:
        """One past the last visible offset of each partition of ``topics`` (name -> partitions)."""
        ...

    async def owners(self, service: str) -> Mapping[TopicPartition, str]:
        """Which member of a service's group each partition is given to now, by the broker's id of it."""
        ...

    async def set_offsets(self, service: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets for a group without members; FaultError while a member lives."""
        ...

    async def publish(self, record: Record, *, headers: Sequence[tuple[str, bytes]] = ()) -> Record:
        """Publish ``record`` (its offset is ignored); the answer carries the new offset."""
        ...

    async def tail(self, topic: str, count: int) -> Sequence[Record]:
        """The last ``count`` visible records of a topic over all its partitions, newest last."""
        ...


class Redis(Protocol):
    """The harness's own client of the store, past the proxies."""

    async def size(self) -> int:
        """DBSIZE."""
        ...

    async def info(self, section: str) -> Fields:
        """INFO of a section."""
        ...


class Stack(Protocol):
    """Where the system runs. Brokers and stores outlive a run of a warm stack; services do not."""

    name: str

    @property
    def services(self) -> Mapping[str, ServiceHandle]:
        """By replica, "essay_lifecycle#1"; empty until started."""
        ...

    @property
    def dependencies(self) -> Mapping[str, ServiceHandle]:
        """By name, "redis", "kafka"; empty until started."""
        ...

    @property
    def links(self) -> Mapping[str, Link]:
        """By name, "essay_lifecycle#1->redis"; empty until started."""
        ...

    async def start(self) -> None:
        """Start brokers, stores and proxies, and wait until each answers."""
        ...

    async def stop(self) -> None:
        """End everything this stack started, whatever happened before."""
        ...

    def names(self, run: str) -> RunNames:
        """What a run's topics, groups and databases are called here."""
        ...

    async def start_services(self, names: RunNames, folder: Path, variant: str | None) -> None:
        """Start every service for one run and wait until each is ready; logs go to ``folder``."""
        ...

    async def stop_services(self) -> None:
        """End the run's services and remove their data."""
        ...

    def data(self, service: str) -> Path:
        """The folder that a service's replicas share in this run."""
        ...

    def turn(self, name: str) -> Scope[object]:
        """Held by the one who may stop and start a replica or a dependency; whoever else wants to waits."""
        ...

    def direct(self, name: str) -> str:
        """host:port of a dependency or replica that no fault touches."""
        ...

    def lacks(self, need: type, on: str | None = None) -> str | None:
        """Why this stack cannot offer a capability, or None; asked by the plan before anything starts.

        ``on``: a fault's target, where the answer may depend on it.
        """
        ...

    def versions(self) -> Fields:
        """Versions of the parts, for the history's header."""
        ...
