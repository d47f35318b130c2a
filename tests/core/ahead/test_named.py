from tokenman_core.ahead.named import named


def test_names_and_types_of_all_levels_are_found():
    value = {
        "messages": [{"content": [{"type": "image", "source": {"data": "x"}}, "text", 7]}],
        "type": {"type": "deep"},
    }
    names, kinds = named(value)
    assert names == {"messages", "content", "type", "source", "data"}
    assert kinds == {"image", "deep"}


def test_what_is_no_object_has_none():
    for value in (None, "type", 3, [], ["type"], [[["a"]]]):
        assert named(value) == (set(), set())


def test_the_deepest_body_that_can_be_read_is_walked():
    value: object = {"last": 1}
    for _ in range(20_000):
        value = [value]
    assert named(value)[0] == {"last"}
