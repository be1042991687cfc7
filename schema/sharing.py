"""What all watchers of one thing are told alike, so that it need be executed and written only once for all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import orjson
from graphql import DocumentNode, FieldNode, OperationDefinitionNode, VariableNode, Visitor, visit

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Shared(Generic[Told]):
    """What everybody who follows ``channel`` is told next, whoever they are; it leads them to ``place``.

    ``told`` is None where there is nothing new: it only says that the watcher is up to date at ``place``. The places
    of one channel are ordered. What depends on who is watching must not be in it.
    """

    channel: Hashable
    place: Any
    told: Told | None = None


def channel_of(
    tree: DocumentNode, operation_name: str | None, variables: Mapping[str, Any] | None, source: Hashable
) -> Hashable:
    """What those have in common who follow ``source`` and get the same texts of it.

    They sent the same document, and the same values of the variables on which a selection may depend; those that stand
    in the root field's arguments alone chose the source and have done their work. Good for as long as ``tree`` is kept.
    """
    selecting = _selecting(_Itself(tree))
    chosen = {name: value for name, value in (variables or {}).items() if name in selecting}
    return id(tree), operation_name, orjson.dumps(chosen, option=orjson.OPT_SORT_KEYS), source


class _Itself:
    """A document as a key by what it is, not by what it says: that would be read through at each look."""

    __slots__ = ("tree",)

    def __init__(self, tree: DocumentNode) -> None:
        self.tree = tree

    def __hash__(self) -> int:
        return id(self.tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.tree is self.tree


@lru_cache(maxsize=1_000)
def _selecting(document: _Itself) -> frozenset[str]:
    """The names of the variables that stand elsewhere than in a root field's arguments."""
    used = _Variables()
    for definition in document.tree.definitions:
        if not isinstance(definition, OperationDefinitionNode):
            visit(definition, used)
            continue
        for node in definition.selection_set.selections:
            if not isinstance(node, FieldNode):
                visit(node, used)
                continue
            for directive in node.directives or ():
                visit(directive, used)
            if node.selection_set is not None:
                visit(node.selection_set, used)
    return frozenset(used.names)


class _Variables(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.names.add(node.name.value)
