"""The history's format: one JSON object a line; the first line is the header.

Every record has ``i`` (index, from 1), ``t`` (ns since the run's start, monotonic), ``actor``, ``op`` and
``phase``. An observation has ``t_begin``: when the look began; of what passed on a link, when the request came. The
completion of an operation names its invoke in ``of``. An observation made in one pass of an observer names the pass's
invoke in ``read``.

Lines are in order of ``i``. An upload's record from another process of the load keeps the ``t`` at which that process
made it, and stands where the run read it, a moment later. A record from another machine is ``placed``: that machine's
wall clock dates it roughly, and checkers infer nothing from it.
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
    "tombstone": ("seen",),
    "overwritten": ("seen",),
    "effect": ("seen",),
    "total": ("seen",),
    "dead_letter": ("seen",),
    "claim": ("seen",),
    "blob": ("present", "missing", "different", "unreachable"),
    "offset": ("seen",),
    "read": ("invoke", "ok", "fail", "unknown"),
    "service": ("started", "ready", "killed", "stopped", "paused", "resumed", "exited"),
    "health": ("good", "bad"),
    "fault": ("injected", "armed", "bit", "healed", "failed"),
    "load": ("began", "joined", "busy", "ended", "lost", "raised", "figures"),
    "wire": (
        "answered",
        "refused",
        "refused_reply",
        "lost_request",
        "lost_reply",
        "cut_request",
        "cut_reply",
        "repeated",
        "unanswered",
        "sent",
        "plain",
        "failed",
    ),
    "link": ("unused",),
    "run": ("loaded", "healed", "drained", "deadline", "finished", "interrupted"),
}
"""The phases of each ``op``.

``tombstone`` is a record without a value, which is no event. ``overwritten`` is an event that a service published and
in whose place a fault put other bytes, which have its place. ``health`` is the harness's own look past the proxies;
``when`` is start or end. ``load`` is about the processes of a load that has its own: a worker began or ended its part
of the history, joined a master, made requests (``busy``), was lost, or its users' code raised an exception. ``wire``
is a request that a tap saw on a link, and what became of it: answered, refused by the tap in the dependency's place,
answered and its reply replaced, lost on the way there or back, cut off by the tap within the request or its reply,
left unanswered when its connection ended, or sent where no reply follows. ``repeated`` is a request that the tap
itself sent again, and whose reply it kept. ``plain``: a tap can no longer parse the traffic; ``failed``: an error of
the tap ended a connection. For Kafka, ``command`` is the API, and ``key`` the group that a request names, else its
transactional id, else its first topic; ``kind`` is ``ok`` or the first error in the reply (for a Fetch, only an error
of the whole reply). A request of an unknown API or version has no key, and its reply no kind. ``link``, before the
final reads, names a link that a test's code never used.
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
    "batch": "VARCHAR",  # upload, publish: the batch that the load gave
    "file_name": "VARCHAR",
    "size": "BIGINT",  # bytes; wire: of the request
    "sha256": "VARCHAR",  # of the bytes
    "acceptable": "BOOLEAN",  # whether the upload should pass validation; a published event of the load should
    "raw_file_storage_id": "VARCHAR",
    "status": "INTEGER",  # HTTP status, where there was one
    "topic": "VARCHAR",  # the system file's name, without the run's id
    "partition": "INTEGER",
    "offset": "BIGINT",
    "event_id": "VARCHAR",  # the envelope's; for a malformed record "topic:partition:offset"
    "event_type": "VARCHAR",  # of a malformed record: the type that it claims, if any can be read
    "digest": "VARCHAR",  # SHA-256 of the event's data as canonical JSON (RFC 8785), integers in full; malformed: of the bytes
    "digest_rounded": "VARCHAR",  # event: the same with integers as the nearest doubles, if it is another
    "causation_id": "VARCHAR",
    "joins": "MAP(VARCHAR, VARCHAR)",  # event: outcome rule's index -> the value it is joined by
    "keys": "MAP(VARCHAR, VARCHAR)",  # event: consumer -> the business key that its effects name; NAME.total -> of its total
    "amounts": "MAP(VARCHAR, VARCHAR)",  # event: consumer -> what it adds to a total there, an exact decimal number
    "total": "VARCHAR",  # total: a sum that a consumer updates in place, an exact decimal number
    "malformed": "VARCHAR",  # event: why it is not an event; publish: why the published record is not one
    "claims": "VARCHAR",  # event: the id that a malformed record claims, if any can be read
    "marked": "VARCHAR",  # event, effect: the fault that its header names; publish records say where a fault published
    "injected": "VARCHAR",  # publish: the fault that publishes it; null: the load does
    "consumer": "VARCHAR",  # effect, dead_letter, offset: the service's name
    "effect": "VARCHAR",  # tells two effects of one event apart
    "template": "VARCHAR",  # effect: its name, with each part that the event carries as {POINTER}; null: not known
    "kind": "VARCHAR",  # dead_letter: why it was set aside: poison, conflict, malformed, unsaid …; wire: of the reply: OK, 503
    "source_topic": "VARCHAR",
    "source_partition": "INTEGER",
    "source_offset": "BIGINT",
    "committed": "BIGINT",  # offset: the next one the group would read; null: none committed
    "visible_end": "BIGINT",  # offset: one past the last visible record
    "what": "VARCHAR",  # read: topics, effects, blobs, offsets, dead_letters
    "final": "BOOLEAN",  # read: whether checkers judge by it
    "why": "VARCHAR",  # blob: answer, event, final
    "when": "VARCHAR",  # health: start, end
    "name": "VARCHAR",  # service, health: "essay_lifecycle#2", "redis"; fault: "net.hang"
    "pid": "INTEGER",
    "exit_status": "INTEGER",
    "fault": "VARCHAR",  # fault: its id in the plan, "f1"
    "target": "VARCHAR",
    "heals": "BOOLEAN",  # fault: whether it has a window and an end
    "given": "BIGINT",  # fault: records that the consumers it hit had to deal with from its injection to its heal
    "begun": "BIGINT",  # fault: operations of the load begun from its injection to its heal
    "evidence": "JSON",
    "parameters": "JSON",
    "worker": "VARCHAR",  # load, upload: the process of the load
    "operation": "VARCHAR",  # upload by such a process: upload id, attempt and worker; its identity in a merge
    "intended": "BIGINT",  # upload: ns since the run's start at which it was due; latency counts from there
    "placed": "BOOLEAN",  # upload: whether another machine made it, whose clock is not the run's
    "command": "VARCHAR",  # claim, wire: the command, "SET"
    "key": "VARCHAR",  # effect: its business key; total, claim: its own; wire: what it is about: a key, path, topic, group …
    "options": "VARCHAR",  # wire: those of Redis' SET, as "NX EX"
    "changed": "BIGINT",  # wire: how many keys a DEL or UNLINK of one key, or a SETNX, changed: 0 or 1
    "link": "VARCHAR",  # wire, link: "essay_lifecycle#1->redis"
    "connection": "BIGINT",  # wire: which connection of the link, from 1
    "reply_size": "BIGINT",  # wire: bytes
    "places": "JSON",  # wire: [topic, partition, offset] that a request commits, or of appended records; null: unknown
    "error": "VARCHAR",
}
"""Every field that a record may carry, with its type in the typed copy; recorders refuse any other."""
