"""How big a document is, counted before it is validated: some of the rules cost the square of what they look at.

The counts follow the way of the rules and of execution: fields under one name are merged, and a fragment is
looked at once a selection set ("CollectFields", GraphQL 6.3.2). Counting ends at the first figure that is too
high, so that no document makes it long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    Token,
    TokenKind,
)


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What a document may hold, and what the remembered ones may take together.

    ``tokens`` are lexical, comments are counted apart and as many. ``depth`` is fields within fields,
    ``nesting`` lists and objects within each other in an argument. ``root_fields`` holds for an operation.
    ``selections`` counts fields and fragments where they end up, a fragment once for each place; ``repeats``
    counts pairs of fields merged into one, those with long arguments several times. ``cost`` holds for an
    operation, see ``schema.cost``. ``errors`` is how many faults of one document are told. A kept document takes
    some 150 to 200 bytes of memory a character of its text, so ``kept_characters`` bounds the memory; a rejected
    one takes 7 kB at most.
    """

    characters: int = 65_536
    tokens: int = 3_000
    depth: int = 16
    root_fields: int = 30
    aliases: int = 60
    directives: int = 60
    operations: int = 50
    fragments: int = 100
    spreads: int = 300
    selections: int = 5_000
    repeats: int = 1_000
    nesting: int = 12
    digits: int = 40
    name: int = 128
    cost: int = 50_000
    errors: int = 20
    kept: int = 1_000
    kept_characters: int = 256 * 1024
    rejected: int = 500


class TooComplex(Exception):
    """More of something than a document may have; the message has the figure and what to do."""

    def __init__(self, what: str, limit: int) -> None:
        words, advice = _WORDS[what]
        super().__init__(f"More than {limit} {words}: {advice}.")
        self.limit = limit


_LESS = "ask for less at a time"
_SEVERAL = "send several requests"
_WORDS = {
    "characters": ("characters in a document", _SEVERAL),
    "tokens": ("tokens in a document", _SEVERAL),
    "depth": ("levels of fields within fields", _LESS),
    "root_fields": ("fields at the root of an operation", _SEVERAL),
    "aliases": ("aliases in a document", _SEVERAL),
    "directives": ("directives in a document", _LESS),
    "operations": ("operations in a document", "send the one that is meant"),
    "fragments": ("fragments in a document", _LESS),
    "spreads": ("spreads of fragments in a document", _LESS),
    "selections": ("fields, fragments counted where they are spread", _LESS),
    "repeats": ("pairs of fields under one name", "ask for each field once"),
    "nesting": ("lists and objects within each other in an argument", "give a flatter value"),
    "digits": ("digits in a number", "no argument takes such a number"),
    "name": ("characters in a name", "nothing here has such a name"),
}


def check(tree: DocumentNode, limits: DocumentLimits) -> None:
    """Raise TooComplex for a document above a limit, GraphQLError for fragments that lead in a circle."""
    counts = _Counts(limits)
    _count_tokens(tree, counts)
    operations = [node for node in tree.definitions if isinstance(node, OperationDefinitionNode)]
    fragments = {
        node.name.value: node for node in tree.definitions if isinstance(node, FragmentDefinitionNode)
    }
    counts.add("operations", len(operations))
    counts.add("fragments", sum(isinstance(node, FragmentDefinitionNode) for node in tree.definitions))
    for node in (*operations, *fragments.values()):
        counts.add("spreads", sum(1 for _ in _spreads(node.selection_set)))
    _must_not_be_circular(fragments)
    expansion = _Expansion(fragments, counts)
    for operation in operations:
        expansion.visit(operation.selection_set)
    for name, fragment in fragments.items():
        if name not in expansion.spread:
            expansion.visit(fragment.selection_set)


class _Counts:
    def __init__(self, limits: DocumentLimits) -> None:
        self._limits = limits
        self._counts: Counter[str] = Counter()

    def add(self, what: str, by: int = 1) -> None:
        self._counts[what] += by
        self.at_most(what, self._counts[what])

    def at_most(self, what: str, figure: int) -> None:
        limit: int = getattr(self._limits, what)
        if figure > limit:
            raise TooComplex(what, limit)


def _count_tokens(tree: DocumentNode, counts: _Counts) -> None:
    """Count what signs alone tell: outside parentheses a colon is an alias's, inside them brackets are a value's."""
    parentheses = nesting = 0
    for token in _tokens(tree):
        match token.kind:
            case TokenKind.NAME:
                counts.at_most("name", len(token.value or ""))
            case TokenKind.INT | TokenKind.FLOAT:
                counts.at_most("digits", len(token.value or ""))
            case TokenKind.PAREN_L:
                parentheses += 1
            case TokenKind.PAREN_R:
                parentheses -= 1
            case TokenKind.BRACKET_L | TokenKind.BRACE_L if parentheses:
                nesting += 1
                counts.at_most("nesting", nesting)
            case TokenKind.BRACKET_R | TokenKind.BRACE_R if parentheses:
                nesting -= 1
            case TokenKind.COLON if not parentheses:
                counts.add("aliases")
            case TokenKind.AT:
                counts.add("directives")


def _tokens(tree: DocumentNode) -> Iterator[Token]:
    token = tree.loc.start_token if tree.loc else None
    while token is not None:
        yield token
        token = token.next


def _must_not_be_circular(fragments: Mapping[str, FragmentDefinitionNode]) -> None:
    left = {name: set(_spreads(node.selection_set)) for name, node in fragments.items()}
    while done := [name for name, spreads in left.items() if not spreads & left.keys()]:
        for name in done:
            del left[name]
    if left:
        message = f"Fragments lead in a circle: {', '.join(sorted(left)[:3])}."
        raise GraphQLError(message, [fragments[name] for name in sorted(left)[:3]])


def _spreads(selected: SelectionSetNode) -> Iterator[str]:
    waiting: list[SelectionNode] = [*selected.selections]
    while waiting:
        match waiting.pop():
            case FragmentSpreadNode(name=name):
                yield name.value
            case FieldNode(selection_set=within) | InlineFragmentNode(selection_set=within) if within:
                waiting.extend(within.selections)


class _Expansion:
    """Goes through an operation as it is run: level by level, fields under one name together."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode], counts: _Counts) -> None:
        self._fragments = fragments
        self._counts = counts
        self.spread: set[str] = set()

    def visit(self, root: SelectionSetNode) -> None:
        self._visit([root], 1)

    def _visit(self, selected: Sequence[SelectionSetNode], depth: int) -> None:
        fields = self._collect(selected)
        if depth == 1:
            self._counts.at_most("root_fields", len(fields))
        self._counts.at_most("depth", depth)
        for nodes in fields.values():
            if len(nodes) > 1:
                pairs = len(nodes) * (len(nodes) - 1) // 2
                self._counts.add("repeats", pairs * max(_weight(node) for node in nodes))
            within = [node.selection_set for node in nodes if node.selection_set]
            if within:
                self._visit(within, depth + 1)

    def _collect(self, selected: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        fields: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        waiting = [*selected]
        while waiting:
            selections = waiting.pop().selections
            self._counts.add("selections", len(selections))
            for node in selections:
                match node:
                    case FieldNode():
                        fields.setdefault((node.alias or node.name).value, []).append(node)
                    case InlineFragmentNode():
                        waiting.append(node.selection_set)
                    case FragmentSpreadNode(name=name) if name.value not in seen:
                        seen.add(name.value)
                        if name.value in self._fragments:
                            waiting.append(self._fragments[name.value].selection_set)
        self.spread |= seen
        return fields


def _weight(node: FieldNode) -> int:
    """How many fields without arguments cost as much to compare: their arguments are compared as text."""
    if not node.arguments or not (first := node.arguments[0].loc) or not (last := node.arguments[-1].loc):
        return 1
    return 1 + (last.end - first.start) // _CHARACTERS_PER_COMPARISON


_CHARACTERS_PER_COMPARISON = 8
