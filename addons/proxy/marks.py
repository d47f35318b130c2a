"""Under the mark of which `tokenman run` a client's tunnel was opened: what comes inside of it no longer says so."""

from weakref import WeakKeyDictionary

from mitmproxy.connection import Client

_marks: WeakKeyDictionary[Client, str] = WeakKeyDictionary()


def put(client: Client, mark: str) -> None:
    if mark:
        _marks[client] = mark


def of(client: Client) -> str:
    """ "" for none."""
    return _marks.get(client, "")
