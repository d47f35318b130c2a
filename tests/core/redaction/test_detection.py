"""The detection worker: what happens when it is slow, dies, is not there, or loses its parent."""

import asyncio
import contextlib
import inspect
import io
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path

import psutil
import pytest

from tokenman_core.redaction import CALLER, Detection, Finding, Text, TextRefused, WorkerUnavailable
from tokenman_core.redaction.detection import BATCH, more_time, workers_for
from tokenman_core.redaction.detectors.custom import BadPattern
from tokenman_core.redaction.detectors.gate import HyperscanGate, Re2Gate, compile_database
from tokenman_core.redaction.detectors.options import PLAIN, Custom, Options
from tokenman_core.redaction.frames import (
    LENGTH,
    OPTIONS,
    OUTGROWN,
    READY,
    TEXTS,
    Answer,
    DetectorRaised,
    pack_findings,
    pack_options,
    pack_texts,
    unpack_options,
    unpack_texts,
)
from tokenman_core.redaction.process import COMMAND
from tokenman_core.redaction.worker import resident, serve

# A worker that obeys the text it is sent: it speaks the frames, and needs no presidio.
OBEDIENT = (
    sys.executable,
    "-c",
    textwrap.dedent(
        """
        import os, sys, time
        from tokenman_core.redaction.entities import Finding
        from tokenman_core.redaction.frames import *
        source, sink = sys.stdin.buffer, sys.stdout.buffer
        while head := source.read(4):
            frame = source.read(LENGTH.unpack(head)[0])
            if frame[:1] == OPTIONS:
                options = unpack_options(frame[1:])
                if options.ner == "missing":
                    os._exit(1)
                if options.ner.startswith("touch:"):
                    open(options.ner[6:], "w").close()
                while options.ner.startswith("await:") and not os.path.exists(options.ner[6:]):
                    time.sleep(0.01)
                sink.write(READY); sink.flush()
                continue
            if frame[:1] == GATE:
                if "GATE_SEEN" in os.environ: open(os.environ["GATE_SEEN"], "w").close()
                continue
            texts = unpack_texts(frame[1:])
            word = texts[0].text.split()[1]
            if word == "die" or (word.startswith("die-once:") and not os.path.exists(word[9:])):
                if ":" in word: open(word[9:], "w").close()
                os._exit(9)
            if word.startswith("outgrow:") and not os.path.exists(word[8:]):
                open(word[8:], "w").close()
                os._exit(OUTGROWN)
            if word.startswith("wait:"):
                while not os.path.exists(word[5:]): time.sleep(0.01)
            if word == "hang":
                time.sleep(60)
            if word == "raise":
                sink.write(pack_raised(RuntimeError("value-in-a-message")))
            elif word == "nonsense":
                sink.write(LENGTH.pack(4) + b".[]]")
            elif word == "options?":
                sink.writelines(pack_findings([(Finding(0, len(options.recognizers), options.ner.upper()),)]))
            elif word == "short":
                sink.writelines(pack_findings([]))
            else:
                sink.writelines(pack_findings([(Finding(0, 1, "PASSWORD"),) for _ in texts]))
            sink.flush()
        """
    ),
)
FOUND = [(Finding(0, 1, "PASSWORD"),)]


def asks(word: str) -> list[Text]:
    """A text that trips the gate, so that it goes to the worker."""
    return [Text(f"a@example.com {word} ")]


@pytest.fixture
async def detection() -> AsyncIterator[Detection]:
    made = Detection(command=OBEDIENT)
    await made.start()
    yield made
    await made.close()


async def test_a_text_that_trips_goes_to_the_worker_and_one_that_does_not_stays(detection: Detection) -> None:
    assert await detection.find([Text("plain"), *asks("x"), Text("plain")]) == [(), FOUND[0], ()]


async def test_much_fresh_text_goes_to_the_worker_unseen(detection: Detection) -> None:
    assert await detection.find([Text("plain words " * (HyperscanGate.inline // 8))]) == FOUND


async def test_a_large_request_goes_in_batches_and_comes_back_in_order(detection: Detection) -> None:
    texts = [Text(f"{number} words " * (BATCH // 30)) for number in range(12)]
    assert await detection.find([*texts, Text("x y")]) == FOUND * 13


async def test_a_telling_key_goes_to_the_worker(detection: Detection) -> None:
    assert await detection.find([Text("x y z", "password")]) == FOUND


async def test_a_worker_that_is_killed_is_replaced_and_its_job_done_by_the_next(
    detection: Detection, tmp_path: Path
) -> None:
    mark = tmp_path / "died"
    assert await detection.find(asks(f"die-once:{mark}")) == FOUND
    assert mark.exists()
    assert await detection.find(asks("x")) == FOUND


async def test_a_worker_killed_while_idle_is_replaced(detection: Detection) -> None:
    await detection.ready()
    (first,) = detection.pids
    os.kill(first, signal.SIGKILL)
    while detection.pids == [first]:  # noqa: ASYNC110 of a worker's death there is no other sign
        await asyncio.sleep(0)
    assert await detection.find(asks("x")) == FOUND
    assert detection.pids != [first]


@pytest.mark.parametrize("word", ["die", "nonsense", "short"])
async def test_a_text_that_two_workers_die_of_is_refused_and_not_tried_again(detection: Detection, word: str) -> None:
    with pytest.raises(TextRefused):
        await detection.find(asks(word))
    assert await detection.find(asks("x")) == FOUND
    before = detection.pids
    with pytest.raises(TextRefused):
        await detection.find(asks(word))
    assert detection.pids == before  # no worker died for it again


async def test_the_death_of_a_worker_is_told_of_the_call_whose_text_it_was(detection: Detection) -> None:
    call: ContextVar[str] = ContextVar("call", default="")
    told: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(call.get())

    log, handler = logging.getLogger("tokenman.redaction"), Handler()
    log.addHandler(handler)
    try:
        call.set("this one")
        with pytest.raises(TextRefused):
            await detection.find(asks("die"))
    finally:
        log.removeHandler(handler)
    assert told == ["this one", "this one"]


async def test_a_text_over_which_workers_hang_is_refused() -> None:
    detection = Detection(command=OBEDIENT, judging_s=0.05)
    await detection.start()
    with pytest.raises(TextRefused):
        await detection.find(asks("hang"))
    await detection.close()


async def test_a_worker_that_is_stopped_is_killed_and_its_job_done_by_another() -> None:
    detection = Detection(command=OBEDIENT, judging_s=0.3)
    await detection.start()
    await detection.ready()
    (stopped,) = detection.pids
    os.kill(stopped, signal.SIGSTOP)
    assert await detection.find(asks("x")) == FOUND
    assert detection.pids != [stopped]
    assert not psutil.pid_exists(stopped)
    await detection.close()


def test_a_hung_worker_is_noticed_in_time_for_a_second_try() -> None:
    """Within the deadline that callers wait: twice the time for a batch, and the start of another worker (about 2 s)."""
    defaults = {name: each.default for name, each in inspect.signature(Detection).parameters.items()}
    batch = defaults["judging_s"] + BATCH * 3e-6
    assert batch < 6
    assert 2 * batch + 3 < defaults["deadline_s"]


async def test_an_answer_that_takes_too_long_is_not_waited_for() -> None:
    detection = Detection(command=OBEDIENT, deadline_s=0.05)
    await detection.start()
    with pytest.raises(WorkerUnavailable):
        await detection.find(asks("hang"))
    await detection.close()


async def test_more_than_may_wait_are_refused_at_once() -> None:
    detection = Detection(command=OBEDIENT, waiting=1)
    await detection.start()
    await detection.ready()
    busy = asyncio.create_task(detection.find(asks("hang")))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(detection.find(asks("x")))
    await asyncio.sleep(0)
    with pytest.raises(WorkerUnavailable):
        await detection.find(asks("x"))
    for task in (busy, waiting):
        task.cancel()
    await detection.close()


async def test_a_worker_that_never_comes_up_refuses_within_the_deadline() -> None:
    detection = Detection(command=(sys.executable, "-c", ""), deadline_s=0.1)
    await detection.start()
    with pytest.raises(WorkerUnavailable):
        await detection.find(asks("x"))
    await detection.close()


async def test_without_a_start_nothing_is_judged() -> None:
    with pytest.raises(WorkerUnavailable):
        await Detection().find([Text("plain")])


async def test_a_caller_that_leaves_stops_nobody(detection: Detection) -> None:
    leaving = asyncio.create_task(detection.find(asks("x")))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await detection.find(asks("x")) == FOUND


async def test_close_leaves_no_process() -> None:
    detection = Detection(command=OBEDIENT)
    await detection.start()
    await detection.ready()
    (pid,) = detection.pids
    await detection.close()
    assert not psutil.pid_exists(pid)


async def test_the_real_worker_judges_as_the_detector_does_and_holds_nothing_of_ours() -> None:
    detection = Detection()
    listener = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    await detection.start()
    texts = [
        Text("mail alice@example.com"),
        Text("x", "password"),
        Text("hunter2", "password"),
        Text("\ud800 +1 415 555 2671"),
    ]
    found = [[finding[:3] for finding in findings] for findings in await detection.find(texts)]
    assert found == [[(5, 22, "EMAIL_ADDRESS")], [], [(0, 7, "PASSWORD")], [(2, 17, "PHONE_NUMBER")]]
    (worker,) = [psutil.Process(pid) for pid in detection.pids]
    assert worker.net_connections() == []
    assert "alice" not in " ".join(worker.cmdline())
    await detection.close()
    listener.close()


def test_the_worker_ends_with_its_parent() -> None:
    worker = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(pack_options(PLAIN))
    worker.stdin.flush()
    assert worker.stdout.read(len(READY)) == READY
    worker.stdin.close()
    assert worker.wait(10) == 0
    worker.stdout.close()


def test_the_proxy_never_imports_presidio() -> None:
    code = (
        "import sys; import addons.cli.up, addons.proxy.master, tokenman_core.redaction;"
        "from tokenman_core.redaction.detectors import gate; gate.make_gate();"
        "slow = {'presidio_analyzer', 'spacy', 'phonenumbers', 'stdnum', 'tldextract', 'numpy'};"
        "sys.exit(not slow.isdisjoint(name.split('.')[0] for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def answered(frames: list[bytes]) -> list[tuple[Finding, ...]]:
    answer = Answer(2)
    for frame in frames[:-1]:
        assert not answer.add(frame[4:])
    assert answer.add(frames[-1][4:])
    return answer.found


def test_a_long_answer_comes_in_frames_that_take_no_time_each() -> None:
    found = [tuple(Finding(n, n + 1, "JWT") for n in range(2500)), tuple(Finding(n, n + 1, "URL") for n in range(2000))]
    frames = pack_findings(found)
    assert len(frames) > 4
    assert max(map(len, frames)) < 40_000
    assert answered(frames) == found


@pytest.mark.parametrize("frame", [b".[[1,[]]]", b"?[]", b"[]", b"", b".{}", b".[[2,[[1]]],[2,[]]]"])
def test_an_answer_that_is_none_is_refused(frame: bytes) -> None:
    with pytest.raises((EOFError, ValueError, TypeError, IndexError, AttributeError)):
        Answer(2).add(frame)


def test_frames_carry_any_text_and_any_findings() -> None:
    texts = [Text("", ""), Text("é\ud800🙂", "ключ"), Text("x" * 1000, "k")]
    frame = b"".join(pack_texts(texts))
    assert LENGTH.unpack(frame[:4])[0] == len(frame) - 4
    assert frame[4:5] == TEXTS
    assert unpack_texts(frame[5:]) == texts
    assert unpack_texts(memoryview(frame)[5:]) == texts
    found = [(), (Finding(1, 2, "JWT"), Finding(5, 9, "US_SSN"))]
    assert answered(pack_findings(found)) == found


EMPLOYEE = Custom("EMPLOYEE_ID", r"E-\d{6}", ("employee", "staff é"), 0.7)


def test_frames_carry_options() -> None:
    options = Options((EMPLOYEE, Custom("X", "é+")), "en_core_web_md")
    frame = pack_options(options)
    assert (LENGTH.unpack(frame[:4])[0], frame[4:5]) == (len(frame) - 4, OPTIONS)
    assert unpack_options(frame[5:]) == options


async def test_options_reach_a_worker_before_the_next_text_and_end_no_worker(detection: Detection) -> None:
    asked = [Text("a@example.com options? ")]
    assert await detection.find(asked) == [(Finding(0, 0, "OFF"),)]
    before = detection.pids
    detection.configure(Options((EMPLOYEE,), "some_model"))
    assert await detection.find(asked) == [(Finding(0, 1, "SOME_MODEL"),)]
    assert detection.pids == before


async def test_a_call_is_judged_by_the_options_that_held_when_it_began(detection: Detection) -> None:
    running = asyncio.create_task(detection.find([Text("a@example.com options? ")]))
    await asyncio.sleep(0)
    detection.configure(Options((EMPLOYEE,)))
    assert await running == [(Finding(0, 0, "OFF"),)]


async def test_a_finder_keeps_the_options_that_it_was_made_with(detection: Detection) -> None:
    finder = detection.under(Options((EMPLOYEE,)))
    assert await detection.find([Text("the E-123456 x")]) == [()]
    assert await finder.find([Text("the E-123456 x"), Text("the E-12345 x")]) == [FOUND[0], ()]
    detection.configure(Options(ner="some_model"))
    assert await finder.find([Text("a@example.com options? ")]) == [(Finding(0, 1, "OFF"),)]
    with pytest.raises(BadPattern):
        detection.under(Options((Custom("EMPLOYEE_ID", "("),)))


async def test_options_that_no_worker_can_load_refuse_calls_but_blame_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenman_core.redaction.detection._MODEL_S", 1.0)  # a model is waited for that long
    detection = Detection(command=OBEDIENT, deadline_s=0.5)
    await detection.start()
    detection.configure(Options(ner="missing"))
    with pytest.raises(WorkerUnavailable):
        await detection.find(asks("x"))
    detection.configure(PLAIN)
    for _ in range(20):  # until a worker is tried again
        with contextlib.suppress(WorkerUnavailable):
            assert await detection.find(asks("x")) == FOUND
            break
    else:
        raise AssertionError("no worker came up again")
    await detection.close()


def test_a_worker_that_looks_for_names_has_the_time_that_a_model_takes() -> None:
    """A model reads fields with nothing but names at 10 KB a second, and is killed over none of them."""
    named = Options(ner="some_model")
    assert more_time(named, 100_000) > 10
    assert more_time(PLAIN, 100_000) < 1


async def test_idle_workers_take_up_new_options_before_a_text_needs_them(tmp_path: Path) -> None:
    detection = Detection(command=OBEDIENT)
    await detection.start()
    await detection.ready()
    mark = tmp_path / "loaded"
    detection.configure(Options(ner=f"touch:{mark}"))
    while not mark.exists():  # noqa: ASYNC110 nothing is asked of it, so nothing else tells
        await asyncio.sleep(0.01)
    assert await detection.find(asks("options?")) == [(Finding(0, 0, f"TOUCH:{mark}".upper()),)]
    assert detection.restarts == {}
    await detection.close()


async def test_a_call_that_comes_first_is_answered_as_soon_as_a_worker_has_loaded(tmp_path: Path) -> None:
    detection = Detection(command=OBEDIENT)
    mark = tmp_path / "loaded"
    detection.configure(Options(ner=f"await:{mark}"))
    await detection.start()
    first = asyncio.ensure_future(detection.find(asks("x")))
    assert await detection.find([Text("plain and small")]) == [()]  # what trips nothing waits for no worker
    assert not detection.is_ready
    assert not first.done()
    mark.touch()
    assert await first == FOUND
    assert detection.is_ready
    await detection.close()


async def test_a_bad_pattern_changes_nothing(detection: Detection) -> None:
    detection.configure(Options((EMPLOYEE,)))
    with pytest.raises(BadPattern, match="EMPLOYEE_ID"):
        detection.configure(Options((Custom("EMPLOYEE_ID", "("),)))
    assert await detection.find([Text("a@example.com options? ")]) == [(Finding(0, 1, "OFF"),)]


async def test_what_a_users_own_pattern_matches_goes_to_the_worker(detection: Detection) -> None:
    assert await detection.find([Text("the E-123456 x")]) == [()]
    detection.configure(Options((EMPLOYEE,)))
    assert await detection.find([Text("the E-123456 x"), Text("the E-12345 x")]) == [FOUND[0], ()]


async def test_where_names_are_looked_for_what_may_hold_one_goes_to_the_worker(detection: Detection) -> None:
    detection.configure(Options(ner="some_model"))
    texts = [Text("ask Alice about it"), Text("ask 王 x"), Text("ask them about it")]
    assert await detection.find(texts) == [FOUND[0], FOUND[0], ()]


async def test_the_real_worker_finds_what_a_users_own_patterns_say() -> None:
    detection = Detection()
    detection.configure(Options((EMPLOYEE,)))
    await detection.start()
    text = "naïve employee E-123456"
    assert await detection.find([Text(text)]) == [(Finding(15, 23, "EMPLOYEE_ID", 0.9),)]
    await detection.close()


async def test_a_worker_that_has_grown_too_large_is_replaced_and_no_text_is_blamed(
    detection: Detection, tmp_path: Path
) -> None:
    mark = tmp_path / "grown"
    assert await detection.find(asks(f"outgrow:{mark}")) == FOUND
    assert mark.exists()
    assert detection.restarts == {"outgrown": 1}


async def test_restarts_are_counted_by_what_became_of_the_worker(detection: Detection, tmp_path: Path) -> None:
    with pytest.raises(TextRefused):
        await detection.find(asks("die"))
    await detection.ready()
    assert detection.restarts == {"died": 2}
    assert detection.refused == {"poison": 1}
    (pid,) = detection.pids
    os.kill(pid, signal.SIGKILL)
    assert await detection.find(asks("x")) == FOUND
    assert sum(detection.restarts.values()) == 3


async def test_a_text_over_which_the_detectors_raise_is_refused_for_good_and_the_log_names_the_place(
    detection: Detection, caplog: pytest.LogCaptureFixture
) -> None:
    await detection.ready()
    (pid,) = detection.pids
    for _ in range(2):
        with pytest.raises(TextRefused):
            await detection.find(asks("raise"))
    assert await detection.find(asks("x")) == FOUND
    assert detection.pids == [pid]  # the worker goes on
    assert detection.refused == {"poison": 2}
    assert "RuntimeError" in caplog.text
    assert "value-in-a-message" not in caplog.text


def test_a_worker_whose_detectors_raise_says_where_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(self: object, text: str, key: str = "") -> tuple[Finding, ...]:
        if text == "bad":
            raise ValueError("value-in-a-message")
        return ()

    monkeypatch.setattr("tokenman_core.redaction.detectors.detector.Detector.find", find)
    jobs = [b"".join(pack_texts([Text(text)])) for text in ("bad", "good")]
    sink = io.BytesIO()
    serve(io.BytesIO(pack_options(PLAIN) + b"".join(jobs)), sink)
    said = sink.getvalue().removeprefix(READY)
    (size,) = LENGTH.unpack_from(said)
    with pytest.raises(DetectorRaised, match=r"^ValueError at test_detection.py:\d+ find") as raised:
        Answer(1).add(said[LENGTH.size : LENGTH.size + size])
    assert "value-in-a-message" not in str(raised.value)
    assert Answer(1).add(said[2 * LENGTH.size + size :])


async def test_callers_take_turns_at_the_worker(tmp_path: Path) -> None:
    """One that floods the queue is served no sooner than one that has a single text, and refuses itself where it is full."""
    detection = Detection(command=OBEDIENT, workers=1, waiting=6)
    await detection.start()
    await detection.ready()
    gate, order = tmp_path / "go", list[str]()
    waits: list[float] = []
    detection.on_wait = waits.append

    async def call(caller: str, word: str) -> None:
        CALLER.set(caller)
        await detection.find(asks(word))
        order.append(caller)

    first = asyncio.create_task(call("flood", f"wait:{gate}"))
    while not waits:  # noqa: ASYNC110 until the worker has it
        await asyncio.sleep(0.01)
    flood = [asyncio.create_task(call("flood", f"x{number}")) for number in range(6)]
    await asyncio.sleep(0.05)
    others = [asyncio.create_task(call(name, "x")) for name in ("ann", "bob")]
    await asyncio.sleep(0.05)
    assert detection.queued == 6
    gate.touch()
    results = await asyncio.gather(first, *flood, *others, return_exceptions=True)
    assert [type(each).__name__ for each in results].count("WorkerUnavailable") == 2
    assert results[-2:] == [None, None]
    assert order[:4] == ["flood", "flood", "ann", "bob"]
    assert detection.refused == {"full": 2}
    assert len(waits) == 7
    await detection.close()


async def test_a_caller_that_leaves_makes_room(detection: Detection, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    busy = asyncio.create_task(detection.find(asks(f"wait:{gate}")))
    leaving = asyncio.create_task(detection.find(asks("x")))
    while detection.queued != 1:  # noqa: ASYNC110 until the first one is at the worker
        await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert detection.queued == 0
    gate.touch()
    assert await busy == FOUND


async def test_several_workers_work_at_once(tmp_path: Path) -> None:
    detection = Detection(command=OBEDIENT, workers=2)
    await detection.start()
    while detection.up < 2:  # noqa: ASYNC110 until both are there
        await asyncio.sleep(0.01)
    gate = tmp_path / "go"
    busy = asyncio.create_task(detection.find(asks(f"wait:{gate}")))
    await asyncio.sleep(0)
    assert await detection.find(asks("x")) == FOUND
    assert detection.is_ready
    gate.touch()
    assert await busy == FOUND
    assert len(set(detection.pids)) == 2
    await detection.close()
    assert not detection.is_ready


@pytest.mark.parametrize(("cores", "workers"), [(None, 1), (1, 1), (4, 1), (8, 2), (64, 4)])
def test_how_many_workers_fit_a_machine(cores: int | None, workers: int) -> None:
    assert workers_for(cores) == workers


async def test_the_gate_stands_before_hyperscan_is_compiled_and_workers_get_it_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled = threading.Event()

    def compile_late() -> bytes | None:
        compiled.wait(20)
        return compile_database()

    monkeypatch.setattr("tokenman_core.redaction.detection.compile_database", compile_late)
    detection = Detection()
    await detection.start()
    assert isinstance(detection.gate, Re2Gate)
    assert await detection.find([Text("plain")]) == [()]  # judged at once: no worker is there
    assert not detection.is_ready
    mail = [Text("mail alice@example.com")]
    found = [(Finding(5, 22, "EMAIL_ADDRESS"),)]
    assert await detection.find(mail) == found
    compiled.set()
    while not isinstance(detection.gate, HyperscanGate):  # noqa: ASYNC110 until the thread has made it
        await asyncio.sleep(0.01)
    assert await detection.find([*mail, Text("sk-ant-api03-" + "aB3dE5fG7h" * 4)]) == [
        *found,
        (Finding(0, 53, "API_KEY"),),
    ]
    assert detection.restarts == {}
    await detection.close()


async def test_workers_get_the_faster_gate_before_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_SEEN", str(tmp_path / "seen"))
    detection = Detection(command=OBEDIENT)
    await detection.start()
    async with asyncio.timeout(30):
        while not (tmp_path / "seen").exists():  # noqa: ASYNC110 until it is compiled, on a thread
            await asyncio.sleep(0.01)
    assert await detection.find(asks("x")) == FOUND
    await detection.close()


async def test_a_hyperscan_that_fails_leaves_the_gate_that_stands_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> bytes:
        raise RuntimeError

    monkeypatch.setattr("tokenman_core.redaction.detection.compile_database", fails)
    detection = Detection(command=OBEDIENT)
    await detection.start()
    assert await detection.find(asks("x")) == FOUND
    async with asyncio.timeout(20):
        while "goes on without" not in caplog.text:  # noqa: ASYNC110 nothing else tells that it was told
            await asyncio.sleep(0.01)
    assert isinstance(detection.gate, Re2Gate)
    await detection.close()


def test_a_worker_ends_when_it_has_grown_too_large() -> None:
    source = io.BytesIO(pack_options(PLAIN) + b"".join(pack_texts([Text("mail alice@example.com")])) * 2)
    sink = io.BytesIO()
    assert serve(source, sink, growth=-1) == OUTGROWN
    assert sink.getvalue() == READY
    source.seek(0)
    assert serve(source, sink) == 0
    assert sink.getvalue() == READY * 2 + b"".join(pack_findings([(Finding(5, 22, "EMAIL_ADDRESS"),)])) * 2
    assert 1_000_000 < resident() < 10_000_000_000
