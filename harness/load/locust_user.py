"""Users who upload, for a locustfile; each request is an operation, and its latency counts from when it was due.

Only Locust's own processes import this: Locust patches sockets for a whole process. They write each operation to a part
file (``harness.history.part``) before it begins.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import socket
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import gevent
import urllib3
from locust import User, between, events
from locust.env import Environment
from locust.exception import StopTest
from locust.rpc import Message
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from harness.errors import OneffectError
from harness.history.part import PartRecorder
from harness.load.answers import blob_in_body, end_of
from harness.load.documents import ACCEPTED, LARGE, REJECTED, Document, make
from harness.load.target import Target, find_target, machine

TIMEOUT: Final = 15.0
"""Seconds until a user gives up on an answer; longer than a front door should take to say 503."""

_LOOK: Final = 0.5
"""Seconds between checks that the harness is still alive."""

_LEAVES_WITHIN: Final = 25.0
"""Seconds for a worker to leave: longer than its users wait for an answer, shorter than the harness waits for Locust."""

_MOST_RAISED: Final = 10
_LONGEST: Final = 500
"""Characters of an exception to keep."""

Kind = Literal["accepted", "large", "rejected"]
_KINDS: Final[dict[str, dict[str, Any]]] = {"accepted": ACCEPTED, "large": LARGE, "rejected": REJECTED}


class Site:
    """What the users of one Locust process share: the target and the part file."""

    def __init__(self, target: Target, worker: str, host: str | None) -> None:
        if target.parts is None:
            raise OneffectError("the target names no folder for the parts of the history")
        self.target = target
        self.worker = worker
        self.host = host
        """The host given to this process; a worker's master passes its own when the users start."""
        self.part = PartRecorder(target.parts, run=target.run, worker=worker)
        self.users = itertools.count(1)
        self.leaving = False
        """Whether the workers were told to quit; Locust may fire its event twice."""


_SITES: Final[WeakKeyDictionary[Environment, Site]] = WeakKeyDictionary()
"""Locust passes its environment to users and listeners alike, and has no other place for what they share."""


class Uploader(User):
    """A user who uploads documents, and retries under the same key until an answer says yes or no.

    Subclasses set ``think`` and tasks that call ``upload``. Think times set when uploads are due, whatever the system
    does: after a stall the user catches up at once, and latency counts from the due time, so the stall shows in every
    upload that it held back.
    """

    abstract = True
    think: ClassVar[Any] = between(1, 3)
    """Seconds between two due times, in Locust's own form."""
    retries: ClassVar[int] = 8
    retry_after: ClassVar[float] = 0.5
    """Seconds before a retry."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if environment not in _SITES:
            raise StopTest(
                "harness.load.locust_user was imported after Locust had started; import it in the locustfile"
            )
        self.site = _SITES[environment]
        self.number = next(self.site.users)
        self._uploads = itertools.count()
        self._due: int | None = None
        url = urlsplit(self.site.target.front_door)
        if host := self.site.host if isinstance(environment.runner, WorkerRunner) else self.host:
            door = urlsplit(host)
            url = url._replace(scheme=door.scheme, netloc=door.netloc)
        self._path = url.path
        self._target = url._replace(scheme="", netloc="").geturl()
        # One connection a user, as real clients have, and no hidden retries: each retry is an operation.
        self._http = urllib3.connection_from_url(url.geturl(), retries=False, timeout=TIMEOUT)

    def wait_time(self) -> float:
        """Seconds until the next upload is due; 0 if it already is."""
        now = self.site.part.now()
        self._due = (self._due if self._due is not None else now) + round(self.think() * 1e9)
        return max(0.0, (self._due - now) / 1e9)

    def upload(self, kind: Kind = "accepted") -> None:
        """Upload one new document of this kind."""
        target, part = self.site.target, self.site.part
        number = next(self._uploads)
        name = f"{self.site.worker}-{self.number}.{number}"
        random = Random(f"{target.seed}:locust:{name}")
        document = make(random.choice(list(_KINDS[kind])), random)
        batch = f"{target.run}-b{self.site.worker}-{self.number}.{number // target.batch}"
        due = self._due = self._due if self._due is not None else part.now()
        for attempt in range(self.retries + 1):
            if self._once(f"{target.run}-{name}", attempt, batch, document, due) != "unknown":
                return
            due = part.now() + round(self.retry_after * 1e9)
            gevent.sleep(self.retry_after)

    def _once(self, upload_id: str, attempt: int, batch: str, document: Document, due: int) -> str:
        target, part, door = self.site.target, self.site.part, self.site.target.upload
        sha256 = hashlib.sha256(document.content).hexdigest()
        with part.operation(
            "upload",
            f"locust:{self.site.worker}",
            upload_id=upload_id,
            operation=f"{upload_id}.{attempt}.{self.site.worker}",
            batch=batch if door.batches else None,
            file_name=document.file_name,
            size=len(document.content),
            sha256=sha256,
            acceptable=document.acceptable,
            intended=due,
        ) as operation:
            try:
                response = self._http.request(
                    "POST",
                    self._target,
                    fields={
                        **door.filled(batch, target.batch, upload_id),
                        door.field: (document.file_name, document.content, "application/octet-stream"),
                    },
                    headers={door.id_header or "": upload_id},
                    multipart_boundary=sha256[:32],  # the same bytes on each try
                )
            except urllib3.exceptions.HTTPError as error:
                said = f"{type(error).__name__}: {error}"
                operation.unknown(error=said)
                self._tell(due, 0, error)
                return "unknown"
            end = end_of(response.status, door)
            if end == "ok":
                operation.ok(status=response.status, raw_file_storage_id=blob_in_body(response.data, door))
            else:
                ended = operation.fail if end == "fail" else operation.unknown
                ended(status=response.status, error=response.data[:200].decode(errors="replace"))
        self._tell(due, len(response.data), None if end == "ok" else OneffectError(f"HTTP {response.status}"))
        return end

    def _tell(self, due: int, length: int, error: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type="POST",
            name=self._path,
            response_time=(self.site.part.now() - due) / 1e6,
            response_length=length,
            exception=error,
            context={},
        )


@events.init.add_listener
def _begin(environment: Environment, runner: Any, **_: object) -> None:  # noqa: ANN401 - Locust's runners have no common type
    """Open this process's part; a master has one too, for what it knows of its workers."""
    try:
        target = find_target(os.environ, Path.cwd())
        site = Site(target, _worker(runner), environment.host)
    except OneffectError as error:
        raise SystemExit(f"oneffect: {error}") from None
    _SITES[environment] = site
    if target.owner is not None and target.machine == machine():
        gevent.spawn(_leave_with, target.owner)
    if isinstance(runner, MasterRunner):
        environment.events.worker_connect.add_listener(
            lambda client_id, **_: site.part.record("load", "joined", "locust:master", worker=_plain(client_id))
        )
        environment.events.worker_report.add_listener(partial(_note_busy, site, set()))
        environment.events.quitting.add_listener(lambda **_: _see_off(site, runner))
    environment.events.user_error.add_listener(partial(_note_raised, site, set()))
    environment.events.quit.add_listener(lambda **_: site.part.end())


def _worker(runner: Any) -> str:  # noqa: ANN401 - as above
    if isinstance(runner, WorkerRunner):
        return _plain(runner.client_id)
    role = "master" if isinstance(runner, MasterRunner) else "locust"
    # A restarted container has the same host name and process id.
    return _plain(f"{role}_{socket.gethostname()}_{os.getpid()}_{token_hex(3)}")


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _note_busy(site: Site, busy: set[str], *, client_id: str, data: Mapping[str, Any], **_: object) -> None:
    """Note once that a worker is busy: its part, if on another machine, may arrive only after the load."""
    if client_id not in busy and data["stats_total"]["num_requests"]:
        busy.add(client_id)
        site.part.record("load", "busy", "locust:master", worker=_plain(client_id))


def _see_off(site: Site, runner: MasterRunner) -> None:
    """Dismiss the workers, wait for them, and note the lost ones; Locust's own half second is too short for their users."""
    if site.leaving:
        return
    site.leaving = True
    runner.stop(send_stop_to_client=False)
    for client in runner.clients.all:
        runner.server.send_to_client(Message("quit", None, client.id))
    with gevent.Timeout(_LEAVES_WITHIN, exception=False):
        while any(client.state != STATE_MISSING for client in runner.clients.all):
            gevent.sleep(_LOOK / 5)
    for client in runner.clients.all:
        error = (
            "its master heard no more of it" if client.state == STATE_MISSING else "it did not leave when it should"
        )
        site.part.record("load", "lost", "locust:master", worker=_plain(client.id), error=error)


def _note_raised(site: Site, noted: set[str], *, exception: BaseException, **_: object) -> None:
    """Note each exception once: users whose code fails make the load smaller than it claims."""
    error = f"its users' code raised {type(exception).__name__}: {exception}"
    if error not in noted and len(noted) < _MOST_RAISED:
        noted.add(error)
        site.part.record("load", "raised", f"locust:{site.worker}", worker=site.worker, error=error[:_LONGEST])


def _leave_with(owner: int) -> None:
    """Exit once the harness is gone, however it ended: nothing else would end its load."""
    while _lives(owner):
        gevent.sleep(_LOOK)
    sys.stderr.write(f"oneffect: the harness of this load (process {owner}) is gone, so the load ends\n")
    os._exit(3)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
