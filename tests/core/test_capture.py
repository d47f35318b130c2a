import pytest

from tokenman_core.capture import Capture


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_the_first_bytes_are_kept_and_all_are_counted_however_they_are_cut(size: int) -> None:
    said = bytes(range(100))
    captured = Capture(10, stream=True)
    for at in range(0, len(said), size):
        captured.add(said[at : at + size])
    assert (captured.data, captured.kept, captured.seen, captured.truncated) == (said[:10], 10, 100, True)


@pytest.mark.parametrize("cap", [0, 100, 1000])
def test_what_fits_is_kept_whole(cap: int) -> None:
    captured = Capture(cap, stream=True)
    captured.add(b"x" * 60)
    captured.add(b"y" * 40)
    assert (captured.data, captured.truncated) == (b"x" * 60 + b"y" * 40, False)
