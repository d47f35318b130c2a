"""With which mark of a run and which virtual key a client's tunnel was opened: what comes inside of it no longer says so."""

from weakref import WeakKeyDictionary

from mitmproxy.connection import Client

_marks: WeakKeyDictionary[Client, str] = WeakKeyDictionary()
_keys: WeakKeyDictionary[Client, str] = WeakKeyDictionary()


def put(client: Client, mark: str, key: str) -> None:
    if mark:
        _marks[client] = mark
    if key:
        _keys[client] = key


def of(client: Client) -> str:
    """ "" for none."""
    return _marks.get(client, "")


def key_of(client: Client) -> str:
    """ "" for none."""
    return _keys.get(client, "")
