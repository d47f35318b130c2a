"""One HTTP/2 connection of the fake provider, by h2: streams are answered side by side, each under flow control."""

import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from addons.demo.provider.h1_server import Log
from addons.demo.provider.wire import BODY_CAP, Cut, Endpoint, Pause, Received, Reply, Reset, Stall


class H2Connection:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, endpoint: Endpoint, log: Log
    ) -> None:
        self._reader, self._writer, self._number = reader, writer, number
        self._endpoint, self._log = endpoint, log
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._requests: dict[int, tuple[Received, bytearray]] = {}
        self._answers: dict[int, asyncio.Task[None]] = {}
        self._window = asyncio.Event()  # set and replaced whenever a window may have grown

    async def serve(self) -> None:
        """Until the client leaves or breaks the protocol, which is noted as stray."""
        self._h2.initiate_connection()
        self._flush()
        try:
            while data := await self._reader.read(65536):
                for event in self._h2.receive_data(data):
                    self._on(event)
                self._flush()
                await self._writer.drain()
        except h2.exceptions.ProtocolError as error:
            self._log.stray(self._number, str(error).encode())
            self._flush()
        finally:
            for stream_id in list(self._requests):
                self._end(stream_id, client_left=True)
            await asyncio.gather(*self._answers.values(), return_exceptions=True)

    def _on(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream_id)):
                headers = [(str(key), str(value)) for key, value in event.headers or []]
                pseudo = dict(headers)
                received = self._log.received("2", self._number, pseudo[":method"], pseudo.get(":path", ""))
                received.headers += headers
                self._requests[stream_id] = (received, bytearray())
            case h2.events.DataReceived(stream_id=int(stream_id)):
                body = self._requests[stream_id][1]
                if len(body) < BODY_CAP:
                    body += event.data or b""
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
            case h2.events.StreamEnded(stream_id=int(stream_id)):
                received, body = self._requests[stream_id]
                received.body = bytes(body)
                self._log.complete(received)
                self._answers[stream_id] = asyncio.ensure_future(self._answer(stream_id, received))
            case h2.events.StreamReset(stream_id=int(stream_id)):
                self._end(stream_id, client_left=True)
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._window.set()
                self._window = asyncio.Event()

    def _end(self, stream_id: int, client_left: bool) -> None:
        """The first call for a stream says how it ended; later ones change nothing."""
        if request := self._requests.pop(stream_id, None):
            self._log.over(request[0], client_left)
            if client_left and (answer := self._answers.get(stream_id)):
                answer.cancel()

    async def _answer(self, stream_id: int, received: Received) -> None:
        try:
            reply = await self._endpoint(received)
            received.status = reply.status
            await self._send(stream_id, reply)
            self._end(stream_id, client_left=False)
        except (OSError, h2.exceptions.ProtocolError):
            self._end(stream_id, client_left=True)
        finally:
            self._answers.pop(stream_id, None)

    async def _send(self, stream_id: int, reply: Reply) -> None:
        for step in reply.head_steps:
            if await self._breaks(stream_id, step):
                return
        length = [("content-length", str(reply.length))] if reply.framed else []
        self._h2.send_headers(stream_id, [(":status", str(reply.status)), *reply.headers, *length])
        self._flush()
        for step in reply.steps:
            if isinstance(step, bytes):
                await self._data(stream_id, step)
            elif await self._breaks(stream_id, step):
                return
        self._h2.end_stream(stream_id)
        self._flush()
        await self._writer.drain()

    async def _data(self, stream_id: int, data: bytes) -> None:
        while data:
            room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if room <= 0:
                await self._window.wait()
                continue
            self._h2.send_data(stream_id, data[:room])
            data = data[room:]
            self._flush()
            await self._writer.drain()

    async def _breaks(self, stream_id: int, step: object) -> bool:
        """Carries out a step that is no data; true if there is nothing more to say on this stream."""
        match step:
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return False
            case Reset():
                self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            case Cut():
                self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.NO_ERROR)
            case Stall():
                await asyncio.Event().wait()
        self._flush()
        return True

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
