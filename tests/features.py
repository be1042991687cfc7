"""Which capabilities of docs/features.tsv a test shows: ``python -m tests.features``.

Reads the markers ``@pytest.mark.feature("S4.9", ...)`` in the sources and runs nothing. Ends with 1 if a
capability that is due has no test, or a marker names one that does not exist.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
FEATURES = TESTS.parent / "docs/features.tsv"
ISSUES = ("seats", "operations", "automation", "later", "dropped")
DUE = ("seats", "operations", "automation")
"""The issues whose every capability must have a test; the next one adds itself."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A line of docs/features.tsv. ``issue`` is one of ISSUES, ``reason`` says why a dropped one was."""

    id: str
    capability: str
    home: str
    issue: str
    reason: str


def promised() -> list[Feature]:
    """Read the capabilities, in the order of the file."""
    found = []
    for line in FEATURES.read_text().splitlines()[1:]:
        id_, capability, home, issue = line.split("\t")
        issue, _, reason = issue.partition(": ")
        found.append(Feature(id_, capability, home, issue, reason))
    return found


def shown(folder: Path = TESTS) -> dict[str, list[str]]:
    """Map each id that a marker under ``folder`` names to the tests that carry it, as pytest names them.

    Raises ValueError for a marker with anything but strings: its ids are not to be known without running it.
    """
    tests = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder.parent).as_posix()
        for carrier, id_ in _marked(ast.parse(path.read_text()), name):
            tests[id_].append(carrier)
    return dict(tests)


def _marked(node: ast.AST, carrier: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        carrier = f"{carrier}::{node.name}"
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.feature":
        for argument in node.args:
            if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                raise ValueError(f"{carrier}: {ast.unparse(node)} names its ids in no plain strings")
            yield carrier, argument.value
    for child in ast.iter_child_nodes(node):
        yield from _marked(child, carrier)


def missing(known: Iterable[Feature], tests: Mapping[str, Sequence[str]]) -> list[Feature]:
    """Return what is due and has no test."""
    return [feature for feature in known if feature.issue in DUE and feature.id not in tests]


def unknown(known: Iterable[Feature], tests: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return the ids that markers name and the file does not have, with the tests that carry them."""
    ids = {feature.id for feature in known}
    return {id_: carriers for id_, carriers in tests.items() if id_ not in ids}


def report(known: Sequence[Feature], tests: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield a line for each capability with its tests below, the unknown ids, and a summary by issue."""
    for feature in known:
        waits = "not yet: " if feature.issue not in ("later", "dropped") and feature.id not in tests else ""
        yield f"{feature.id:6} {feature.issue:10}  {waits}{feature.capability}"
        for test in tests.get(feature.id, ()):
            yield f"{'':18}    {test}"
    for id_, carriers in unknown(known, tests).items():
        yield f"{id_:6} is no capability, says {', '.join(carriers)}"
    yield ""
    for issue in ISSUES:
        ids = [feature.id for feature in known if feature.issue == issue]
        yield f"{issue:10}  {sum(id_ in tests for id_ in ids):3} of {len(ids):3} have a test"


def main() -> int:
    """Print the report; the exit code."""
    known, tests = promised(), shown()
    for line in report(known, tests):
        print(line)
    return 1 if missing(known, tests) or unknown(known, tests) else 0


if __name__ == "__main__":
    sys.exit(main())
