"""A call to the server that runs on this machine."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

from holdfast.settings import Settings
from holdfast.terminal import CommandFailed

PATIENCE = 4.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where others listen


def ready(settings: Settings) -> str:
    """What ``/health/ready`` says. Raises CommandFailed where it says no, or nobody answers."""
    host = EVERYWHERE.get(settings.host, settings.host)
    connection = HTTPConnection(host, settings.port, timeout=PATIENCE)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        body = answer.read().decode()
    except (OSError, HTTPException) as error:
        words = error.strerror if isinstance(error, OSError) else None
        raise CommandFailed(
            f"Nobody answers on {host}:{settings.port} ({words or type(error).__name__})."
        ) from None
    finally:
        connection.close()
    if answer.status != 200:
        raise CommandFailed(f"The server is not ready: {body}")
    return body
