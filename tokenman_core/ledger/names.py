"""Texts that repeat from call to call, kept once and named by a number."""

import sqlite3

_MOST_KNOWN = 20_000  # texts held in memory; then it begins anew
_PER_STEP = 5_000  # numbers looked at in one step of the purge


class Names:
    """The numbers of texts, within the transaction of whoever asks. 0 is the empty text.

    After a transaction that failed call `forget`: numbers that were given in it are void.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[str, tuple[int, int]] = {}  # text -> number, the last day that the file has as `used`

    def number(self, text: str, day: int) -> int:
        """The number of a text that a row of this day (since the epoch) names. Raises sqlite3.Error."""
        if not text:
            return 0
        number, used = self._known.get(text, (0, -1))
        if used >= day:
            return number
        row = self._connection.execute(
            "insert into names (text, used) values (?, ?) on conflict (text) do update set used = max(used, excluded.used)"
            " returning n, used",
            (text, day),
        ).fetchone()
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[text] = (row[0], row[1])
        found: int = row[0]
        return found

    def forget(self) -> None:
        self._known.clear()

    def purge(self, oldest_day: int, after: int) -> int | None:
        """Removes names that no row of `oldest_day` or later has, among the next few thousand numbers behind `after`.

        Where to go on, or None at the end. In a transaction of the caller's. Raises sqlite3.Error.
        """
        last = self._connection.execute("select max(n) from names").fetchone()[0]
        if last is None or after >= last:
            return None
        self._connection.execute(
            "delete from names where n > ? and n <= ? and used < ?", (after, after + _PER_STEP, oldest_day)
        )
        return after + _PER_STEP
