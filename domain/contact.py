"""How to reach a customer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from domain.errors import InvalidInput

MAX_EMAIL = 254  # RFC 5321, 4.5.3.1.3: a path holds 256 octets, two of them the angle brackets
_EMAIL = re.compile(
    r"[^@\s\x00-\x1f\x7f<>()\[\],;:\\\"]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{1,62}"
)
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{3,30}[0-9]")


@dataclass(frozen=True, slots=True)
class Contact:
    """A customer's name, e-mail address and phone number, each of which may be missing."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None

    def or_else(self, other: Contact) -> Contact:
        """The contact with what it lacks taken from ``other``."""
        return Contact(self.name or other.name, self.email or other.email, self.phone or other.phone)


def checked_contact(contact: Contact, path: tuple[str, ...]) -> Contact:
    """The contact trimmed and in order. Raises InvalidInput, with the place under ``path``, where it is not."""
    return Contact(
        name=checked_name(contact.name, (*path, "name")),
        email=checked_email(contact.email, (*path, "email")) if contact.email is not None else None,
        phone=checked_phone(contact.phone, (*path, "phone")),
    )


def checked_email(email: str, path: tuple[str, ...]) -> str:
    """The address trimmed. Raises InvalidInput unless it looks like ``name@host.tld`` of at most 254 characters."""
    trimmed = email.strip()
    if len(trimmed) > MAX_EMAIL or not _EMAIL.fullmatch(trimmed):
        raise InvalidInput("Give an e-mail address of the form name@example.org.", path)
    return trimmed


def checked_name(name: str | None, path: tuple[str, ...]) -> str | None:
    """The name trimmed, None if empty. Raises InvalidInput above 200 characters or with control characters."""
    trimmed = (name or "").strip()
    if len(trimmed) > 200 or not trimmed.isprintable():
        raise InvalidInput("Give a name of at most 200 printable characters.", path)
    return trimmed or None


def checked_phone(phone: str | None, path: tuple[str, ...]) -> str | None:
    """The number trimmed, None if empty. Raises InvalidInput unless it is 5 to 32 digits and separators."""
    trimmed = (phone or "").strip()
    if trimmed and not _PHONE.fullmatch(trimmed):
        raise InvalidInput("Give a phone number of digits, with + and the country code in front.", path)
    return trimmed or None
