"""Every way of saving a file is seen, once, and not before it is quiet."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenman_core.config.watch import Watch


def in_place(path: Path) -> None:
    path.write_text("other text")


def by_rename(path: Path) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text("text")
    draft.replace(path)


def same_size(path: Path) -> None:
    path.write_text("TEXT")
    os.utime(path, ns=(1, 1))


def away(path: Path) -> None:
    path.unlink()


def by_a_link(path: Path) -> None:
    """As mounted secrets are changed: the name leads elsewhere."""
    other = path.with_suffix(".other")
    other.write_text("text")
    path.unlink()
    path.symlink_to(other)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("text")
    return path


@pytest.mark.parametrize("save", [in_place, by_rename, same_size, away, by_a_link])
def test_a_change_is_seen_once_by_the_second_look(path: Path, save: Callable[[Path], None]) -> None:
    watch = Watch([path])
    assert not watch.look()
    save(path)
    assert [watch.look() for _ in range(4)] == [False, True, False, False]


def test_a_file_that_is_replaced_without_end_is_seen_and_one_that_grows_is_waited_for(path: Path) -> None:
    watch = Watch([path])
    seen = []
    for number in range(6):
        draft = path.with_suffix(f".{number}")  # all of them stay, so that no number of a file is given again
        draft.write_text("text")
        path.unlink()
        path.symlink_to(draft)
        seen.append(watch.look())
    assert seen == [False, False, True, False, False, True]
    assert watch.look() is False
    for _ in range(6):
        with path.open("a") as file:
            file.write("more")
        assert not watch.look()
    assert watch.look()


def test_a_file_that_appears_is_seen(path: Path) -> None:
    path.unlink()
    watch = Watch([path, path.parent / "nowhere" / "file"])
    path.write_text("text")
    assert [watch.look() for _ in range(3)] == [False, True, False]


def test_a_file_is_not_told_of_while_it_is_being_written(path: Path) -> None:
    watch = Watch([path])
    for size in range(5, 10):
        path.write_text("x" * size)
        assert not watch.look()
    assert watch.look()


def test_what_is_back_as_it_was_is_no_change(path: Path) -> None:
    watch = Watch([path])
    kept = path.with_suffix(".kept")
    path.rename(kept)
    assert not watch.look()
    kept.rename(path)
    assert [watch.look() for _ in range(2)] == [False, False]


def test_what_editors_put_beside_it_means_nothing(path: Path) -> None:
    watch = Watch([path])
    for name in (".file.swp", "file~", "4913", "#file#"):
        (path.parent / name).write_text("x")
    assert [watch.look() for _ in range(3)] == [False, False, False]


def test_it_turns_to_other_files_and_keeps_what_it_knows(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    watch = Watch([path])
    in_place(path)  # not seen yet
    watch.turn_to([path, other])
    assert watch.paths == {path, other}
    assert [watch.look() for _ in range(3)] == [False, True, False]
    other.write_text("x")
    assert [watch.look() for _ in range(3)] == [False, True, False]
    watch.turn_to([other])
    in_place(path)
    path.write_text("once more")
    assert [watch.look() for _ in range(3)] == [False, False, False]
