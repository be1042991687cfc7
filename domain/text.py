"""Text that people give, brought into order."""

from __future__ import annotations

from domain.errors import InvalidInput

LINE = 200
PAGE = 10_000


def checked_text(text: str, path: tuple[str, ...], most: int = LINE) -> str:
    """The text trimmed. Raises InvalidInput if it is empty, longer than ``most``, or holds a NUL."""
    checked = checked_optional_text(text, path, most)
    if checked is None:
        raise InvalidInput("This must not be empty.", path)
    return checked


def checked_optional_text(text: str | None, path: tuple[str, ...], most: int = LINE) -> str | None:
    """The text trimmed, None if empty. Raises InvalidInput if it is longer than ``most``, or holds a NUL."""
    trimmed = (text or "").strip()
    if len(trimmed) > most or "\x00" in trimmed:
        raise InvalidInput(f"At most {most} characters, none of them NUL.", path)
    return trimmed or None
