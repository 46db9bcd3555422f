"""Protocols that stacks implement and faults, observers and the run use. No implementation lives here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager as Scope

Fields = Mapping[str, object]
State = Literal["absent", "starting", "ready", "paused", "exited"]
MARK = "oneffect-fault"
"""Header on every record that a fault publishes, with the fault's name; for people only. A system may forward it, so it
proves nothing about who published a record."""

TopicPartition = tuple[str, int]
"""The topic, as the system file names it, and the partition."""

_LONGEST_DATABASE = 63
"""Longest name that Postgres keeps; it silently truncates longer ones."""


@dataclass(frozen=True, slots=True)
class RunNames:
    """The names that carry a run's id, so that runs on one warm stack never share anything.

    For example, ``topic("essays")`` is the broker's name for a topic, ``group("essay_lifecycle")`` a consumer group.
    """

    run: str

    @property
    def shared(self) -> bool:
        """Whether other runs and other users share these names; if so, a run excludes what existed before it."""
        return False

    @property
    def begins_later(self) -> bool:
        """Whether the consumers start only once the run has begun, and may then read whatever they have not passed."""
        return False

    def topic(self, name: str) -> str:
        """Return the broker's name for a topic of the system file."""
        return f"{self.run}.{name}"

    def plain(self, topic: str) -> str | None:
        """Return the system file's name for a broker's topic, or None if the topic is not this run's."""
        prefix = self.topic("")
        return topic.removeprefix(prefix) if topic.startswith(prefix) else None

    def group(self, service: str) -> str:
        """Return the consumer group of a service."""
        return f"{service}-{self.run}"

    def service(self, group: str) -> str | None:
        """Return the service of a consumer group, or None if the group is not this run's."""
        suffix = self.group("")
        return group.removesuffix(suffix) if group.endswith(suffix) else None

    def database(self, service: str) -> str:
        """Return the database of a service: lower-case letters, digits and _, at most 63 of them."""
        plain = f"{self.run}_{service}"
        name = re.sub("[^a-z0-9_]", "_", plain.lower())
        if name == plain and len(name) <= _LONGEST_DATABASE:
            return name
        # Without the digest, replacing or cutting characters might give two services the same name.
        return f"{name[: _LONGEST_DATABASE - 9]}_{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Probe:
    """The harness's own request through a link."""

    answered: bool
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The service's open connections to one link's proxy, without the harness's own.

    ``connections`` maps each client port to the bytes that the proxy received from the service and sent to it.
    """

    connections: Mapping[int, tuple[int, int]]
    unanswered: Mapping[int, float] = field(default_factory=dict)
    """Client port -> seconds since the service last sent something, if nothing was sent back since."""
    accepted: int | None = None
    """The service's connections that the proxy accepted since the services started; None if not counted."""


@runtime_checkable
class ServiceHandle(Protocol):
    """One replica of a service, or a dependency."""

    name: str  # "essay_lifecycle#2", "redis"

    @property
    def pid(self) -> int | None:
        """Process id, or None if it is not running or not known."""

    @property
    def ended_on_purpose(self) -> bool:
        """Whether the harness killed or stopped it and has not restarted it; already true while it is ending."""

    async def state(self) -> State:
        """Return its current state."""

    async def ready(self, timeout: float) -> None:
        """Wait until it answers, bypassing the proxies; raises StackError with the tail of its log if it does not."""

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of its log."""


@runtime_checkable
class Killable(Protocol):
    """Can be killed (SIGKILL) and restarted; ``kill`` returns the exit status, -9."""

    async def kill(self) -> int: ...
    async def start(self) -> None: ...


@runtime_checkable
class Stoppable(Protocol):
    """Can be asked to exit (SIGTERM) and restarted; ``stop`` returns the exit status."""

    async def stop(self) -> int: ...
    async def start(self) -> None: ...


@runtime_checkable
class Pausable(Protocol):
    """Can be paused (SIGSTOP) and resumed (SIGCONT)."""

    async def pause(self) -> None: ...
    async def resume(self) -> None: ...


@runtime_checkable
class Forgetful(Protocol):
    """A store whose files can be removed while it is down."""

    async def forget(self) -> None: ...


@runtime_checkable
class Link(Protocol):
    """The connection from one replica to one dependency, always through its own proxy."""

    name: str  # "essay_lifecycle#2->redis"
    service: str  # "essay_lifecycle#2"
    dependency: str  # "redis"
    address: str  # host:port of its proxy
    api: str  # host:port of its Toxiproxy's API
    proxy: str  # its name there

    def disturb(
        self, toxic: str, *, stream: Literal["upstream", "downstream"] = "downstream", **attributes: int
    ) -> Scope[None]:
        """Put a toxic on this link while the scope lasts; attributes have Toxiproxy's names and units."""

    def refuse(self) -> Scope[None]:
        """Disable the proxy while the scope lasts: open connections end, new ones are refused."""

    async def toxics(self) -> Collection[str]:
        """Return the types of the toxics that Toxiproxy reports on the proxy, and ``down`` if it is disabled."""

    async def probe(self, timeout: float, size: int = 0) -> Probe:
        """Send the harness's own request through the proxy; never raises for what the link does.

        ``size`` repeats it until that many bytes of answers arrived, so that a throttle shows.
        """

    async def traffic(self) -> Traffic:
        """Return the service's connections now."""


@dataclass(frozen=True, slots=True)
class Twice:
    """The result of a request that a dependency got twice."""

    reply: str
    """The kind of the second reply: ``OK``, ``nil``, ``503``."""
    appended: Sequence[tuple[str, int, int]] = ()
    """Topic, partition and offset of the records that the second one appended."""


class Held(Protocol):
    """A message that a tap holds: nothing moves on its connection until one of the last six methods is called."""

    @property
    def link(self) -> str:
        """The link on which it is held."""

    @property
    def side(self) -> Literal["request", "reply"]:
        """Whether the dependency has not got it yet, or has answered and the service has not seen the answer."""

    @property
    def what(self) -> str:
        """The message in words, without values: ``the reply to SET claim:7``."""

    @property
    def command(self) -> str:
        """The command of its request: ``SET``."""

    @property
    def key(self) -> str:
        """What its request is about: ``claim:7``."""

    @property
    def commits(self) -> Sequence[tuple[str, int, int]]:
        """The positions that its request commits: topic, partition and the next offset to read."""

    @property
    def waiting(self) -> bool:
        """Whether the service still waits: it has not ended the connection."""

    def release(self) -> None:
        """Let it pass. Only the first call of these six methods counts."""

    def lose(self, *, close: bool) -> None:
        """Drop it, and all that follows on its connection; close the connection, or leave it silent."""

    async def cut(self, after: int) -> int | None:
        """Let ``after`` bytes of it pass, or all if it has fewer, then break its connection.

        Returns how many bytes had passed by then; None if the connection ended before.
        """

    async def duplicate(self) -> Twice | None:
        """Let it pass, send it once more, and keep the second reply from the service.

        Returns the result; None if the second was not answered. FaultError if this message cannot be sent twice.
        """

    async def corrupt(self, topics: Collection[str], alter: Callable[[bytes], bytes]) -> Record | None:
        """Let it pass with the value of one record on ``topics`` altered; ``alter`` keeps the value's length.

        Returns the record as the service sent it, at the place that the broker gave the altered one; None if nobody can
        say whether it took it. FaultError if no record can be altered.
        """

    def refuse(self, error: str) -> None:
        """Replace the reply by an error of the protocol.

        LookupError if the protocol has no such error, FaultError if a reply to this message cannot carry it.
        """


@dataclass(frozen=True, slots=True)
class Detour:
    """Where a link's tap listens, and what it leads to (host:port)."""

    listen: str
    upstream: str
    routes: Mapping[str, str] | None = None
    """Broker's advertised address -> address that leads there through the link; None if it listens for the link."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Where the tap listens besides -> what that leads to: one for each broker of a cluster."""


@runtime_checkable
class Tapping(Protocol):
    """A stack whose links can lead through taps."""

    def detour(self, link: str) -> Detour:
        """Return where a link's tap belongs."""

    async def lead(self, link: str, to: str | None) -> None:
        """Point a link's proxy at ``to`` (host:port), or past its tap again if None; its connections end."""


@runtime_checkable
class Rerouting(Protocol):
    """A stack with links to brokers that have no listeners for them: clients stay on such a link only through a tap."""

    @property
    def rerouted(self) -> Collection[str]:
        """These links; their taps must stand before the services start."""


@runtime_checkable
class Adopting(Protocol):
    """A stack around code that a test starts, after the run has begun."""

    async def unused(self) -> Collection[str]:
        """Return the links on which the code has never connected."""

    async def used(self, links: Collection[str], within: float) -> None:
        """Wait until the code has connected on each of these links, ``within`` seconds at most."""


@runtime_checkable
class Keeping(Protocol):
    """A stack that can copy the data of services and stores to the folder ``data`` of the run directory."""

    keeps: bool
    """Whether to do so; set it before the services start."""

    @property
    def unkept(self) -> Sequence[str]:
        """What could not be kept, and why; complete once the stack has stopped."""


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
    """The harness's client of the broker, which bypasses the proxies; topics have the system file's names."""

    async def committed(self, service: str) -> Mapping[TopicPartition, int]:
        """Return the committed offsets of a service's group, the next to read; partitions without one are absent."""

    async def assigned(self, service: str) -> Mapping[TopicPartition, str] | None:
        """Return what ``owners`` returns, or None if the broker does not know the assignment."""

    async def ends(self, topics: Mapping[str, int]) -> Mapping[TopicPartition, int]:
        """Return one past the last visible offset of each partition of ``topics`` (name -> partitions)."""

    async def owners(self, service: str) -> Mapping[TopicPartition, str]:
        """Return the member id in a service's group that each partition is assigned to now."""

    async def set_offsets(self, service: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets for a group without members; raises FaultError while it has any."""

    async def publish(self, record: Record, *, headers: Sequence[tuple[str, bytes]] = ()) -> Record:
        """Publish ``record``, ignoring its offset, and return it with the new one."""

    async def records(
        self, begins: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Count the visible records with a value in each partition of ``begins`` from there to before its end.

        Offsets alone do not tell: the markers of transactions, and what was aborted, take some too.
        """

    async def tail(
        self, topic: str, count: int, wanted: Callable[[Record], bool] = lambda _record: True
    ) -> Sequence[Record]:
        """Return the last ``count`` visible records that are ``wanted``, over all partitions of a topic, newest last."""


class Redis(Protocol):
    """The harness's client of the store, which bypasses the proxies."""

    async def size(self) -> int:
        """Return DBSIZE."""

    async def info(self, section: str) -> Fields:
        """Return one section of INFO."""


class Stack(Protocol):
    """Where the system runs. On a warm stack brokers and stores outlive a run; services do not."""

    name: str

    @property
    def services(self) -> Mapping[str, ServiceHandle]:
        """By replica, "essay_lifecycle#1"; empty until started."""

    @property
    def dependencies(self) -> Mapping[str, ServiceHandle]:
        """By name, "redis", "kafka"; empty until started."""

    @property
    def links(self) -> Mapping[str, Link]:
        """By name, "essay_lifecycle#1->redis"; empty until started."""

    async def start(self) -> None:
        """Start brokers, stores and proxies, and wait until each answers."""

    async def stop(self) -> None:
        """End everything that this stack started, whatever happened before."""

    def names(self, run: str) -> RunNames:
        """Return the names of a run's topics, groups and databases on this stack."""

    async def start_services(self, names: RunNames, folder: Path, variant: str | None) -> None:
        """Start every service for one run and wait until each is ready; logs go to ``folder``."""

    async def stop_services(self) -> None:
        """End the run's services and remove their data."""

    def data(self, service: str) -> Path:
        """Return the folder that a service's replicas share in this run."""

    def turn(self, name: str) -> Scope[object]:
        """Return the lock to hold while stopping or starting a replica or a dependency."""

    def direct(self, name: str) -> str:
        """Return the host:port of a dependency or replica, bypassing the proxies, so that no fault touches it."""

    def lacks(self, need: type, on: str | None = None) -> str | None:
        """Return why this stack cannot offer a capability, or None; the plan asks before anything starts.

        ``on`` is the fault's target, on which the answer may depend.
        """

    def versions(self) -> Fields:
        """Return the versions of the parts, for the history's header."""
