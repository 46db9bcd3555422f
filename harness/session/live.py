"""A system on a running stack: its services, its topics, and the harness's own clients, past the proxies."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from harness.errors import PlanRefused, StackError
from harness.wiring import Words

if TYPE_CHECKING:
    from pathlib import Path

    from harness.clients.http import HttpClient
    from harness.history.recorder import Recorder
    from harness.load.publishing import Publishing
    from harness.load.sending import Sender
    from harness.scenario import LoadShape
    from harness.stack import RunNames, Stack
    from harness.system import System


class LiveSystem:
    """A system on a started stack, with the run's ``names``. Call ``connect`` first and ``close`` last.

    PlanRefused if the system has no broker.
    """

    def __init__(self, system: System, stack: Stack, names: RunNames) -> None:
        from harness.clients.kafka import KafkaClient
        from harness.clients.login import redis_login
        from harness.clients.redis import RedisClient

        self.system, self.stack, self.names = system, stack, names
        brokers = system.of_kind("kafka")
        if not brokers:
            raise PlanRefused("the system has no dependency of kind kafka; name one")
        self.kafka = KafkaClient(stack.direct(brokers[0]), names)
        self.redis = {
            name: RedisClient(stack.direct(name), redis_login(system.dependencies[name].config))
            for name in system.of_kind("redis")
        }
        """By dependency."""

    async def connect(self) -> None:
        """Connect the clients; StackError if the broker does not answer."""
        await self.kafka.start()

    async def start_services(self, folder: Path, variant: str | None) -> None:
        """Create the topics, start every service and wait until each is ready; logs go to ``folder``.

        Shared topics must exist.
        """
        if self.names.shared:
            await self.kafka.require_topics(self.system.topics())
        else:
            await self.kafka.create_topics(self.system.topics())
        await self.stack.start_services(self.names, folder, variant)

    async def close(self) -> None:
        """Close the clients; the stack ends the services."""
        await self.kafka.stop()
        for store in self.redis.values():
            await store.close()

    def publishing(self, shape: LoadShape, *, run: str, seed: int, recorder: Recorder, folder: Path) -> Publishing:
        """Make a load of events, whose ids begin with ``run``; a program that encodes them runs in ``folder``.

        Raises StackError if the system's load uploads.
        """
        from harness.clients.coders import Decoder, Encoder
        from harness.clients.producer import Producer
        from harness.load.publishing import Publishing
        from harness.observers.topics import event_fields

        system, publish = self.system, self.system.load.publish
        if publish is None:
            raise StackError("the load uploads, so there are no events to publish")
        broker = self.stack.direct(system.of_kind("kafka")[0])
        encoder, decode = None, system.events.decode
        if publish.encode is not None and decode is not None:
            encoder = Encoder(publish.encode, Decoder(decode, folder), folder)
        return Publishing(
            shape,
            publish,
            run=run,
            seed=seed,
            recorder=recorder,
            partitions=system.topics()[publish.topic],
            read=lambda record: event_fields(record, system),
            connect=lambda: Producer.started(broker, self.names),
            encoder=encoder,
        )

    def sender(self, http: HttpClient, folder: Path) -> Sender:
        """Return the sender of uploads: ``http``, or the user's program, which runs in ``folder``.

        Raises StackError if the load publishes events.
        """
        from harness.clients.commands import with_own_python
        from harness.clients.line_program import LineProgram
        from harness.load.client_program import ClientProgram
        from harness.load.front_door import FrontDoor

        if (door := self.system.load.upload) is not None:
            return FrontDoor(door, http, self.front_door())
        if (client := self.system.load.command) is None:
            raise StackError("the load publishes events, so there are no uploads to send")
        words = with_own_python([self.filled(word) for word in shlex.split(client.run)])
        return ClientProgram(LineProgram("load.command", words, folder), documents=client.carries != "nothing")

    def front_door(self) -> str:
        """The URL that uploads are sent to; StackError if there is no front door that takes them over HTTP."""
        door = self.system.load.upload
        if door is None:
            raise StackError("nothing is uploaded over HTTP, so there is no front door's URL")
        return self.filled(f"http://{{{door.to}}}{door.path}")

    def filled(self, text: str, service: str | None = None) -> str:
        """Fill in direct addresses and the run's names, and those of ``service``: its data folder, its group ….

        StackError if the stack has no data folder for ``{data}``.
        """
        own = {
            "data": lambda: str(self.stack.data(service or "")),
            "port": lambda: self.stack.direct(service or "").rpartition(":")[2],
        }
        replica = f"{service}#1" if service is not None else ""
        return Words(self.system, self.names, self.stack.direct, replica, own).filled(text)

    def environment(self, service: str) -> dict[str, str]:
        """The service's environment from the system file, filled in."""
        return {name: self.filled(text, service) for name, text in self.system.services[service].env.items()}
