"""A bounded copy of what a provider says, as it comes: what is booked for a stream that told no usage is read from it."""


class Capture:
    """Bytes of one answer, in no content coding and with its values masked. The first `cap` are kept (0: all), all are counted.

    `stream`: server-sent events, or with `array` the elements of one; else a plain body.
    """

    __slots__ = ("_cap", "_data", "array", "seen", "stream")

    def __init__(self, cap: int, *, stream: bool, array: bool = False) -> None:
        self._cap, self.stream, self.array = cap, stream, array
        self._data = bytearray()
        self.seen = 0

    def add(self, piece: bytes) -> None:
        """One more piece, as it came."""
        self.seen += len(piece)
        if not self._cap:
            self._data += piece
        elif (room := self._cap - len(self._data)) > 0:
            self._data += piece if len(piece) <= room else piece[:room]

    @property
    def data(self) -> bytes:
        """A copy of what is kept."""
        return bytes(self._data)

    def first(self, count: int) -> bytes:
        """A copy of the first bytes of what is kept."""
        return bytes(self._data[:count])

    def last(self, count: int) -> bytes:
        """A copy of the last bytes of what is kept."""
        return bytes(self._data[-count:])

    @property
    def kept(self) -> int:
        return len(self._data)

    @property
    def truncated(self) -> bool:
        """Whether more came than is kept."""
        return self.seen > len(self._data)
