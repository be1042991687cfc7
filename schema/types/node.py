"""Anything with an id of its own."""

from __future__ import annotations

import strawberry


@strawberry.interface
class Node:
    """Anything that can be found again by its id."""

    id: strawberry.ID
