"""Anything with an id of its own."""

from __future__ import annotations

import strawberry


@strawberry.interface(description="Anything that can be found again by its id.")
class Node:
    """The Relay interface."""

    id: strawberry.ID
