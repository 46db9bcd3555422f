"""One connection through a tap: reads and parses both directions, holds messages for triggers, passes the bytes on."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from harness.errors import FaultError
from harness.stack import Twice
from harness.taps.cut import Cut, Severed, handed_over
from harness.taps.exchange import Exchange
from harness.taps.held import PASSES, Fate, Held
from harness.taps.message import Corrupting, Edit, Editing, Message, Scanner, Side
from harness.taps.probes import BEGINNING, is_probe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from harness.stack import Record
    from harness.taps.proxy import Tap

CHUNK: Final = 1 << 16
"""Bytes that are read at a time."""

MOST_UNANSWERED: Final = 1 << 16
"""Unanswered requests that a connection tracks; a client that sends more makes the tap a plain pipe."""

LONGEST_HELD: Final = 300.0
"""Seconds after which a held message passes even if no fault released it; no injection takes that long."""

MOST_KEPT: Final = 1 << 20
"""Largest request, in bytes, that a tap can send twice."""

_RESET = struct.pack("ii", 1, 0)


class _Over(Exception):
    """The tap ends the connection on purpose."""


class _Flow:
    """One direction. ``kept`` holds the bytes read and not yet passed on; ``base`` is the offset of the first."""

    def __init__(
        self, side: Side, scanner: Scanner, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.side, self.scanner, self.reader, self.writer = side, scanner, reader, writer
        self.kept = b""
        self.base = 0
        self.drops = False
        """Whether bytes are dropped instead of passed on."""
        self.copy: bytearray | None = None
        """Copy of a request that is to be sent twice or altered, as far as it has come; else None."""
        self.holds = False
        """Whether what is copied is dropped only for now; a request that is too large to keep passes as it is."""
        self.cut: Cut | None = None
        """Where a fault cuts the connection, if one does."""
        self.ended = False
        self._editing = scanner if isinstance(scanner, Editing) else None

    @property
    def end(self) -> int:
        return self.base + len(self.kept)

    def forward(self, upto: int) -> None:
        """Pass on or drop the bytes before an offset, up to the first that must wait for an edit."""
        if self._editing is not None and self._editing.held is not None:
            upto = min(upto, self._editing.held)
        count = upto - self.base
        if count <= 0:
            return
        going, self.kept = (self.kept, b"") if count >= len(self.kept) else (self.kept[:count], self.kept[count:])
        passing = _edited(going, self.base, self._editing.edits) if self._editing is not None else going
        self.base += len(going)
        if self.copy is not None and len(self.copy) <= MOST_KEPT:
            self.copy += going
            if self.holds and len(self.copy) > MOST_KEPT:
                passing, self.copy, self.holds, self.drops = bytes(self.copy), None, False, False
        if not self.drops:
            self.writer.write(passing)


class Connection:
    """Passes bytes between a service's proxy (``client``) and the dependency (``server``), each a reader and a writer."""

    def __init__(
        self,
        tap: Tap,
        number: int,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._tap, self._number = tap, number
        self._parser = tap.parser()
        self._up = _Flow("request", self._parser.requests, client[0], server[1])
        self._down = _Flow("reply", self._parser.replies, server[0], client[1])
        self._pending: deque[Exchange] = deque()
        self._moving = asyncio.Lock()
        """Lets one direction move at a time: while one holds a message, the other stands still too."""
        self._streaming = False
        self._twice: Exchange | None = None
        """The exchange whose request is to be sent twice, until the second one is answered."""
        self._altered: Exchange | None = None
        """The exchange whose request is to be altered, until it is answered."""
        self._midst = False
        """Whether a reply has begun and not yet ended."""
        self._ending = False
        """Whether a request was lost while earlier replies are still due: requests after it are dropped."""
        self._dead = False
        """Whether a message was lost for good, so that nothing moves any more."""
        self._beginning: bytearray | None = bytearray()
        """The first bytes from the client, until the first request."""
        self._unread = False
        """Whether the tap is a plain pipe and no fault is under way here, so that all bytes pass."""

    async def serve(self) -> None:
        """Pass bytes until both ends have ended, or one of them breaks off."""
        pumps = [asyncio.create_task(self._pump(flow)) for flow in (self._up, self._down)]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
            errors = [pump.exception() for pump in pumps if pump.done() and not pump.cancelled()]
            # If the tap ends the connection, passed bytes still arrive; if one end broke off, the other is reset.
            broken = any(error is not None and not isinstance(error, _Over) for error in errors)
            for error in errors:
                if error is not None and not isinstance(error, _Over | OSError):
                    self._tap.failed(error)
        except BaseException:
            broken = True
            raise
        finally:
            # First everything that does not await: this task may be cancelled at any await.
            for pump in pumps:
                pump.cancel()
            for cut in filter(None, (self._up.cut, self._down.cut)):
                cut.fate.over()
            for exchange in filter(None, (self._twice, self._altered)):
                exchange.fate.over()
            for exchange in self._pending:
                phase = "unanswered" if exchange.repeats is None else "repeated"
                self._tap.note(phase, self._number, exchange, None)
            writers = (self._up.writer, self._down.writer)
            for writer in writers:
                _close(writer, broken=broken)
            await asyncio.gather(*pumps, *(writer.wait_closed() for writer in writers), return_exceptions=True)

    async def _pump(self, flow: _Flow) -> None:
        while data := await flow.reader.read(CHUNK):
            async with self._moving:
                if not self._dead:
                    await self._take(flow, data)
            # Outside of the lock: an end that does not read must not stop the other direction.
            await flow.writer.drain()
        flow.ended = True
        async with self._moving:
            if self._dead:
                if flow is self._up:
                    raise _Over
                return
            if not self._tap.plain:
                for message in self._finished(flow):
                    await self._meet(flow, message)
            flow.forward(flow.end)
            if flow.writer.can_write_eof() and not flow.writer.is_closing():
                flow.writer.write_eof()

    def _finished(self, flow: _Flow) -> list[Message]:
        try:
            return flow.scanner.finish()
        except Exception as error:  # noqa: BLE001 - whatever a parser raises, the bytes go on
            self._tap.give_up(error)
            return []

    async def _take(self, flow: _Flow, data: bytes) -> None:
        flow.kept = flow.kept + data if flow.kept else data
        if flow is self._up and self._beginning is not None and len(self._beginning) < BEGINNING:
            self._beginning += data[:BEGINNING]
        if not self._tap.plain:
            try:
                messages = flow.scanner.feed(data)
            except Exception as error:  # noqa: BLE001 - whatever a parser raises, the bytes go on
                self._tap.give_up(error)
            else:
                for message in messages:
                    await self._meet(flow, message)
                    if self._dead:
                        flow.kept = b""
                        return
        if flow.cut is not None:
            await self._cut(flow, flow.cut)
            return
        if self._tap.plain and not self._unread:
            if self._under_way():
                raise Severed  # where it would end can no longer be told
            self._unread = True
        self._pass(flow)

    def _pass(self, flow: _Flow) -> None:
        """Pass on what has come, up to a message that must wait: with triggers, until it is known what it is."""
        swallows = flow is self._down and bool(self._pending) and self._pending[0].swallowed
        waits = (self._tap.triggers or swallows) and not self._tap.plain
        head = flow.scanner.head if waits else None
        flow.forward(flow.end if head is None else head)

    def _under_way(self) -> bool:
        """Whether a fault that has begun to act here depends on where messages end: it drops some, or answers them."""
        drops = self._up.drops or self._down.drops
        answers = any(exchange.own or exchange.swallowed for exchange in self._pending)
        return drops or self._twice is not None or self._altered is not None or answers

    async def let_go(self) -> None:
        """Pass on what waited for a trigger that is gone; nobody may be about to send the bytes that would do so."""
        async with self._moving:
            if self._dead or (self._tap.plain and self._under_way()):
                return
            for flow in (self._up, self._down):
                if flow.cut is None and not flow.writer.is_closing():
                    self._pass(flow)

    async def _meet(self, flow: _Flow, message: Message) -> None:
        """Handle a message's beginning, its end, or both."""
        if flow.cut is not None and flow.cut.message is not message:
            return  # it comes after the cut
        if not message.met:
            message.met = True
            await (self._request(message) if flow is self._up else self._reply(message))
        if message.end is not None and not self._dead:
            if flow is self._up:
                self._request_ended(message)
            else:
                self._reply_ended(message)

    async def _request(self, message: Message) -> None:
        if self._ending:
            return
        if self._beginning is not None:
            if is_probe(bytes(self._beginning)):
                self._tap.probes.add(self._number)
            self._beginning = None
        exchange = Exchange(message, self._tap.now())
        if helds := self._held(self._up, message, message):
            self._up.forward(message.held_from)
            exchange.fate = await self._stand(helds)
            self._up.holds = exchange.fate.alters is not None
            self._up.drops = exchange.own or exchange.swallowed or self._up.holds
            self._up.writer.write(exchange.fate.instead)
            self._ending = exchange.fate.lost
            self._up.cut = _cut(message, exchange, exchange.fate)
            if exchange.fate.again:
                self._twice, self._up.copy = exchange, bytearray()
            elif exchange.fate.alters is not None:
                self._altered, self._up.copy = exchange, bytearray()
            if exchange.own:
                # Now, not when its reply would be due: later replies may be in the same bytes.
                self._parser.took(message)
        if exchange.own or self._up.cut is not None or (message.answered and not self._streaming):
            self._pending.append(exchange)
            if len(self._pending) > MOST_UNANSWERED:
                self._tap.give_up(RuntimeError(f"{MOST_UNANSWERED} requests are ahead of their replies"))
            self._settle()
        else:
            self._tap.note("sent", self._number, exchange, None)

    def _request_ended(self, message: Message) -> None:
        if self._up.drops and message.end is not None:
            self._up.forward(message.end)
            self._up.drops = self._ending
            self._settle()
        if self._twice is not None and self._twice.request is message:
            self._send_again(self._twice, message)
        elif self._altered is not None and self._altered.request is message:
            self._send_altered(self._altered, message)

    def _send_again(self, exchange: Exchange, message: Message) -> None:
        """Send a request that has just passed a second time, unless it was too large to copy."""
        self._up.forward(message.end or 0)
        sent, self._up.copy = bytes(self._up.copy or b""), None
        if len(sent) != message.size or len(sent) > MOST_KEPT:
            exchange.fate.over()
            self._twice = None
            return
        self._up.writer.write(sent)
        second = Exchange(self._parser.again(message), self._tap.now(), repeats=exchange, sent=sent)
        self._pending.append(second)

    def _send_altered(self, exchange: Exchange, message: Message) -> None:
        """Send another request in place of one that has come whole and was kept, or that one if there is no other."""
        sent, self._up.copy, self._up.holds = self._up.copy, None, False
        if sent is None or exchange.fate.alters is None:
            self._altered = None
            exchange.fate.impossible(
                FaultError(f"{message.command}: it has more than {MOST_KEPT} bytes, and passed as it was")
            )
            return
        try:
            other, exchange.altered = exchange.fate.alters(bytes(sent), message)
        except FaultError as error:
            other, self._altered = bytes(sent), None
            exchange.fate.impossible(error)
        self._up.writer.write(other)

    async def _reply(self, message: Message) -> None:
        self._midst = True
        message.unasked = message.unasked or self._streaming or not self._pending
        exchange = self._pending[0] if self._pending else None
        if exchange is not None and exchange.swallowed and (message.interim or not message.unasked):
            self._down.forward(message.start)
            self._down.drops = True
            return
        if message.unasked or exchange is None:
            return
        if helds := self._held(self._down, message, exchange.request):
            self._down.forward(message.held_from)
            exchange.reply_fate = fate = await self._stand(helds)
            self._down.cut = _cut(message, exchange, fate)
            if fate.lost:
                self._pending.popleft()
                self._tap.note("lost_reply", self._number, exchange, message)
                self._die(fate)
            elif fate.reply is not None:
                self._down.writer.write(fate.reply() or b"")
                self._down.drops = True

    def _reply_ended(self, message: Message) -> None:
        if self._down.cut is not None:
            return
        self._midst = False
        if not message.unasked and self._pending:
            exchange = self._pending.popleft()
            self._streaming = self._streaming or exchange.request.streams
            exchange.reply = message
            if exchange.fate.instead:
                self._down.forward(message.end or 0)
                self._answer(exchange, (exchange.fate.reply and exchange.fate.reply()) or b"")
            else:
                phase = "answered" if exchange.reply_fate.reply is None else "refused_reply"
                self._tap.note(phase if exchange.repeats is None else "repeated", self._number, exchange, message)
            if exchange.repeats is not None:
                self._answered_again(exchange, exchange.repeats, message)
            elif exchange is self._altered:
                self._altered = None
                exchange.fate.over(exchange.placed(message.places or ()))
        if self._down.drops:
            self._down.forward(message.end or 0)
            self._down.drops = False
        if self._pending and self._pending[0].own:
            self._down.forward(message.end or 0)
            self._settle()

    def _answered_again(self, second: Exchange, first: Exchange, message: Message) -> None:
        """Report the outcome of the second of two equal requests."""
        self._twice, second.request.places = None, message.places
        try:
            appended = self._parser.appended(second.sent, first.reply or first.request, second.request)
        except FaultError:
            first.fate.over()
        else:
            first.fate.over(Twice(message.kind, appended))

    def _refusal(self, side: Side, request: Message, error: str) -> Fate:
        """Return the fate of a request, or of its reply, in place of which the service gets an error."""
        reply = self._parser.refusal(request, error)
        if self._streaming or not request.answered:
            raise FaultError(f"{request.command}: it waits for no reply, so it cannot be answered with an error")
        return Fate(reply=reply, instead=self._parser.instead(request) if side == "request" else b"")

    def _repeatable(self, request: Message) -> None:
        """Raise FaultError if a request cannot be sent twice."""
        if self._twice is not None or self._streaming or request.streams or not request.answered:
            raise FaultError(
                f"{request.command}: it gets no reply that could be swallowed, so it cannot be sent twice"
            )
        self._parser.repeatable(request)

    def _alters(
        self, request: Message, topics: Collection[str], alter: Callable[[bytes], bytes]
    ) -> Callable[[bytes, Message], tuple[bytes, Record]]:
        """Return what makes another request of one; FaultError if none can be made."""
        if not isinstance(self._parser, Corrupting) or self._altered is not None or self._streaming:
            raise FaultError(f"{request.command}: a tap cannot alter it")
        return partial(self._parser.corrupted, topics=topics, alter=alter)

    def _settle(self) -> None:
        """Send the tap's own replies whose turn has come, or end the connection of a lost request."""
        while self._pending and self._pending[0].own and not self._midst and self._untouched():
            exchange = self._pending[0]
            fate = exchange.fate
            if fate.lost:
                self._pending.popleft()
                self._tap.note("lost_request", self._number, exchange, None)
                self._die(fate)
                return
            reply = fate.reply() if fate.reply is not None else b""
            if reply is None:  # the rest of its request is still to come
                return
            self._pending.popleft()
            self._answer(exchange, reply)

    def _answer(self, exchange: Exchange, reply: bytes) -> None:
        self._tap.note("refused", self._number, exchange, None)
        self._down.writer.write(reply)

    def _untouched(self) -> bool:
        """Whether no byte of the next reply has passed that could not stand before one of the tap's own."""
        head = self._down.scanner.head
        return head is None or self._down.base <= head

    async def _cut(self, flow: _Flow, cut: Cut) -> None:
        """Pass on the bytes before the cut; after the last of them, reset the connection."""
        flow.forward(min(cut.at, flow.end))
        if flow.base < cut.at:
            return
        left = await handed_over(flow.writer)
        if cut.exchange in self._pending:
            self._pending.remove(cut.exchange)
            reply = cut.message if flow is self._down else None
            self._tap.note(f"cut_{flow.side}", self._number, cut.exchange, reply)
        if not flow.writer.transport.is_closing():  # else it has ended by itself meanwhile
            cut.fate.over(flow.base - cut.message.start - left)
        raise Severed

    def _die(self, fate: Fate) -> None:
        """Stop both directions; end the connection if the fate says so."""
        self._dead = True
        self._up.drops = self._down.drops = True
        if fate.closes:
            raise _Over

    def _held(self, flow: _Flow, message: Message, request: Message) -> list[Held]:
        if self._number in self._tap.probes:
            return []
        if flow.base > message.held_from:
            return []  # it began to pass before a trigger was armed: half of it can be neither lost nor replaced
        side = flow.side
        triggers = [
            trigger
            for trigger in self._tap.triggers
            if trigger.meets(self._tap.name, side, request.command, request.key, request.places or ())
        ]
        helds = []
        for trigger in triggers:
            of = "the reply to " if side == "reply" else ""
            what = f"{of}{request.command} {request.key}".rstrip()
            refusal = partial(self._refusal, side, request)
            repeatable = partial(self._repeatable, request)
            waits = self._waits
            altered = partial(self._alters, request)
            held = Held(
                self._tap.name, side, what, waits=waits, refusal=refusal, repeatable=repeatable, altered=altered
            )
            held.command, held.key, held.commits = request.command, request.key, request.places or ()
            trigger.give(held)
            helds.append(held)
        return helds

    def _waits(self) -> bool:
        # Ask the kernel: this thread may not have run yet, and reads nothing while it holds a request.
        return not (self._up.ended or _hung_up(self._down.writer))

    async def _stand(self, helds: list[Held]) -> Fate:
        """Wait until every fault that holds the message has decided its fate; return the most severe."""
        fates = []
        for held in helds:
            try:
                async with asyncio.timeout(LONGEST_HELD):
                    fates.append(await asyncio.wrap_future(held.fate))
            except TimeoutError:
                self._tap.give_up(TimeoutError(f"nobody released {held.what} within {LONGEST_HELD:g} s"))
        worst = max(fates, key=_gravity, default=PASSES)
        for fate in fates:
            if fate is not worst:
                fate.over()
        return worst


def _gravity(fate: Fate) -> tuple[bool, ...]:
    return fate.lost, fate.reply is not None, fate.cut is not None, fate.alters is not None, fate.again


def _cut(message: Message, exchange: Exchange, fate: Fate) -> Cut | None:
    return Cut(message, exchange, fate.cut, fate) if fate.cut is not None else None


def _edited(going: bytes, base: int, edits: deque[Edit]) -> bytes:
    """Return bytes that begin at offset ``base`` with the edits in them applied; removes those edits."""
    if not edits:
        return going
    parts, at = [], base
    while edits and edits[0][0] < base + len(going):
        start, end, new = edits.popleft()
        parts += [going[at - base : start - base], new]
        at = end
    return b"".join([*parts, going[at - base :]])


def _hung_up(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end has closed the connection, even if its last bytes are still unread."""
    own = writer.get_extra_info("socket")
    if own is None or own.fileno() < 0:
        return True
    kernel = select.poll()
    kernel.register(own.fileno(), select.POLLRDHUP)
    return bool(kernel.poll(0))


def _close(writer: asyncio.StreamWriter, *, broken: bool) -> None:
    """Close one end; if the connection is ``broken``, reset it, as would happen without a tap."""
    if broken:
        own = writer.get_extra_info("socket")
        if own is not None:
            with contextlib.suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
    else:
        writer.close()
