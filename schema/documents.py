"""Documents, parsed and validated once for as long as they are asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    SelectionSetNode,
    Visitor,
    parse,
    specified_rules,
    validate,
    visit,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from schema.errors import WireError, document_errors

PRIVATE = frozenset({"token", "email"})
"""Arguments of queries that are secrets or personal."""

RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What a document may cost before it runs, and what the kept ones may cost together.

    ``tokens`` counts lexical tokens (and, apart from them, comments); ``errors`` is how many faults of one
    document are told. A kept document takes some 150 to 200 bytes of memory a character of its text, so
    ``kept_characters`` bounds the memory.
    """

    tokens: int = 10_000
    errors: int = 20
    kept: int = 1_000
    kept_characters: int = 256 * 1024


class DocumentRejected(Exception):
    """A document that does not run; ``errors`` are ready for the wire."""

    def __init__(self, errors: list[WireError]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document.

    ``introspection`` lists the places where it asks for the schema itself. ``private`` if it takes an argument whose
    value opens somebody's reservation or booking, and so must not stand in a URL.
    """

    tree: DocumentNode
    introspection: Sequence[GraphQLError] = ()
    private: bool = False
    labels: dict[str | None, str] = field(default_factory=dict)

    def label(self, name: str | None) -> str:
        """What figures and logs call that operation: its first field, for its own name is up to whoever sends it."""
        label = self.labels.get(name)
        if label is None:
            label = self.labels[name] = _first_field(self.tree, self.operation(name).selection_set)
        return label

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """The operation of that name, or the only one. Raises DocumentRejected."""
        operations = [node for node in self.tree.definitions if isinstance(node, OperationDefinitionNode)]
        if name is not None:
            operations = [node for node in operations if node.name is not None and node.name.value == name]
        if len(operations) == 1:
            return operations[0]
        if name is not None:
            message = f"Unknown operation named '{name}'."
        elif operations:
            message = "Must provide operation name if query contains multiple operations."
        else:
            message = "Must provide an operation."
        raise DocumentRejected(document_errors([GraphQLError(message)], "OPERATION_RESOLUTION_FAILURE"))


@dataclass(slots=True)
class Documents:
    """Parses and validates by the text of a document; the least recently used are forgotten first.

    Documents that do not pass are not kept: their number is up to whoever sends them.
    """

    schema: GraphQLSchema
    limits: DocumentLimits
    suggestions: bool
    _kept: OrderedDict[str, Document] = field(default_factory=OrderedDict)
    _characters: int = 0
    _trusted: dict[str, Document] = field(default_factory=dict)

    def trust(self, text: str) -> None:
        """Keep a document for good, and call its operations by the names they have. Raises DocumentRejected."""
        document = self._validated(self._parsed(text), text)
        for node in document.tree.definitions:
            if isinstance(node, OperationDefinitionNode) and node.name is not None:
                document.labels[node.name.value] = node.name.value
        if len(document.labels) == 1:
            document.labels[None] = next(iter(document.labels.values()))
        self._trusted[text] = document

    def get(self, text: str) -> Document:
        """The document of that text. Raises DocumentRejected."""
        document = self._trusted.get(text)
        if document is not None:
            return document
        document = self._kept.get(text)
        if document is None:
            document = self._validated(self._parsed(text), text)
            self._keep(text, document)
        else:
            self._kept.move_to_end(text)
        return document

    def _parsed(self, text: str) -> DocumentNode:
        limit = self.limits.tokens
        try:
            return parse(text, max_lexical_tokens=limit, max_comments=limit)
        except GraphQLError as error:
            raise DocumentRejected(document_errors([error], "GRAPHQL_PARSE_FAILED")) from None

    def _validated(self, tree: DocumentNode, text: str) -> Document:
        faults = validate(
            self.schema, tree, RULES, max_errors=self.limits.errors, hide_suggestions=not self.suggestions
        )
        if faults:
            raise DocumentRejected(document_errors(faults, "GRAPHQL_VALIDATION_FAILED"))
        asking: Sequence[GraphQLError] = ()
        if "__schema" in text or "__type" in text:
            rules = [NoSchemaIntrospectionCustomRule]
            asking = validate(self.schema, tree, rules, max_errors=self.limits.errors)
        return Document(tree, asking, any(name in text for name in PRIVATE) and _takes_private(tree))

    def _keep(self, text: str, document: Document) -> None:
        self._kept[text] = document
        self._characters += len(text)
        while len(self._kept) > self.limits.kept or self._characters > self.limits.kept_characters:
            forgotten, _ = self._kept.popitem(last=False)
            self._characters -= len(forgotten)


def _first_field(tree: DocumentNode, selected: SelectionSetNode) -> str:
    first = selected.selections[0]
    if isinstance(first, FieldNode):
        return first.name.value
    if isinstance(first, InlineFragmentNode):
        return _first_field(tree, first.selection_set)
    (spread,) = (
        node
        for node in tree.definitions
        if isinstance(node, FragmentDefinitionNode)
        and isinstance(first, FragmentSpreadNode)
        and node.name.value == first.name.value
    )
    return _first_field(tree, spread.selection_set)


def _takes_private(tree: DocumentNode) -> bool:
    finder = _PrivateArguments()
    visit(tree, finder)
    return finder.found


class _PrivateArguments(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def enter_argument(self, node: ArgumentNode, *_: object) -> None:
        self.found = self.found or node.name.value in PRIVATE
