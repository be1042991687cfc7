"""What the papers say is so: settings, links, tests, commands and documents are there under those names."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from holdfast.settings import PREFIX, settings_table

HOUSE = Path(__file__).parents[1]
README = HOUSE / "README.md"


def files(pattern: str) -> list[Path]:
    """Return the files of the repository, or those that would be, whose name matches."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", pattern],
        cwd=HOUSE,
        check=True,
        capture_output=True,
        text=True,
    )
    return [HOUSE / name for name in listing.stdout.split("\0") if name and (HOUSE / name).is_file()]


def name_of(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


PAPERS = files("*.md")
EXAMPLES = [path for path in files("examples/*") if path.suffix in {".mjs", ".py", ".sh"}]


def prose(paper: Path) -> str:
    """Return a paper without its fenced blocks, whose brackets are no links."""
    return re.sub(r"^```.*?^```", "", paper.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(paper: Path) -> set[str]:
    """Return what a link into a paper may name, as forges make it from the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(paper), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_has_every_setting_as_the_code_has_it() -> None:
    rows = [
        f"| `{row.name}` | {f'`{row.default}`' if row.default else ''} | {row.meaning} |"
        for row in settings_table()
    ]
    assert "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows, ""]) in README.read_text()


@pytest.mark.parametrize("paper", PAPERS, ids=name_of)
def test_every_link_leads_somewhere(paper: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(paper)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        led = (paper.parent / path).resolve() if path else paper
        assert led.exists(), target
        assert not anchor or anchor in anchors(led), target


@pytest.mark.parametrize("paper", PAPERS, ids=name_of)
def test_every_setting_that_is_named_exists(paper: Path) -> None:
    known = {row.name for row in settings_table()}
    assert set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", paper.read_text())) <= known


def names_of_tests() -> set[str]:
    """Return the name of every test there is."""
    trees = (ast.parse(path.read_text()) for path in files("tests/*.py"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, functions)}


def test_every_test_that_is_named_exists() -> None:
    named = {
        (name_of(paper), name)
        for paper in PAPERS
        if paper != HOUSE / "CONTRIBUTING.md"  # whose names are of a change that is made up
        for name in re.findall(r"`(test_\w+)`", paper.read_text())
    }
    there = names_of_tests()
    assert {pair for pair in named if pair[1] not in there} == set()


def test_every_decision_names_a_test_or_a_figure_and_is_in_the_index() -> None:
    folder = HOUSE / "docs/decisions"
    index = (folder / "README.md").read_text()
    for page in sorted(folder.glob("[0-9]*.md")):
        heading = page.read_text().splitlines()[0].removeprefix("# ")
        number, title = heading.split(". ", 1)
        assert page.name.startswith(f"{number}-"), page.name
        assert f"| [{number}]({page.name}) | {title} |" in index
        assert re.search(r"\*\*Held by\*\*\s+`(test_|bench/)", page.read_text()), page.name


@pytest.mark.parametrize("paper", PAPERS, ids=name_of)
def test_every_file_that_is_named_exists(paper: Path) -> None:
    rooms = "holdfast|schema|resolvers|domain|db|automation|tests|docs|bench|examples"
    for name in re.findall(rf"`((?:{rooms})/[\w/.-]+\.\w+)`", prose(paper)):
        assert (HOUSE / name).exists(), name


def test_every_command_that_is_named_exists() -> None:
    from holdfast.cli import _parser

    usage = _parser().format_help()
    for paper in PAPERS:
        for command in re.findall(r"`holdfast ([a-z-]+)`", paper.read_text()):
            assert re.search(rf"^ +{command}(\s|$)", usage, re.MULTILINE), (name_of(paper), command)


def documents() -> Iterator[tuple[str, str]]:
    """Give every GraphQL document in the papers and in the examples, with where it stands."""
    for paper in PAPERS:
        for block in re.findall(r"^```graphql\n(.*?)^```", paper.read_text(), re.DOTALL | re.MULTILINE):
            yield name_of(paper), block
    for example in EXAMPLES:
        session = re.search(r"const SESSION = `(.*?)`", example.read_text(), re.DOTALL)
        for block in _written_in(example):
            yield name_of(example), block.replace("${SESSION}", session[1] if session else "")


def _written_in(example: Path) -> list[str]:
    text = example.read_text()
    match example.suffix:
        case ".py":
            quoted = re.findall(r'"""(.*?)"""', text, re.DOTALL)
        case ".sh":
            quoted = [
                part for pair in re.findall(r"ask '([^']*)'|ask \"((?:\\.|[^\"])*)\"", text) for part in pair
            ]
            quoted = [re.sub(r"\\+\"\$?", '"', part) for part in quoted]
        case _:
            quoted = re.findall(r"`([^`]*)`", text)
    return [block for block in quoted if re.match(r"\s*(query|mutation|subscription|\{)", block)]


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((HOUSE / "schema/schema.graphql").read_text())


DOCUMENTS = list(documents())


def test_the_story_is_told_in_documents() -> None:
    told = "".join(block for name, block in DOCUMENTS if name == "README.md")
    for field in ("login", "schedules", "seatChanges", "reserve", "book", "cancelBooking"):
        assert f"{field}(" in told
    asking = [example for example in EXAMPLES if not example.stem.startswith("webhook-")]  # those are called
    assert {name for name, _ in DOCUMENTS} >= {name_of(example) for example in asking}


@pytest.mark.parametrize(("name", "document"), DOCUMENTS, ids=[name for name, _ in DOCUMENTS])
def test_every_document_is_valid(name: str, document: str, schema: GraphQLSchema) -> None:
    assert validate(schema, parse(document)) == []
