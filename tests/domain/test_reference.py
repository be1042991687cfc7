from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.reference import _ALPHABET, _RANDOM, _check, new_reference, normalize_reference

drawn = st.text(_ALPHABET, min_size=_RANDOM, max_size=_RANDOM).map(lambda signs: signs + _check(signs))


def test_a_reference_is_three_groups_of_four_and_carries_50_bits() -> None:
    assert re.fullmatch(r"[0-9B-Y]{4}-[0-9B-Y]{4}-[0-9B-Y]{4}", new_reference())
    assert len(_ALPHABET) ** _RANDOM > 2**50


def test_a_reference_has_no_vowel_and_one_of_two_signs_that_look_alike() -> None:
    assert not set("AEIOU") & set(_ALPHABET)
    assert all(len(set(pair) & set(_ALPHABET)) == 1 for pair in ("0O", "1I", "1L", "2Z", "VU"))


def test_references_differ() -> None:
    assert len({new_reference() for _ in range(5_000)}) == 5_000


@given(drawn)
def test_a_reference_is_understood_however_it_is_typed(signs: str) -> None:
    written = normalize_reference(signs)
    assert written is not None
    assert written.replace("-", "") == signs
    sloppy = written.lower().replace("0", "o").replace("1", "l").replace("2", "z").replace("v", "u")
    for typed in (
        sloppy,
        f"  {signs[:5]} {signs[5:].lower()}\t",
        "\u2013".join(signs),
        written.replace("1", "I"),
    ):
        assert normalize_reference(typed) == written


@given(drawn, st.integers(0, _RANDOM), st.sampled_from(_ALPHABET))
def test_one_wrong_sign_is_noticed(signs: str, place: int, wrong: str) -> None:
    typed = signs[:place] + wrong + signs[place + 1 :]
    assert (normalize_reference(typed) is None) == (typed != signs)


@given(drawn, st.integers(0, _RANDOM), st.integers(0, _RANDOM))
def test_two_signs_that_changed_places_are_noticed(signs: str, one: int, other: int) -> None:
    swapped = list(signs)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    typed = "".join(swapped)
    assert (normalize_reference(typed) is None) == (typed != signs)


@pytest.mark.parametrize("typed", ["", "K7RM", "é" * 12, "٣" * 12, "-" * 10_000, "K7RM\x002QXHD4TN"])
def test_anything_else_is_no_reference(typed: str) -> None:
    assert normalize_reference(typed) is None


@given(st.text(max_size=80))
def test_no_text_breaks_the_reader_and_what_it_reads_is_stable(text: str) -> None:
    written = normalize_reference(text)
    assert written is None or normalize_reference(written) == written
