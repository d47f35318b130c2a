from tokenman_core import tokens
from tokenman_core.ahead.texts import Counter

TEXT = "Why is the sky blue, and why is it red in the evening? " * 40


def counted(counter: Counter, texts: list[str]) -> int:
    known, fresh = counter.known(texts)
    return known + counter.count(fresh)


def test_each_block_is_counted_once(monkeypatch):
    counter, asked = Counter(), []
    true = tokens.estimate
    monkeypatch.setattr(tokens, "estimate", lambda texts: asked.append(texts) or true(texts))
    first = counted(counter, [TEXT, "ok", TEXT + "!"])
    assert first == true([TEXT]) + 1 + true([TEXT + "!"])
    assert counted(counter, [TEXT, "ok", TEXT + "!"]) == first
    assert len(asked) == 2
    assert counter.known([TEXT, "ok"])[1] == []
    assert [text for _, text in counter.known([TEXT + "?"])[1]] == [TEXT + "?"]


def test_short_texts_are_counted_by_their_bytes_and_others_by_their_tokens_in_one_list():
    counter, bytes_long = Counter(), "水" * 20  # 20 characters, 60 bytes
    known, fresh = counter.known(["ok", bytes_long, "", TEXT, "水" * 10, "x" * 32, "x" * 33])
    assert known == 1 + 0 + 15 + 16
    assert [text for _, text in fresh] == [bytes_long, TEXT, "x" * 33]
    assert counter.count(fresh) == sum(tokens.estimate([text]) for _, text in fresh)
    assert counter.known(["ok", bytes_long, TEXT, "a text that nobody has sent before this one"])[0] == (
        1 + tokens.estimate([bytes_long]) + tokens.estimate([TEXT])
    )


def test_no_short_text_is_counted_too_low():
    for text in ("a b c d e f", "1 2 3 4 5 6", "{}[]()", "zß水𝄋", "\n\n"):
        assert counted(Counter(), [text]) >= tokens.estimate([text]) // 2, text


def test_the_correction_rises_at_once_and_falls_slowly():
    counter = Counter()
    start = counter.factor("openai", "m")
    counter.learn("openai", "m", 1000, 2000)
    assert counter.factor("openai", "m") >= 2.0
    for _ in range(10):
        counter.learn("openai", "m", 1000, 1000)
    assert 1.5 < counter.factor("openai", "m") < 2.0
    for _ in range(500):
        counter.learn("openai", "m", 1000, 1000)
    assert 1.0 < counter.factor("openai", "m") < 1.1
    assert counter.factor("openai", "other") == start


def test_nonsense_of_a_provider_is_believed_within_bounds_and_short_requests_teach_nothing():
    counter = Counter()
    counter.learn("openai", "m", 1000, 10**9)
    assert counter.factor("openai", "m") == 3.0
    before = counter.factor("openai", "n")
    counter.learn("openai", "n", 10, 100)
    counter.learn("openai", "n", 1000, 0)
    assert counter.factor("openai", "n") == before


def test_the_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("tokenman_core.ahead.texts._MOST", 10)
    monkeypatch.setattr("tokenman_core.ahead.texts._MODELS", 10)
    counter = Counter()
    for number in range(50):
        counted(counter, [f"a text that is long enough to be remembered {number}"])
        counter.learn("openai", f"m{number}", 1000, 900)
    assert len(counter._known) == len(counter._factors) == 10
