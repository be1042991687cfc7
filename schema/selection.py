"""What an operation is going to ask for: a hint for whoever reads, who may read it in one statement."""

from __future__ import annotations

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode

from schema.context import Info


def selected(info: Info) -> frozenset[str]:
    """The names of all fields beneath the field that is resolved, whatever @skip and @include say of them."""
    fragments = dict(info._raw_info.fragments)
    names: set[str] = set()
    sets = [node.selection_set for node in info._raw_info.field_nodes]
    while sets:
        inner = sets.pop()
        for node in inner.selections if inner else ():
            if isinstance(node, FieldNode):
                names.add(node.name.value)
                sets.append(node.selection_set)
            elif isinstance(node, InlineFragmentNode):
                sets.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                fragment = fragments.pop(node.name.value, None)  # each is looked into once
                sets.append(fragment.selection_set if fragment else None)
    return frozenset(names)
