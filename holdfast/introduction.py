"""What a server or a worker that has just started tells the operator."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from automation.browsers.program import describe, find_browser
from automation.portals import portals
from holdfast.job_running import why_off
from holdfast.settings import Settings
from holdfast.terminal import say


def introduce(settings: Settings, sockets: Sequence[socket.socket], broker: str | None) -> None:
    """Say where everything is; ``broker`` in the words of its own process, or None for several processes."""
    host, port = sockets[0].getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    page = f"{url}/graphql" if settings.shows_graphiql else "off (HOLDFAST_GRAPHIQL=true switches it on)"
    database = (
        f"embedded, in {settings.data_dir}" if settings.embedded else "the one of HOLDFAST_DATABASE_URL"
    )
    here = "in this process" if len(sockets) == 1 else "in the first of them"
    worker = here if settings.works_inline else "off here: run `holdfast worker` beside it"
    processes = f"\n  processes   {len(sockets)}; SIGHUP replaces them one by one" if len(sockets) > 1 else ""
    portal = settings.demo_portal_url
    demo = f"\n  demo portal {portal}, where {portal}/phone scans its codes" if portal else ""
    say(
        f"""
Holdfast listens on {url}
  GraphQL     {url}/graphql (POST, graphql-transport-ws, text/event-stream)
  GraphiQL    {page}
  database    {database}
  broker      {broker or _between(settings)}
  worker      {worker}{processes}
  automation  {_automation(settings, len(sockets), here=settings.works_inline)}{demo}
Ctrl-C stops."""
    )


def introduce_worker(settings: Settings, broker: str) -> None:
    """The same of a worker, which is one of several processes."""
    say(f"Working, with {broker} as broker; automation {_automation(settings, 2, here=True)}. Ctrl-C stops.")


def _automation(settings: Settings, processes: int, *, here: bool) -> str:
    settings = settings.as_one_of_several() if processes > 1 else settings
    why = why_off(settings, portals(settings.portals, settings.demo_portal_url))
    if why is not None:
        return f"off: {why}"
    if not here:
        return "in the workers"
    program = find_browser(settings.browser)
    found = describe(program) if program else ""
    return f"on: {settings.jobs_per_worker} jobs at once, in {found}"


def _between(settings: Settings) -> str:
    if settings.redis_url is not None:
        return "the Redis of HOLDFAST_REDIS_URL"
    return (
        "none between the processes: what one changes, watchers of another hear up to a second later, and each"
        " counts limits for itself (HOLDFAST_REDIS_URL cures both)"
    )
