"""What is made of things that are read again and again."""

from __future__ import annotations

from domain.latest import Latest


def test_a_source_that_equals_the_last_gives_the_same_object_again() -> None:
    latest = Latest[list[int], list[int]](list)
    assert latest.of("a", [1]) is latest.of("a", [1])


def test_a_source_that_changed_gives_what_is_made_of_it_now() -> None:
    latest = Latest[list[int], list[int]](list)
    latest.of("a", [1])
    assert latest.of("a", [2]) == [2]
    assert latest.of("a", [1]) == [1]


def test_no_more_is_remembered_than_the_most() -> None:
    made: list[int] = []
    latest = Latest[int, None](made.append, most=2)
    for key in (1, 2, 3, 1):
        latest.of(key, key)
    assert made == [1, 2, 3, 1]
