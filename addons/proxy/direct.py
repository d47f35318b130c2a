"""Serves governed HTTP/1.1 calls from the client's socket itself, below mitmproxy's layers.

Each connection begins here. While its requests are ordinary ones (an HTTP/1.1 head that can be read in one way only, a body of
declared length, for this listener or a host that is governed) they are read, carried and answered here, under the same rules
of the door (`addons.proxy.exchange`), for a fraction of what mitmproxy's layers cost. Anything else, be it TLS, CONNECT,
HTTP/2, a chunked body, a host that nobody governs or a malformed head, is handed over whole, from the first byte that is not
answered yet, to mitmproxy's own connection handler, which judges it as if this module were not there.

Only `tokenman up` listens in this way: under mitmproxy's own tools other add-ons look at flows, which are made there alone.
"""

import asyncio
import logging
import re
import sys
from collections.abc import Callable
from typing import cast

from addons.proxy.door import Refusal, RequestHead, Way
from addons.proxy.exchange import Call, Exchanges
from addons.proxy.gate import Gate
from addons.proxy.http1_answer import CLOSED, LINGER_S, AnswerWriter, End, Ending, Piece
from addons.proxy.layer import DRAIN_S
from addons.proxy.outlet import CLIENT_STALL_S, MAX_BUFFERED
from addons.proxy.servers import MAX_PIPELINED, UNREAD_S
from tokenman_core.clients.keys import PREFIX
from tokenman_core.errors import trace
from tokenman_core.headers import proxy_login
from tokenman_core.verdicts import Head, Headers

log = logging.getLogger("tokenman.door")

HandOver = Callable[[asyncio.Transport, bytes], None]
"""Makes mitmproxy the owner of a connection, and gives it the bytes that came."""

_END = re.compile(rb"\n\r?\n")
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # RFC 9110 §5.6.2
_HEAD = re.compile(
    rb"([A-Z]{1,20}) ([!-~]++) HTTP/1\.1\r\n((?:" + _TOKEN + rb":[^\r\n\0]*+\r\n)*+)\r\n"
)  # RFC 9112 §3 and §5, in the strictest reading: no folded lines, no bare CR or LF, no blank before the colon
_FIELD = re.compile(rb"(" + _TOKEN + rb"):([^\r\n\0]*+)\r\n")
_ABSOLUTE = re.compile(rb"http://([0-9A-Za-z.\-]++)(?::([0-9]{1,5}))?(/[!-~]*+)?")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_JOINED = 16 << 10  # bytes of an answer up to which its pieces are put together; more go to the kernel as they are


class Direct:
    """What all connections of a listener share."""

    def __init__(self, exchanges: Exchanges, gate: Gate) -> None:
        self.exchanges, self.gate = exchanges, gate

    def connection(self, hand_over: HandOver) -> "Connection":
        return Connection(self, hand_over)


class Answering:
    """One call on its way, and where its answer goes (`addons.proxy.exchange.Channel`)."""

    __slots__ = ("_aborted", "_connection", "_task", "call", "closes", "ended", "writer")

    def __init__(self, connection: "Connection", call: Call, method: str, closes: bool) -> None:
        self._connection, self.call, self.closes = connection, call, closes
        self.writer = AnswerWriter(method)
        self.ended = self._aborted = False
        self._task: asyncio.Task[object] | None = None

    def begin(self) -> None:
        self._task = asyncio.current_task()
        if self._aborted:
            raise asyncio.CancelledError

    async def send(self, *pieces: Piece) -> None:
        if self._aborted or self.ended:
            raise asyncio.CancelledError("the client has left")
        await self._connection.put(self, pieces)

    def abort(self) -> None:
        self._aborted = True
        if self._task is not None and not self.ended:
            self._task.cancel()


class Connection(asyncio.Protocol):
    """One client. It has one call at a time; what it sends ahead waits."""

    def __init__(self, shared: Direct, hand_over: HandOver) -> None:
        self._exchanges, self._gate, self._hand_over = shared.exchanges, shared.gate, hand_over
        self._loop = asyncio.get_running_loop()
        self._buf = bytearray()
        self._head: tuple[Answering, int] | None = None  # a call whose body is still to come, and the bytes of that
        self._answering: Answering | None = None
        self._running: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected before it ends
        self._draining = 0  # bytes that are still to be read and thrown away
        self._gone = False  # closed, or handed over
        self._room: asyncio.Future[None] | None = None
        self._full = False
        self._deadline = 0.0  # by the loop's clock; 0: none
        self._timer: asyncio.TimerHandle | None = None

    # -- the socket --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=MAX_BUFFERED)
        self._listener = cast(tuple[str, int], transport.get_extra_info("sockname")[:2])
        self._peer = str(transport.get_extra_info("peername")[0])
        if not self._gate.enter():
            self._leave()
            self._transport.abort()
            return
        self._within(self._exchanges.header_timeout)

    def data_received(self, data: bytes) -> None:
        if self._gone:
            return
        if self._draining:
            self._drained(len(data))
            return
        self._buf += data
        try:
            self._advance()
        except Exception as e:  # whatever it was: what is half read is judged by nobody, and goes nowhere
            log.error("a client was dropped: %s", trace(e))
            self._drop()

    def eof_received(self) -> None:
        """A client that closes its half has left: asyncio closes the other one."""

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()
        if self._head is not None:
            call, self._head = self._head[0].call, None
            self._exchanges.over(call)
        if self._answering is not None:
            self._answering.abort()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _leave(self) -> None:
        if not self._gone:
            self._gone = True
            self._gate.leave()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self) -> None:
        """At once: `close` would wait for a reader that never reads."""
        self._transport.abort()

    def _yield(self) -> None:
        """mitmproxy goes on with all that is not answered yet."""
        self._leave()
        self._hand_over(self._transport, bytes(self._buf))
        self._buf.clear()

    # -- deadlines of the client: one timer, which looks when it rings whether its time has really come --

    def _within(self, seconds: float) -> None:
        """The client has that long to do its next step; 0 is for ever."""
        if not seconds:
            self._deadline = 0.0
            return
        self._deadline = due = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._rings)

    def _rings(self) -> None:
        self._timer = None
        if self._deadline and self._loop.time() >= self._deadline:
            self._drop()
        elif self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._rings)

    # -- requests --

    def _advance(self) -> None:
        """As far as what has come allows."""
        while not self._gone and not self._draining:
            if self._answering is not None:
                if len(self._buf) > MAX_PIPELINED:
                    self._drop()
                return
            if self._head is None and not self._read_head():
                return
            if self._head is None:
                continue
            answering, length = self._head
            if len(self._buf) < length:
                return
            body = bytes(self._buf) if len(self._buf) == length else bytes(memoryview(self._buf)[:length])
            del self._buf[:length]
            self._head, self._deadline = None, 0.0
            answering.call.body = body
            self._answering = answering
            task = asyncio.Task(self._carry(answering), loop=self._loop, eager_start=True)
            if not task.done():
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    def _read_head(self) -> bool:
        """Whether a head was there, and there is something to go on with."""
        buf = self._buf
        if not buf:
            return False
        end = _END.search(buf)
        if end is None:
            if not 65 <= buf[0] <= 90 or len(buf) > self._exchanges.head_cap or buf.startswith((b"CONNECT ", b"PRI ")):
                self._yield()
            else:
                self._first_bytes()
            return False
        found = _HEAD.fullmatch(buf, 0, end.end())
        read = self._request(found) if found is not None else None
        if read is None:
            self._yield()
            return False
        head, place, length, closes, expects = read
        del buf[: end.end()]
        user, password = proxy_login(head.fields) if b"proxy-authorization" in expects else ("", "")
        key = next((each for each in (password, user) if each.startswith(PREFIX)), "")
        try:
            call = self._exchanges.open(head, place, Way(self._listener, user, key, self._peer))
        except Refusal as refusal:
            self._refuse(refusal, head.method, length, closes)
            return True
        cap = self._exchanges.body_cap(call)
        if cap and length > cap:
            self._refuse(self._exchanges.too_large(call), head.method, length, closes)
            return True
        self._head = Answering(self, call, head.method, closes), length
        if length > len(buf):
            self._within(self._exchanges.body_timeout)
            if expects.get(b"expect", b"").lower() == b"100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _first_bytes(self) -> None:
        """Of a head whose rest is to come: the time between two requests is over."""
        due = self._loop.time() + self._exchanges.header_timeout
        if self._exchanges.header_timeout and (not self._deadline or due < self._deadline):
            self._within(self._exchanges.header_timeout)

    def _request(
        self, found: re.Match[bytes]
    ) -> tuple[RequestHead, tuple[str, int] | None, int, bool, dict[bytes, bytes]] | None:
        """The head, where it leads (None: to this listener), the bytes of its body, whether the connection ends with it, and its
        fields by their names in lower case, the last of each. None: it is mitmproxy's."""
        exchanges = self._exchanges
        method, target, lines = found.group(1, 2, 3)
        fields: Headers = tuple([(name, value.strip()) for name, value in _FIELD.findall(lines)])
        names = {name.lower(): value for name, value in fields}
        size = len(target) + len(lines) + 2 * len(fields)
        if b"transfer-encoding" in names or len(fields) > exchanges.header_count or size > exchanges.head_cap:
            return None
        length = 0
        if (said := names.get(b"content-length")) is not None:
            if _LENGTH.fullmatch(said) is None or sum(name.lower() == b"content-length" for name, _ in fields) != 1:
                return None
            length = int(said)
        place: tuple[str, int] | None = None
        if target[0] != 0x2F:
            absolute = _ABSOLUTE.fullmatch(target)
            if absolute is None:
                return None
            host, port = absolute[1].decode("ascii"), int(absolute[2] or 80)
            target = absolute[3] or b"/"
            if not exchanges.is_listener(host, port):
                place = host, port
                if not exchanges.governs(host, port):
                    return None
        tokens = names.get(b"connection", b"").lower().split(b",")
        closes = any(token.strip() == b"close" for token in tokens)
        return RequestHead(method.decode("ascii"), target.decode("ascii"), fields), place, length, closes, names

    # -- answers --

    async def _carry(self, answering: Answering) -> None:
        try:
            await self._exchanges.carry(answering.call, answering)
        except (
            Exception
        ) as e:  # what is told once a call is over is not the call; if it has no answer, it gets one below
            log.error("the end of a call failed: %s", trace(e))
        if answering.ended or self._gone:
            return
        if answering.writer.started:
            self._write(answering, (End(broken=True),))
        else:
            refusal = self._exchanges.broken(answering.call)
            self._write(answering, (refusal.head, refusal.body, End()))

    async def put(self, answering: Answering, pieces: tuple[Piece, ...]) -> None:
        """Raises CancelledError where the client takes nothing."""
        self._write(answering, pieces)
        if not self._full or self._gone:
            return
        self._room = self._loop.create_future()
        try:
            async with asyncio.timeout(CLIENT_STALL_S):
                await self._room
        except TimeoutError:
            self._drop()
            raise asyncio.CancelledError("the client takes nothing") from None
        finally:
            self._room = None

    def _write(self, answering: Answering, pieces: tuple[Piece, ...]) -> None:
        if answering.closes:
            pieces = tuple(_closing(piece) for piece in pieces)
        out, ending = answering.writer.write(pieces)
        self._out(out)
        if ending != "none":
            answering.ended = True
            self._answering = None
            self._behind(ending)

    def _out(self, out: list[bytes]) -> None:
        if not out:
            return
        if len(out) > 1 and sum(map(len, out)) > _JOINED:
            self._transport.writelines(out)
        else:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _behind(self, ending: Ending) -> None:
        """What becomes of the connection now that an answer has ended."""
        if ending in ("close", "cut"):
            self._end(ending)
            return
        keep = self._exchanges.keepalive_timeout
        self._within(min(LINGER_S, keep or LINGER_S) if ending == "linger" else keep)
        if self._buf:
            self._loop.call_soon(self.data_received, b"")

    def _end(self, ending: Ending) -> None:
        """No call comes behind this answer: what the client has sent ahead, and sends still, is thrown away.

        The connection is closed on our side alone at first: closed with something unread, it would be reset, and the answer lost.
        """
        self._buf.clear()
        self._draining = sys.maxsize
        if ending == "cut" or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()
        self._within(CLIENT_STALL_S if self._transport.get_write_buffer_size() else UNREAD_S)

    def _refuse(self, refusal: Refusal, method: str, length: int, closes: bool) -> None:
        """Answers at the head. What is still to come of a body is read and thrown away, so that the answer arrives."""
        head = refusal.head
        if length or closes:
            head = Head(head.status, (*head.headers, *CLOSED))
        out, ending = AnswerWriter(method).write((head, refusal.body, End()))
        self._out(out)
        if not length:
            self._behind(ending)
            return
        self._draining = length
        self._within(DRAIN_S)
        came = len(self._buf)
        self._buf.clear()
        self._drained(came)

    def _drained(self, size: int) -> None:
        self._draining -= size
        if self._draining <= 0:
            self._draining = 1  # what comes behind is nobody's
            self._transport.close()


def _closing(piece: Piece) -> Piece:
    if isinstance(piece, Head) and not any(name.lower() == b"connection" for name, _ in piece.headers):
        return Head(piece.status, (*piece.headers, *CLOSED))
    return piece
