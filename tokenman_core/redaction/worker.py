"""The detection worker: a process of its own that judges the texts it is sent, until its parent closes the pipe or dies.

Run as `python -m tokenman_core.redaction.worker`; it speaks the frames of `frames` on its standard input and output. Its first
frame says what to make the detectors from; it says `ready` once they stand, presidio imported, and again after each change of
them. It opens no file or socket, and keeps nothing of what it has read.
"""

import os
import signal
import sys
from typing import BinaryIO

from tokenman_core.redaction.frames import LENGTH, OPTIONS, READY, pack_findings, unpack_options, unpack_texts


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer job after job until the source ends. Raises AssertionError if the first frame holds no options."""
    from tokenman_core.redaction.detectors.detector import Detector
    from tokenman_core.redaction.detectors.gate import make_gate

    gate = make_gate()
    detector: Detector | None = None
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        (size,) = LENGTH.unpack(head)
        frame = source.read(size)
        if len(frame) < size:
            return
        kind, body = frame[:1], memoryview(frame)[1:]
        if kind == OPTIONS:
            detector = Detector(gate, unpack_options(bytes(body)))
            sink.write(READY)
        else:
            assert detector is not None
            sink.write(pack_findings([detector.find(text, key) for text, key in unpack_texts(body)]))
        sink.flush()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which drains its calls first
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the frames
    try:
        serve(sys.stdin.buffer, sink)
    except BrokenPipeError:
        pass
    os._exit(0)  # nothing to clean up, and nothing that could hang


if __name__ == "__main__":
    main()
