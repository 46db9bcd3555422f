"""A Kafka broker in KRaft mode, with one listener a link, each advertised at that link's proxy.

A Kafka client goes back to whatever address the broker advertises, so a listener is what keeps a client on its own
proxy. Listeners are fixed at start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.clients.probes import Prober
from harness.stacks.process import Launch, Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from harness.stacks.native.parts import Java

    Listeners = Mapping[str, tuple[str, str]]
    """Name -> (its own address, the address that it advertises)."""

CLUSTER = "b25lZmZlY3Qtb25lZmZlY3"
"""A cluster id: 16 bytes in URL-safe Base64, as Kafka's storage tool would make."""

SETTINGS: Mapping[str, object] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "ADMIN",
    # One broker keeps one copy; few partitions of its own topics make the start and a group's first join quick.
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "auto.create.topics.enable": "false",
    # A killed consumer keeps its partitions until its session ends: let clients ask for a short one.
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 500,
    # Every listener gets network threads of its own.
    "num.network.threads": 1,
    "num.io.threads": 4,
    # Nothing is deleted during a run, and the cleaner's buffer would be half of the heap.
    "log.retention.ms": -1,
    "log.cleaner.enable": "false",
    "controlled.shutdown.enable": "false",
}

_JVM = ("-Xms96m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


def jvm_options(java: Java) -> list[str]:
    """Options that every broker starts with; the cache of loaded classes is used where there is one."""
    cache = [f"-XX:AOTCache={java.cache}", "-Xlog:aot*=off,cds*=off"] if java.cache is not None else []
    return [*_JVM, *cache, "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Djava.net.preferIPv4Stack=true"]


class Kafka(Process):
    """The broker. ``listeners`` maps listener names to (its own address, the address that it advertises).

    ``record``: where a stop writes the cache of loaded classes.
    """

    def __init__(  # noqa: PLR0913 - what a broker consists of
        self,
        name: str,
        java: Java,
        folder: Path,
        listeners: Listeners,
        launch: Launch,
        *,
        record: Path | None = None,
    ) -> None:
        config = folder / "server.properties"
        told = {**settings(listeners), "log.dirs": folder / "data"}
        config.write_text("".join(f"{key}={value}\n" for key, value in told.items()))
        # What Kafka's storage tool would write, without the second and more that its virtual machine takes.
        (folder / "data").mkdir()
        (folder / "data" / "meta.properties").write_text(f"cluster.id={CLUSTER}\nnode.id=1\nversion=1\n")
        options = [*jvm_options(java), *([f"-XX:AOTCacheOutput={record}"] if record is not None else [])]
        command = [str(java.binary), *options, "-cp", java.class_path, "kafka.Kafka", str(config)]
        super().__init__(name, launch.of(command), Prober(listeners["ADMIN"][0], "kafka").answers)


def listeners(controller: str, admin: str, links: Iterable[tuple[str, str]]) -> Listeners:
    """CONTROLLER, ADMIN and LINK1 …; ``links`` are (address, advertised address), one a link."""
    named = {"CONTROLLER": (controller, controller), "ADMIN": (admin, admin)}
    return named | {f"LINK{number}": link for number, link in enumerate(links, 1)}


def settings(named: Listeners) -> dict[str, object]:
    """server.properties of a broker with these listeners, but for where its files are."""
    return {
        **SETTINGS,
        "controller.quorum.voters": f"1@{named['CONTROLLER'][1]}",
        "listeners": ",".join(f"{name}://{own}" for name, (own, _) in named.items()),
        "advertised.listeners": ",".join(
            f"{name}://{seen}" for name, (_, seen) in named.items() if name != "CONTROLLER"
        ),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in named),
    }
