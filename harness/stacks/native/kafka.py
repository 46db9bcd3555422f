"""A Kafka broker in KRaft mode, with one listener per link, each advertised at that link's proxy.

A Kafka client reconnects to whatever address the broker advertises, so a listener of its own keeps it on its own proxy.
Listeners are fixed at start.
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
    """Name -> (listen address, advertised address)."""

CLUSTER = "b25lZmZlY3Qtb25lZmZlY3"
"""Cluster id: 16 bytes in URL-safe Base64, as Kafka's storage tool generates."""

SETTINGS: Mapping[str, object] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "ADMIN",
    # A single broker can keep one copy only; few partitions speed up the start and a group's first join.
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "auto.create.topics.enable": "false",
    # A killed consumer keeps its partitions until its session expires: let clients ask for a short one.
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 500,
    # Per listener.
    "num.network.threads": 1,
    "num.io.threads": 4,
    # Delete nothing during a run; the cleaner's buffer alone would take half of the heap.
    "log.retention.ms": -1,
    "log.cleaner.enable": "false",
    "controlled.shutdown.enable": "false",
}

_JVM = ("-Xms96m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


def jvm_options(java: Java) -> list[str]:
    """Return the options that every broker starts with, among them the class cache if there is one."""
    cache = [f"-XX:AOTCache={java.cache}", "-Xlog:aot*=off,cds*=off"] if java.cache is not None else []
    return [*_JVM, *cache, "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Djava.net.preferIPv4Stack=true"]


class Kafka(Process):
    """The broker. ``listeners`` maps listener names to (listen address, advertised address).

    With ``record``, stopping the broker writes a class cache there.
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
        properties = {**settings(listeners), "log.dirs": folder / "data"}
        config.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        # The file that Kafka's storage tool would write, without the second or more that its JVM takes.
        (folder / "data").mkdir()
        (folder / "data" / "meta.properties").write_text(f"cluster.id={CLUSTER}\nnode.id=1\nversion=1\n")
        options = [*jvm_options(java), *([f"-XX:AOTCacheOutput={record}"] if record is not None else [])]
        command = [str(java.binary), *options, "-cp", java.class_path, "kafka.Kafka", str(config)]
        super().__init__(name, launch.of(command), Prober(listeners["ADMIN"][0], "kafka").answers)


def listeners(controller: str, admin: str, links: Iterable[tuple[str, str]]) -> Listeners:
    """Return the listeners CONTROLLER, ADMIN and LINK1 …; ``links`` has one (address, advertised address) per link."""
    named = {"CONTROLLER": (controller, controller), "ADMIN": (admin, admin)}
    return named | {f"LINK{number}": link for number, link in enumerate(links, 1)}


def settings(named: Listeners) -> dict[str, object]:
    """Return a broker's server.properties for these listeners, without the location of its files."""
    return {
        **SETTINGS,
        "controller.quorum.voters": f"1@{named['CONTROLLER'][1]}",
        "listeners": ",".join(f"{name}://{own}" for name, (own, _) in named.items()),
        "advertised.listeners": ",".join(
            f"{name}://{advertised}" for name, (_, advertised) in named.items() if name != "CONTROLLER"
        ),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in named),
    }
