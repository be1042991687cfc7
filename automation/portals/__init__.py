"""One adapter a portal: its terms, known to every process, and its pages, known to workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from automation.portals.demo import DemoPortal
from automation.portals.trafikverket import TrafikverketPortal
from domain.portals import Portal, Visit

if TYPE_CHECKING:
    from playwright.async_api import Page

Opens = Callable[["Page", Portal], Visit]
"""Makes a visit of a fresh page."""


def portals(keys: Sequence[str], demo_url: str | None = None) -> Mapping[str, Portal]:
    """The terms of the portals that are switched on, by key.

    ``demo`` is left out where no demo portal runs: ``demo_url`` is where it does.

    Raises:
        KeyError: there is no adapter of that key.

    """
    found = (_terms(key, demo_url) for key in keys)
    return {portal.key: portal for portal in found if portal is not None}


def visit_of(key: str) -> Opens:
    """How the pages of a portal are walked. Raises KeyError."""
    match key:
        case "demo":
            from automation.portals.demo_pages import DemoVisit

            return DemoVisit
        case "trafikverket":
            from automation.portals.trafikverket_pages import TrafikverketVisit

            return TrafikverketVisit
    raise KeyError(key)


def _terms(key: str, demo_url: str | None) -> Portal | None:
    match key:
        case "demo":
            return DemoPortal(demo_url) if demo_url else None
        case "trafikverket":
            return TrafikverketPortal()
    raise KeyError(key)
