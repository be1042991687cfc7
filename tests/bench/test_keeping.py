"""The figures of a run, where a reader finds them."""

from __future__ import annotations

import pytest

from bench.keeping import README, filled


def test_what_stands_between_the_marks_is_replaced_and_nothing_else() -> None:
    text = "a\n<!-- measured -->\nold\n<!-- /measured -->\nb\n<!-- other -->\n<!-- /other -->\n"
    once = filled(text, "measured", "new \\1")
    assert (
        once == "a\n<!-- measured -->\n\nnew \\1\n\n<!-- /measured -->\nb\n<!-- other -->\n<!-- /other -->\n"
    )
    assert filled(once, "measured", "new \\1") == once


@pytest.mark.parametrize("name", ["measured", "statements"])
def test_the_readme_has_a_place_for_them(name: str) -> None:
    assert "figures" in filled(README.read_text(), name, "figures")


def test_a_page_without_a_place_is_left_alone() -> None:
    with pytest.raises(ValueError, match="0 places"):
        filled("nothing here", "measured", "new")
