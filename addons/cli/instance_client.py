"""Talks to the TokenMan that runs on this machine, and to no other: each connection proves itself before it is told anything."""

import contextlib
import hmac
import http.client
import json
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

from tokenman_core import instance
from tokenman_core.config.models import Settings
from tokenman_core.config.values import Address
from tokenman_core.errors import ConfigError

TIMEOUT_S = 10.0
_MOST = 64 << 20  # bytes of an answer
_PROOF_LENGTH = 64  # hex digits


class InstanceError(Exception):
    """The running instance did not do what was asked. The message says why, and what to do.

    `passing`: because it is ending, or ended just now.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class Stranger(InstanceError):
    """What listens there is not the TokenMan of this data folder."""


class Client:
    """A running instance that has proved itself. Methods raise InstanceError."""

    def __init__(self, running: instance.Running, key: bytes, token: str) -> None:
        self.running, self._key, self._token = running, key, token

    def get(self, path: str) -> Any:
        """The JSON that stands at `path`, such as `/api/summary?since=7d`."""
        return self._ask("GET", path)

    def post(self, path: str, value: Any) -> Any:
        return self._ask("POST", path, value)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def lines(self, path: str) -> Iterator[Any]:
        """The JSON of each server-sent event from now on, as they come; ends when the instance does."""
        connection, answer = self._open("GET", path)
        _without_deadline(connection)
        return self._told(connection, answer)

    def _told(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[Any]:
        try:
            while line := self._line(answer):
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])
        finally:
            connection.close()

    def hold(self, path: str, value: Any) -> "Held":
        """Posts, and keeps the connection: what was asked for lasts as long as it does."""
        return Held(*self._open("POST", path, value))

    def prove_proxy(self) -> None:
        """Raises InstanceError if the proxy's port does not prove itself."""
        _proved(self.running.proxy, self._key).close()

    def _ask(self, method: str, path: str, value: Any = None) -> Any:
        connection, answer = self._open(method, path, value)
        try:
            text = answer.read(_MOST)
            return json.loads(text) if text else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._gone(error) from error
        finally:
            connection.close()

    def _open(
        self, method: str, path: str, value: Any = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = _proved(self.running.admin, self._key)
        headers = {"authorization": f"Bearer {self._token}"}
        body = None
        if value is not None:
            body, headers["content-type"] = json.dumps(value).encode(), "application/json"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise self._refused(path, answer.status, answer.read(_MOST))
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._gone(error) from error
        except InstanceError:
            connection.close()
            raise
        return connection, answer

    def _line(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            return answer.readline(_MOST)
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from error

    def _refused(self, path: str, status: int, body: bytes) -> InstanceError:
        try:
            error = json.loads(body)["error"]
            kind, said = error["type"], error["message"]
        except (ValueError, KeyError, TypeError):
            kind, said = "", f"it answered with {status}"
        if status in (401, 403):
            said += "; the token is that of TOKENMAN_ADMIN_TOKEN or of the file admin-token in data_dir"
        return InstanceError(
            f"the running tokenman refused {urllib.parse.urlsplit(path).path}: {said}", passing=kind == "shutdown"
        )

    def _gone(self, error: Exception) -> InstanceError:
        why = str(error) or type(error).__name__
        return InstanceError(f"the running tokenman (process {self.running.pid}) did not answer: {why}", passing=True)


class Held:
    """An open connection to the instance; `first` is the JSON of its first line. What comes behind it is read and dropped.

    `ended` is set when the connection has, whoever ended it.
    """

    def __init__(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self._connection, self._answer = connection, answer
        self.ended = threading.Event()
        _without_deadline(connection)
        try:
            self.first: Any = json.loads(answer.readline(_MOST))
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            raise InstanceError("the running tokenman ended while it was asked", passing=True) from None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):  # broken off: over either way
            while self._answer.readline(_MOST):
                pass
        self.ended.set()
        self._connection.close()

    def close(self) -> None:
        if (sock := self._connection.sock) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._reader.join(TIMEOUT_S)


def _without_deadline(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:  # an answer whose end is the connection's has taken the socket with it
        connection.sock.settimeout(None)


def connect(settings: Settings) -> Client | None:
    """The instance that runs on the data folder, once its admin port has proved that it is; None if there is none.

    Raises InstanceError if it runs and its admin token cannot be had.
    """
    running = instance.running(settings.data_dir)
    if running is None:
        return None
    try:
        key = instance.proof_key(settings)
        _proved(running.admin, key).close()
    except (InstanceError, ConfigError):
        return None
    return Client(running, key, _token(settings))


def _token(settings: Settings) -> str:
    if settings.admin.token is not None:
        return settings.admin.token.get_secret_value()
    path = settings.data_dir / "admin-token"
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise InstanceError(
            f"the admin token in {path} cannot be read; end the running tokenman and start it anew"
        ) from None


def _proved(address: Address, key: bytes) -> http.client.HTTPConnection:
    """A connection to a listener that has proved itself on it, and that is still open: a new one could lead to another.

    Raises InstanceError if nothing listens, Stranger if something else does.
    """
    connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
    nonce = instance.new_nonce()
    try:
        connection.request("GET", f"{instance.PROOF_PATH}?nonce={nonce}")
        answer = connection.getresponse()
        said = answer.read(_PROOF_LENGTH)
        answer.read(1)  # to its end, so that the connection is free for the next request
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise InstanceError(f"nothing answers at {address}: {error}", passing=True) from error
    expected = instance.proof(key, nonce, address).encode()
    if answer.status != 200 or not hmac.compare_digest(said, expected) or connection.sock is None:
        connection.close()
        raise Stranger(f"what listens at {address} is not the tokenman of this data folder")
    return connection
