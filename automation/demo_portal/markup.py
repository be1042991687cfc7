"""The frame of every page, and the forms and tables in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from automation.demo_portal.people import Person

NAME = "Demo Licence Authority"


def shell(
    title: str,
    body: str,
    *,
    person: Person | None = None,
    cookies: str = "",
    scripts: Sequence[str] = ("site.js",),
    data: dict[str, str] | None = None,
) -> str:
    """A whole page: its heading is its title."""
    described = "".join(f' data-{name}="{escape(value)}"' for name, value in (data or {}).items())
    loaded = "".join(f'<script type="module" src="/static/{script}"></script>' for script in scripts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)} - {NAME}</title>
<link rel="stylesheet" href="/static/site.css"><link rel="icon" href="data:,">{loaded}
</head>
<body{described}>
<header><strong>{NAME}</strong>{_menu(person)}</header>
<main><h1>{escape(title)}</h1>
{body}
</main>{cookies}
</body>
</html>
"""


def bare(body: str, scripts: Sequence[str], data: dict[str, str]) -> str:
    """A page for a frame."""
    described = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    loaded = "".join(f'<script type="module" src="/static/{script}"></script>' for script in scripts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Code</title>'
        f'<link rel="stylesheet" href="/static/site.css">{loaded}</head><body{described}>{body}</body></html>'
    )


def cookie_bar(accept: str) -> str:
    """The bar that is in the way until one has chosen."""
    return (
        '<dialog class="cookies" aria-label="Cookies"><form method="dialog"><p>We use cookies that this site needs,'
        f" and would like to use more.</p><button>{escape(accept)}</button></form></dialog>"
    )


def button(label: str, to: str, fields: dict[str, str] | None = None, name: str | None = None) -> str:
    """A form that is one button; ``name`` is what it is called where its label alone says too little."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(key)}" value="{escape(value)}">'
        for key, value in (fields or {}).items()
    )
    called = f' aria-label="{escape(name)}"' if name else ""
    return (
        f'<form method="post" action="{escape(to)}">{hidden}<button{called}>{escape(label)}</button></form>'
    )


def select(label: str, name: str, options: Iterable[str], chosen: str | None) -> str:
    """A labelled select."""
    made = "".join(
        f"<option{' selected' if option == chosen else ''}>{escape(option)}</option>" for option in options
    )
    return f'<label for="{name}">{escape(label)}</label><select id="{name}" name="{name}">{made}</select>'


def table(label: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are HTML."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table aria-label="{escape(label)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def facts(label: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A table of names and values."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in pairs
    )
    return f'<table aria-label="{escape(label)}"><tbody>{rows}</tbody></table>'


def _menu(person: Person | None) -> str:
    if person is None:
        return ""
    who = f'<span aria-label="Signed in">{escape(person.name)} ({escape(person.number)})</span>'
    return f'<a href="/times">Book a test</a><a href="/bookings">My bookings</a>{who}' + button(
        "Sign out", "/sign-out"
    )
