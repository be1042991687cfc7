"""Who may sign in. All of them are made up, and so are their numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """A person; ``number`` is how the portal knows them."""

    name: str
    number: str


PEOPLE = tuple(
    Person(name, f"D-{number:04}")
    for number, name in enumerate(
        (
            "Demo customer",
            "Demo provider",
            "Demo staff",
            "Demo admin",
            "Ada Ahlgren",
            "Bo Bergqvist",
            "Cleo Carlstedt",
        ),
        start=1,
    )
)


def person_of(name: str, number: str | None = None) -> Person:
    """One of those above by name, or anybody with a number of their own."""
    known = {person.name: person for person in PEOPLE}
    if number is None and name in known:
        return known[name]
    return Person(name, number or f"D-{name}")
