"""docs/features.tsv is whole, and tests/features.py reads it and the markers rightly."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, is_enum_type

from tests.features import DUE, ISSUES, TESTS, Feature, missing, promised, report, shown, unknown

LAST = {"S0": 25, "S1": 47, "S2": 56, "S3": 55, "S4": 60}


def test_every_promise_is_listed_once_and_in_order() -> None:
    ids = [f"{document}.{number}" for document, last in LAST.items() for number in range(1, last + 1)]
    assert [feature.id for feature in promised()] == ids


def test_every_capability_has_words_a_home_and_an_issue_and_a_dropped_one_its_reason() -> None:
    for feature in promised():
        assert feature.capability.strip(), feature
        assert feature.home.strip(), feature
        assert feature.issue in ISSUES, feature
        assert bool(feature.reason) == (feature.issue == "dropped"), feature


def test_no_marker_names_a_capability_that_does_not_exist() -> None:
    assert unknown(promised(), shown()) == {}


def test_markers_are_found_on_functions_classes_modules_and_parameters(tmp_path: Path) -> None:
    _write(
        tmp_path / "tests/deep/test_one.py",
        'pytestmark = pytest.mark.feature("S1.1")',
        '@pytest.mark.feature("S1.2", "S1.3")',
        "async def test_a(): ...",
        '@pytest.mark.feature("S1.4")',
        "class TestB:",
        '    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.feature("S1.3"))])',
        "    def test_c(self, x): ...",
    )
    assert shown(tmp_path / "tests") == {
        "S1.1": ["tests/deep/test_one.py"],
        "S1.2": ["tests/deep/test_one.py::test_a"],
        "S1.3": ["tests/deep/test_one.py::test_a", "tests/deep/test_one.py::TestB::test_c"],
        "S1.4": ["tests/deep/test_one.py::TestB"],
    }


def test_a_marker_that_must_be_run_to_be_read_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "tests/test_one.py", "@pytest.mark.feature(*IDS)", "def test_a(): ...")
    with pytest.raises(ValueError, match=r"tests/test_one\.py::test_a: pytest"):
        shown(tmp_path / "tests")


def test_the_report_tells_what_is_covered_waits_is_later_or_unknown() -> None:
    known = [
        Feature("S1.1", "Fly", "Mutation.fly", "seats", ""),
        Feature("S1.2", "Land", "Mutation.land", "seats", ""),
        Feature("S1.3", "Swim", "Mutation.swim", "later", ""),
    ]
    tests = {"S1.1": ["tests/test_one.py::test_a"], "S9.9": ["tests/test_one.py::test_b"]}
    lines = list(report(known, tests))
    assert lines[:5] == [
        "S1.1   seats       Fly",
        "                      tests/test_one.py::test_a",
        "S1.2   seats       not yet: Land",
        "S1.3   later       Swim",
        "S9.9   is no capability, says tests/test_one.py::test_b",
    ]
    assert "seats         1 of   2 have a test" in lines
    assert [feature.id for feature in missing(known, tests)] == ["S1.2"]
    assert list(unknown(known, tests)) == ["S9.9"]


@pytest.mark.feature("S2.55")
def test_every_capability_of_this_issue_has_a_test() -> None:
    waiting = missing(promised(), shown())
    assert not waiting, "\n".join(f"{feature.id} {feature.capability}" for feature in waiting)


def test_the_homes_of_this_issue_are_in_the_schema() -> None:
    types = build_schema((TESTS.parent / "schema/schema.graphql").read_text()).type_map
    for feature in promised():
        if feature.issue in DUE:
            for parent, member in re.findall(r"\b([A-Z]\w+)\.(\w+)", feature.home):
                assert member in _members(types[parent]), f"{feature.id}: {parent}.{member}"


def _members(type_: Any) -> Iterable[str]:
    names: Iterable[str] = type_.values if is_enum_type(type_) else type_.fields
    return names


def _write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
