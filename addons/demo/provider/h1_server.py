"""One HTTP/1.1 connection of the fake provider, by h11; whatever arrives outside of any request is noted as stray."""

import asyncio
from dataclasses import replace
from typing import Protocol

import h11

from addons.demo.provider.wire import BODY_CAP, Cut, Endpoint, Pause, Received, Reply, Reset, Stall, reset


class Log(Protocol):
    """Where connections report. All calls happen on the server's event loop."""

    def received(self, version: str, connection: int, method: str, target: str) -> Received: ...
    def complete(self, received: Received) -> None: ...
    def over(self, received: Received, client_left: bool) -> None: ...
    def stray(self, connection: int, data: bytes) -> None: ...


class H1Connection:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, endpoint: Endpoint, log: Log
    ) -> None:
        self._reader, self._writer, self._number = reader, writer, number
        self._endpoint, self._log = endpoint, log
        self._unread = b""  # the last read bytes: what h11 refuses it does not give back
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=128 * 1024)

    async def serve(self) -> None:
        """Until the client leaves, an answer ends the connection, or something arrives that is no request."""
        while self._h11.our_state is h11.IDLE and (received := await self._request()):
            if trailing := self._h11.trailing_data[0]:
                self._log.stray(self._number, trailing)
            reply = await self._endpoint(received)
            if received.method == "HEAD":
                reply = replace(reply, steps=())
            received.status = reply.status
            whole = await self._watched(reply)
            self._log.over(received, client_left=whole is None)
            if whole:
                self._log.stray(self._number, whole)
            if whole is None or whole or trailing or not self._is_done():
                return
            self._h11.start_next_cycle()

    def _is_done(self) -> bool:
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    async def _request(self) -> Received | None:
        try:
            head = await self._event()
            if not isinstance(head, h11.Request):
                return None
            received = self._log.received("1.1", self._number, head.method.decode(), head.target.decode("latin-1"))
            received.headers += [(k.decode("latin-1"), v.decode("latin-1")) for k, v in head.headers.raw_items()]
            if self._h11.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            body = bytearray()
            while not isinstance(event := await self._event(), h11.EndOfMessage):
                if not isinstance(event, h11.Data):
                    self._log.over(received, client_left=True)
                    return None
                if len(body) < BODY_CAP:
                    body += event.data
            received.body = bytes(body)
            self._log.complete(received)
            return received
        except h11.RemoteProtocolError as error:
            self._log.stray(self._number, self._unread or str(error).encode())
            if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                refusal = h11.Response(status_code=400, headers=[("content-length", "0"), ("connection", "close")])
                await self._send(refusal)
            return None

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # NEED_DATA is the one that it cannot be any more
            try:
                self._unread = await self._reader.read(65536)
            except ConnectionError:
                self._unread = b""
            self._h11.receive_data(self._unread)

    async def _watched(self, reply: Reply) -> bytes | None:
        """Answers while listening. None: the client left first; else what it sent meanwhile: nothing, if all is well."""
        answer = asyncio.ensure_future(self._answer(reply))
        listen = asyncio.ensure_future(self._reader.read(65536))
        try:
            await asyncio.wait({answer, listen}, return_when=asyncio.FIRST_COMPLETED)
            left = not answer.done() and (listen.exception() is not None or not listen.result())
            if left:
                answer.cancel()
            done = (await asyncio.gather(answer, return_exceptions=True))[0]
            if isinstance(done, asyncio.CancelledError | OSError):
                return None
            if isinstance(done, BaseException):
                raise done
            return listen.result() if listen.done() and not listen.exception() else b""
        finally:
            for task in (answer, listen):
                task.cancel()
            await asyncio.gather(answer, listen, return_exceptions=True)

    async def _answer(self, reply: Reply) -> None:
        for step in reply.head_steps:
            if await self._breaks(step):
                return
        framing = ("content-length", str(reply.length)) if reply.framed else ("transfer-encoding", "chunked")
        await self._send(h11.Response(status_code=reply.status, headers=[*reply.headers, framing]))
        for step in reply.steps:
            if isinstance(step, bytes):
                await self._send(h11.Data(data=step))
            elif await self._breaks(step):
                return
        await self._send(h11.EndOfMessage())

    async def _breaks(self, step: object) -> bool:
        """Carries out a step that is no data; true if there is nothing more to say on this connection."""
        match step:
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return False
            case Reset():
                reset(self._writer)
            case Cut():
                self._writer.close()
            case Stall():
                await asyncio.Event().wait()
        return True

    async def _send(self, event: h11.Response | h11.InformationalResponse | h11.Data | h11.EndOfMessage) -> None:
        self._writer.write(self._h11.send(event) or b"")
        await self._writer.drain()
