"""Documents, parsed, counted and validated once for as long as they are asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

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
    OperationType,
    SelectionSetNode,
    Visitor,
    parse,
    specified_rules,
    validate,
    visit,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from schema.compiled.execution import Plans
from schema.cost import Cost, cost_of
from schema.errors import WireError, document_errors, too_complex
from schema.scopes import Demands, demands_of
from schema.size import DocumentLimits, TooComplex, check

__all__ = ["Document", "DocumentLimits", "DocumentRejected", "Documents"]

PRIVATE = frozenset({"token", "email"})
"""Arguments of queries that are secrets or personal."""

RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)


class DocumentRejected(Exception):
    """A document that does not run; ``errors`` are ready for the wire."""

    def __init__(self, errors: list[WireError]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


@dataclass(slots=True)
class Document:
    """A valid document.

    ``introspection`` lists the places where it asks for the schema itself. ``private`` if it takes an argument whose
    value opens somebody's reservation or booking, and so must not stand in a URL. ``again`` if it has been asked for
    before.
    """

    tree: DocumentNode
    introspection: Sequence[GraphQLError] = ()
    private: bool = False
    labels: dict[str | None, str] = field(default_factory=dict)
    costs: Mapping[str | None, Cost] = field(default_factory=dict)
    _asked: dict[str | None, tuple[OperationType, str, Cost]] = field(default_factory=dict)
    plans: Plans = field(default_factory=Plans)
    again: bool = False
    _demands: dict[str | None, Demands] = field(default_factory=dict)

    def demands(self, schema: GraphQLSchema, name: str | None) -> Demands:
        """What that operation needs of a key; worked out when the first one asks. Raises DocumentRejected."""
        known = self._demands.get(name)
        if known is None:
            known = self._demands[name] = demands_of(schema, self.tree, self.operation(name))
        return known

    def asked(self, name: str | None) -> tuple[OperationType, str, Cost]:
        """What kind that operation is, its label and what it may cost. Raises DocumentRejected."""
        known = self._asked.get(name)
        if known is None:
            operation = self.operation(name)
            cost = self.costs[operation.name.value if operation.name else None]
            known = self._asked[name] = operation.operation, self.label(name), cost
        return known

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
    """Knows documents by their text; the least recently used are forgotten first.

    Of those that do not pass, no more than a hash and the errors is kept: to refuse one again costs next to nothing.
    """

    schema: GraphQLSchema
    limits: DocumentLimits
    suggestions: bool
    _kept: OrderedDict[str, Document] = field(default_factory=OrderedDict)
    _characters: int = 0
    _trusted: dict[str, Document] = field(default_factory=dict)
    _rejected: OrderedDict[bytes, list[WireError]] = field(default_factory=OrderedDict)

    def trust(self, text: str) -> None:
        """Keep a document for good, and call its operations by the names they have. Raises DocumentRejected."""
        document = self._validated(self._parsed(text), text)
        for node in document.tree.definitions:
            if isinstance(node, OperationDefinitionNode) and node.name is not None:
                document.labels[node.name.value] = node.name.value
        if len(document.labels) == 1:
            document.labels[None] = next(iter(document.labels.values()))
        document.again = True
        self._trusted[text] = document

    def get(self, text: str) -> Document:
        """The document of that text. Raises DocumentRejected."""
        document = self._trusted.get(text)
        if document is not None:
            return document
        document = self._kept.get(text)
        if document is None:
            document = self._judged(text)
            self._keep(text, document)
        else:
            self._kept.move_to_end(text)
            document.again = True
        return document

    def _judged(self, text: str) -> Document:
        if len(text) > self.limits.characters:
            raise _too_complex(TooComplex("characters", self.limits.characters))
        key = blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        if known := self._rejected.get(key):
            self._rejected.move_to_end(key)
            raise DocumentRejected(known)
        try:
            tree = self._parsed(text)
            self._must_be_small(tree)
            return self._validated(tree, text)
        except DocumentRejected as rejected:
            self._rejected[key] = rejected.errors
            if len(self._rejected) > self.limits.rejected:
                self._rejected.popitem(last=False)
            raise

    def _parsed(self, text: str) -> DocumentNode:
        limit = self.limits.tokens
        try:
            return parse(text, max_lexical_tokens=limit, max_comments=limit)
        except GraphQLError as error:
            if error.message.endswith(f"more than {limit} tokens. Parsing aborted."):
                raise _too_complex(TooComplex("tokens", limit)) from None
            raise DocumentRejected(document_errors([error], "GRAPHQL_PARSE_FAILED")) from None

    def _must_be_small(self, tree: DocumentNode) -> None:
        try:
            check(tree, self.limits)
        except TooComplex as excess:
            raise _too_complex(excess) from None
        except GraphQLError as error:
            raise DocumentRejected(document_errors([error], "GRAPHQL_VALIDATION_FAILED")) from None

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
        private = any(name in text for name in PRIVATE) and _takes_private(tree)
        return Document(tree, asking, private, costs=self._costs(tree))

    def _costs(self, tree: DocumentNode) -> Mapping[str | None, Cost]:
        fragments = {
            node.name.value: node for node in tree.definitions if isinstance(node, FragmentDefinitionNode)
        }
        return {
            node.name.value if node.name else None: cost_of(self.schema, node, fragments)
            for node in tree.definitions
            if isinstance(node, OperationDefinitionNode)
        }

    def _keep(self, text: str, document: Document) -> None:
        self._kept[text] = document
        self._characters += len(text)
        while len(self._kept) > self.limits.kept or self._characters > self.limits.kept_characters:
            forgotten, document = self._kept.popitem(last=False)
            self._characters -= len(forgotten)
            document.plans.forget()


def _too_complex(excess: TooComplex) -> DocumentRejected:
    return DocumentRejected([too_complex(str(excess), limit=excess.limit)])


def _first_field(tree: DocumentNode, selected: SelectionSetNode) -> str:
    if not selected.selections:
        return "nothing"
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
