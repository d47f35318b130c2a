"""The store of answers against a dict: what it gives is the last that was kept, in time and not forgotten, whatever happens."""

import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.caching.entries import KEY, entry, key_of, noise
from tokenman_core.caching.answers import Answers, Limits
from tokenman_core.caching.behind import IDLE_S
from tokenman_core.caching.cipher import Cipher
from tokenman_core.clock import ManualClock

MODELS, PROJECTS = st.sampled_from(["m", "n"]), st.sampled_from(["", "p", "q"])
KEYS = st.integers(0, 11)
CIPHERS = {"none": None, "one": Cipher(KEY), "other": Cipher(bytes(32))}
ROOMY = Limits(1000, 2**30)


class Clock(ManualClock):
    """Of which the time of day can be set without the other."""

    shift = 0.0

    def now(self) -> float:
        return self.seconds + self.shift


class Store(RuleBasedStateMachine):
    """`kept`: the last of each key that was not forgotten, `sure`: those of which nothing excuses that they are not found."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "cache.db"
        self.clock = Clock()
        self.limits, self.ttl, self.cipher = ROOMY, 300.0, "none"
        self.kept, self.sure, self.count = {}, set(), 0
        self.foreign = 0  # rows of another seal that may still stand in the file
        self.answers = self.made()

    def made(self):
        return Answers(self.path, self.limits, self.ttl, self.clock, CIPHERS[self.cipher], key=KEY)

    def teardown(self):
        self.answers._behind.close()
        shutil.rmtree(self.folder)

    def stale(self, kept):
        age = self.clock.now() - kept.stored
        return age >= self.ttl or self.ttl <= 0 or age < -60

    def settle(self):
        for _ in range(1000):
            if self.answers._behind.step() == IDLE_S:
                return
        raise AssertionError("it never rests")

    def look(self, found, key):
        if found is not None:
            assert found == self.kept.get(key)
            assert not self.stale(found)
        else:
            assert key not in self.sure

    @initialize(cipher=st.sampled_from(sorted(CIPHERS)))
    def seal(self, cipher):
        self.reopen(cipher)

    @rule(
        key=KEYS, size=st.sampled_from([0, 100, 5000, 80_000]), model=MODELS, project=PROJECTS, age=st.integers(0, 30)
    )
    def keep(self, key, size, model, project, age):
        self.count += 1
        made = entry(noise(self.count, size), model=model, project=project, stored=self.clock.now() - age)
        self.answers.keep(key_of(key), made)
        if self.limits.none:
            return  # what was there stays what it was
        self.kept[key] = made
        if not self.stale(made):
            self.sure.add(key)
            assert self.answers.hot(key_of(key)) == made

    @rule(key=KEYS)
    def hot(self, key):
        found = self.answers.hot(key_of(key))
        assert found is None or (found == self.kept.get(key) and not self.stale(found))

    @rule(key=KEYS)
    def find(self, key):
        self.look(self.answers._behind.look(key_of(key)), key)

    @rule(model=st.none() | MODELS, project=st.none() | PROJECTS)
    def forget(self, model, project):
        gone = {
            key
            for key, kept in self.kept.items()
            if (model is None or kept.model == model) and (project is None or kept.project == project)
        }
        count = self.answers._behind.forget(model, project)
        assert len(gone & self.sure) <= count <= len(gone) + self.foreign
        self.sure -= gone
        for key in gone:
            del self.kept[key]

    @rule(seconds=st.sampled_from([0.5, 5, 61, 200, 400]))
    def advance(self, seconds):
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-4000, -100, -50, 50, 100, 4000]))
    def set_the_clock(self, seconds):
        self.clock.shift += seconds

    @rule(ttl=st.sampled_from([0.0, 10.0, 100.0, 300.0, 1000.0]))
    def change_ttl(self, ttl):
        self.ttl = ttl
        self.answers.configure(self.limits, self.ttl)

    @rule(entries=st.sampled_from([0, 1, 3, 1000]), size=st.sampled_from([0, 20_000, 200_000, 2**30]))
    def change_limits(self, entries, size):
        self.limits = Limits(entries, size)
        self.answers.configure(self.limits, self.ttl)

    @rule()
    def roomy(self):
        self.limits = ROOMY
        self.answers.configure(self.limits, self.ttl)

    @rule()
    def step(self):
        self.answers._behind.step()

    @rule()
    def rest(self):
        self.settle()
        figures = self.answers.figures()
        assert figures.entries <= self.limits.entries
        assert figures.bytes <= self.limits.size
        assert figures.memory_entries <= max(self.limits.entries, 0)
        assert figures.memory_bytes <= self.limits.size
        assert (figures.trouble, figures.damaged, figures.waiting) == (None, 0, 0)

    @rule(cipher=st.none() | st.sampled_from(sorted(CIPHERS)))
    def reopen(self, cipher):
        while self.answers._behind.write():
            pass
        self.answers._behind.close()
        if cipher not in (None, self.cipher):
            self.cipher = cipher
            self.foreign += len(self.kept)
            self.kept, self.sure = {}, set()
        self.answers = self.made()

    @rule()
    def die(self):
        """What was not written is lost, and so is what was there in its place before."""
        waiting = {key for key in self.kept if key_of(key) in self.answers._memory._waiting}
        self.answers._behind._drop()
        self.answers = self.made()
        for key in waiting:
            self.sure.discard(key)
            self.answers._behind.look(key_of(key))
            found = self.answers._behind.look(key_of(key))
            if found is not None:  # an earlier one, which was not evicted yet
                assert not self.stale(found)
                self.kept[key] = found

    @precondition(lambda self: self.cipher != "none")
    @rule()
    def nothing_stands_in_the_file(self):
        self.settle()
        found = b"".join(each.read_bytes() for each in self.folder.iterdir())
        for kept in self.kept.values():
            assert not kept.body or kept.body[:20] not in found

    @invariant()
    def excuses(self):
        """What was too old once may have gone, and so may all that is not the last one where there is too little room."""
        self.sure -= {key for key in self.sure if self.stale(self.kept[key])}
        if self.limits != ROOMY:
            self.sure = set()


Store.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestStore = Store.TestCase


class Two(RuleBasedStateMachine):
    """Two processes on one file. What either gives was kept by one of them since it was last forgotten."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.kept, self.count = {}, 0
        self.unsure = set()  # what was forgotten may have stood in the place of what was not
        self.both = [self.made(), self.made()]

    def made(self):
        answers = Answers(self.folder / "cache.db", ROOMY, 300.0, self.clock, None, key=KEY)
        answers._behind.step()  # as `start` does: who has not opened the file has not heard of anything
        return answers

    def teardown(self):
        for each in self.both:
            each._behind.close()
        shutil.rmtree(self.folder)

    def settle(self):
        for _ in range(2):
            for each in self.both:
                for _ in range(100):
                    if each._behind.step() == IDLE_S:
                        break
                else:
                    raise AssertionError("it never rests")

    @rule(key=KEYS, who=st.booleans(), model=MODELS, size=st.sampled_from([0, 5000, 80_000]))
    def keep(self, key, who, model, size):
        self.count += 1
        made = entry(noise(self.count, size), model=model, stored=self.clock.now())
        self.both[who].keep(key_of(key), made)
        self.kept.setdefault(key, []).append(made)
        self.unsure.discard(key)

    @rule(key=KEYS, who=st.booleans())
    def find(self, key, who):
        found = self.both[who]._behind.look(key_of(key))
        assert found is None or found in self.kept.get(key, [])

    @rule(who=st.booleans(), model=st.none() | MODELS)
    def forget(self, who, model):
        """The other one hears of it within a second; what it wrote just now may go with it."""
        self.both[who]._behind.forget(model, None)
        for each in (self.both[who], self.both[not who]):  # the first goes on with the step in which it was asked
            each._behind.step()
        for key, every in self.kept.items():
            self.kept[key] = [kept for kept in every if model not in (None, kept.model)]
            if len(self.kept[key]) < len(every):
                self.unsure.add(key)

    @rule()
    def everybody_finds_what_anybody_kept(self):
        self.settle()
        for each in self.both:
            assert each.figures().trouble is None
        for key, every in self.kept.items():
            found = [each._behind.look(key_of(key)) for each in self.both]
            assert (None in found) <= (not every or key in self.unsure)

    @rule(who=st.booleans())
    def die(self, who):
        self.settle()
        self.both[who]._behind._drop()
        self.both[who] = self.made()


Two.TestCase.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestTwo = Two.TestCase


def test_a_full_cache_keeps_what_is_used(tmp_path):
    """One answer is asked for again and again while ten times as many come as there is room for."""
    clock = Clock()
    answers = Answers(tmp_path / "cache.db", Limits(20, 2**30), 1e6, clock, None, key=KEY)
    generator = random.Random(1)
    for number in range(200):
        answers.keep(key_of(number), entry(generator.randbytes(200), stored=clock.now()))
        answers._behind.step()
        assert answers._behind.look(key_of(0)), number
    assert answers.figures().entries == 20
    assert answers.figures().evicted == 180
    assert not any(answers._behind.look(key_of(number)) for number in range(1, 180))
    answers._behind.close()
