"""Types whose objects last: the seats of a layout, a price. They never change, and are told again and again."""

from __future__ import annotations

from typing import TypeVar

Type = TypeVar("Type", bound=type)

_LASTING: set[type] = set()


def lasting(type_: Type) -> Type:
    """Say of a type that its objects never change: a compiled operation writes each only once.

    Worth it where the same objects are given at one time after another. Whatever depends on who asks, or on when,
    must not be in them.
    """
    _LASTING.add(type_)
    return type_


def is_lasting(type_: type) -> bool:
    """Whether that was said."""
    return type_ in _LASTING
