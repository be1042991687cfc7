"""Which capabilities of docs/features.tsv have a test: ``python -m tests.features`` prints them.

A test carries their ids: ``@pytest.mark.feature("S1.2", "S1.3")``. Sources are read, not run.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
LIST = TESTS.parent / "docs" / "features.tsv"


class Feature(NamedTuple):
    """A promised capability: its id, its kind, what is promised, and where it lives."""

    id: str
    kind: str
    promise: str
    home: str


def promised() -> list[Feature]:
    """Return the capabilities of docs/features.tsv in its order."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return [Feature(*[*line.split("\t"), "", "", ""][:4]) for line in lines]


def shown() -> dict[str, list[str]]:
    """Return the tests that carry each id, as ``file::test``."""
    tests: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, id_ in _marks(ast.parse(path.read_text())):
            tests[id_].append(f"{path.relative_to(TESTS.parent)}::{name}")
    return tests


def _marks(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for test in ast.walk(tree):
        if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for mark in test.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.feature":
                    yield from ((test.name, str(ast.literal_eval(id_))) for id_ in mark.args)


def main() -> None:
    """Print a line for each capability, and the count."""
    tests, features = shown(), promised()
    for feature in features:
        print(f"{'x' if feature.id in tests else ' '} {feature.id:8} {feature.promise}")
        for test in tests.get(feature.id, []):
            print(f"             {test}")
    print(f"{sum(feature.id in tests for feature in features)} of {len(features)} have a test")


if __name__ == "__main__":
    main()
