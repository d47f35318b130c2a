"""The detection worker: a process of its own that judges the texts it is sent, until its parent closes the pipe or dies.

Run as `python -m tokenman_core.redaction.worker`; it speaks the frames of `frames` on its standard input and output. Its first
frame says what to make the detectors from; it says `ready` once they stand, presidio imported, and again after each change of
them. It opens no file or socket, keeps nothing of what it has read, and ends when it has grown too large, to be replaced.
"""

import gc
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from tokenman_core.redaction.frames import (
    GATE,
    LENGTH,
    OPTIONS,
    OUTGROWN,
    READY,
    pack_findings,
    pack_raised,
    unpack_options,
    unpack_texts,
)

GROWTH = 512 * 1024 * 1024  # bytes by which it may grow beyond what it has once its detectors stand
# Judged before the worker says that it is ready: the libraries load and compile what they need for the first value of a kind.
_SAMPLE = (
    "jane@mail.example.co.uk +1 415 555 2671, 052-123-4567, +44 20 7946 0958, 4111 1111 1111 1111, DE89370400440532013000\n"
    'password = "kite7Wing!" DATABASE_URL=postgres://app:pw7xK@db.example.com/prod, host 203.0.113.7, SSN 219-09-9999, passport '
    "no. X12345678, born 1980-01-02; the password is Zebra-77%40 and its token c2sgYW5kIHNvIG9uIGFuZCBzbyBvbi4=\\n"
)
_STATM = Path("/proc/self/statm")


def resident() -> int:
    """Bytes of memory that this process has; where the system does not say, the most it ever had, or 0 (Windows)."""
    if sys.platform == "win32":
        return 0
    import resource

    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def serve(source: BinaryIO, sink: BinaryIO, growth: int = GROWTH) -> int:
    """Answer job after job until the source ends, or too much memory is taken. The exit status.

    Raises AssertionError if the first frame holds no options.
    """
    from tokenman_core.redaction.detectors.detector import Detector
    from tokenman_core.redaction.detectors.gate import HyperscanGate, Re2Gate

    detector: Detector | None = None
    gate: Re2Gate | HyperscanGate | None = None  # the fastest comes as a frame, if it is there; else the other is made
    first = 0
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        (size,) = LENGTH.unpack(head)
        frame = source.read(size)
        if len(frame) < size:
            break
        kind, body = frame[:1], memoryview(frame)[1:]
        if kind == OPTIONS:
            gate = gate or Re2Gate()
            detector = Detector(gate, unpack_options(bytes(body)))
            detector.find(_SAMPLE)
            sink.write(READY)
            first = resident()
            gc.freeze()  # what is loaded stays, and is never looked through for garbage
        elif kind == GATE:
            gate = HyperscanGate(bytes(body))
            if detector is not None:
                detector.gate = gate
                detector.find(_SAMPLE)
        else:
            assert detector is not None
            try:
                answer = pack_findings([detector.find(text, key) for text, key in unpack_texts(body)])
            except MemoryError:
                raise  # whatever else it does after that is not to be trusted
            except Exception as e:  # of one job, which is refused: the others need a worker that goes on
                answer = [pack_raised(e)]
            sink.writelines(answer)
        del frame, body
        sink.flush()
        if first and resident() - first > growth:
            return OUTGROWN
    return 0


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which drains its calls first
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the frames
    status = 0
    try:
        status = serve(sys.stdin.buffer, sink)
    except BrokenPipeError:
        pass
    os._exit(status)  # nothing to clean up, and nothing that could hang


if __name__ == "__main__":
    main()
