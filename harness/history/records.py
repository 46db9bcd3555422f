"""The history's format: one JSON object a line; the first line is the header.

Every record has ``i`` (index, from 1), ``t`` (ns since the run's start, monotonic), ``actor``, ``op`` and
``phase``. An observation has ``t_begin``: when the look began. The completion of an operation names its invoke
in ``of``. An observation made in one pass of an observer names the pass's invoke in ``read``.

Lines stand in the order of ``i``. Records of uploads that other processes of the load made have the ``t`` at which they
made them, and stand where the run came to read them, a moment later. Those of another machine are ``placed``: its wall
clock says about when they were, nothing is argued from it.
"""

from __future__ import annotations

from typing import Final

FORMAT: Final = 1

PHASES: Final = {
    "upload": ("invoke", "ok", "fail", "unknown"),
    "publish": ("invoke", "ok", "fail", "unknown"),
    "reprocess": ("invoke", "ok", "fail", "unknown"),
    "replay": ("invoke", "ok", "fail", "unknown"),
    "event": ("seen",),
    "effect": ("seen",),
    "dead_letter": ("seen",),
    "claim": ("seen",),
    "blob": ("present", "missing", "different", "unreachable"),
    "offset": ("seen",),
    "read": ("invoke", "ok", "fail", "unknown"),
    "service": ("started", "ready", "killed", "stopped", "paused", "resumed", "exited"),
    "health": ("good", "bad"),
    "fault": ("injected", "armed", "bit", "healed", "failed"),
    "load": ("began", "joined", "busy", "ended", "lost", "raised", "figures"),
    "run": ("loaded", "healed", "drained", "deadline", "finished", "interrupted"),
}
"""What each ``op`` may go through.

``health`` is the harness's own look past the proxies, ``when`` start or end. ``load`` tells of the processes of a load
that has its own: a part of the history that a worker began and ended; a worker that joined a master, that made requests
(``busy``), that was lost, whose users' code raised something.
"""

COLUMNS: Final = {
    "i": "BIGINT",
    "t": "BIGINT",
    "t_begin": "BIGINT",
    "actor": "VARCHAR",
    "op": "VARCHAR",
    "phase": "VARCHAR",
    "of": "BIGINT",  # completions: the invoke's i
    "read": "BIGINT",  # observations: the pass's i
    "upload_id": "VARCHAR",  # upload: the Idempotency-Key
    "batch": "VARCHAR",  # upload: the batch that the front door was told
    "file_name": "VARCHAR",
    "size": "BIGINT",  # bytes
    "sha256": "VARCHAR",  # of the bytes
    "acceptable": "BOOLEAN",  # whether the upload should pass validation
    "raw_file_storage_id": "VARCHAR",
    "status": "INTEGER",  # HTTP status, where there was one
    "topic": "VARCHAR",  # the system file's name, without the run's id
    "partition": "INTEGER",
    "offset": "BIGINT",
    "event_id": "VARCHAR",  # the envelope's; for a malformed record "topic:partition:offset"
    "event_type": "VARCHAR",  # of a malformed record: the type that it claims, if any can be read
    "digest": "VARCHAR",  # SHA-256 of the canonical JSON (RFC 8785) of the event's data; of the bytes if malformed
    "causation_id": "VARCHAR",
    "joins": "MAP(VARCHAR, VARCHAR)",  # event: outcome rule's index -> the value it is joined by
    "malformed": "VARCHAR",  # event: why it is no event; publish: why what is published is none
    "claims": "VARCHAR",  # event: the id that a malformed record claims, if any can be read
    "marked": "VARCHAR",  # event: the fault that its header names, for people; what a fault published is where it says
    "injected": "VARCHAR",  # publish: the fault that publishes it
    "consumer": "VARCHAR",  # effect, dead_letter, offset: the service's name
    "effect": "VARCHAR",  # tells two effects of one event apart
    "template": "VARCHAR",  # effect: its name, with each part that the event carries as {POINTER}; null: not known
    "kind": "VARCHAR",  # dead_letter: why it was set aside, such as poison, conflict, malformed
    "source_topic": "VARCHAR",
    "source_partition": "INTEGER",
    "source_offset": "BIGINT",
    "committed": "BIGINT",  # offset: the next one the group would read; null: none committed
    "visible_end": "BIGINT",  # offset: one past the last visible record
    "what": "VARCHAR",  # read: topics, effects, blobs, offsets, dead_letters
    "final": "BOOLEAN",  # read: the one that judges
    "why": "VARCHAR",  # blob: answer, event, final
    "when": "VARCHAR",  # health: start, end
    "name": "VARCHAR",  # service, health: "essay_lifecycle#2", "redis"; fault: "net.hang"
    "pid": "INTEGER",
    "exit_status": "INTEGER",
    "fault": "VARCHAR",  # fault: which of the plan's, "f1"
    "target": "VARCHAR",
    "heals": "BOOLEAN",  # fault: it has a window and an end
    "given": "BIGINT",  # fault: records that the consumers it hit had to deal with from its injection to its heal
    "begun": "BIGINT",  # fault: operations of the load begun from its injection to its heal
    "evidence": "JSON",
    "parameters": "JSON",
    "worker": "VARCHAR",  # load, upload: which process of the load it was
    "operation": "VARCHAR",  # upload by such a process: upload id, attempt and worker; merging knows it by this
    "intended": "BIGINT",  # upload: ns since the run's start at which it was due; latency counts from there
    "placed": "BOOLEAN",  # upload: by another machine, whose clock is not the run's
    "command": "VARCHAR",  # claim: what the store was asked, "SET"
    "key": "VARCHAR",  # claim: the store's key
    "error": "VARCHAR",
}
"""Every field a record may carry, with its type in the typed copy. A field that is not here is refused."""
