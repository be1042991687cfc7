"""The older contract's requests. An error is ``{"detail": ..., "code": ...}``, with the ``field`` that is wrong."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from structlog.contextvars import bind_contextvars, clear_contextvars

from domain.errors import Denial, InvalidInput, NotFound, PortalUnavailable, Refusal
from domain.viewer import Viewer
from holdfast.older import words
from holdfast.older.jobs import OlderJobs
from holdfast.transport.accept import is_json
from holdfast.transport.request import Malformed, Ports, address_of, decode, request_id_of, status_of

LONGEST = 300
"""Characters of a message: one about a value may quote it."""

_log = logging.getLogger(__name__)

Work = Callable[[Viewer], Awaitable[words.Told]]


@dataclass(frozen=True, slots=True)
class OlderHttp:
    """What answers; who asks, how often and how much is judged as for ``/graphql``."""

    jobs: OlderJobs
    ports: Ports

    async def health(self, request: Request) -> Response:
        """The process lives."""
        return JSONResponse({"status": "healthy"}, headers=_HEADERS)

    async def start(self, request: Request) -> Response:
        """POST: begin a job."""

        async def work(viewer: Viewer) -> words.Told:
            job, webhook = await self.jobs.start(viewer, await self._body(request))
            return words.started(job, webhook=webhook)

        return await self._answer(request, work)

    async def stop(self, request: Request) -> Response:
        """POST: end a job."""

        async def work(viewer: Viewer) -> words.Told:
            return words.stopped(await self.jobs.stop(viewer, await self._body(request)))

        return await self._answer(request, work)

    async def listed(self, request: Request) -> Response:
        """GET: one's jobs, the newest first."""

        async def work(viewer: Viewer) -> words.Told:
            return {"jobs": [words.status(job) for job in await self.jobs.listed(viewer)]}

        return await self._answer(request, work)

    async def status(self, request: Request) -> Response:
        """GET: one job."""

        async def work(viewer: Viewer) -> words.Told:
            return words.status(await self.jobs.find(viewer, request.path_params["job_id"]))

        return await self._answer(request, work)

    async def code(self, request: Request) -> Response:
        """GET: the newest login code of a job, which is 404 while none is shown."""

        async def work(viewer: Viewer) -> words.Told:
            job = await self.jobs.find(viewer, request.path_params["job_id"])
            return words.qr_update(job, await self.jobs.code(job))

        return await self._answer(request, work)

    async def _answer(self, request: Request, work: Work) -> Response:
        request_id = request_id_of(request.headers)
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        try:
            viewer = await self.ports.identify(
                request.headers.get("authorization"), address_of(request.scope), request_id
            )
            self.ports.admit(viewer)
            self.jobs.admit(viewer)
            answer = JSONResponse(await work(viewer), headers=_HEADERS)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except Malformed as malformed:
            self.ports.refused[malformed.code] += 1
            answer = _told(malformed.status, malformed.message, malformed.code, malformed.headers)
        except (Refusal, Denial) as refusal:
            answer = _refused(refusal)
        except Exception as error:
            _log.error("an older request failed", exc_info=error, extra={"request_id": request_id})
            answer = _told(500, f"Internal error; quote the request id {request_id}.", "INTERNAL")
        answer.headers["x-request-id"] = request_id
        return answer

    async def _body(self, request: Request) -> Mapping[str, object]:
        """The JSON object that was sent. Raises Malformed."""
        if not is_json(request.headers.get("content-type")):
            message = "The body must be application/json in UTF-8."
            raise Malformed(message, 415, "UNSUPPORTED_MEDIA_TYPE")
        body, limit = bytearray(), self.ports.limits.body
        async for part in request.stream():
            body += part
            if len(body) > limit:
                message = f"The body is longer than {limit} bytes."
                raise Malformed(message, 413, "PAYLOAD_TOO_LARGE", connection="close")
        value = decode(bytes(body), self.ports.limits.json_depth)
        if not isinstance(value, dict):
            message = "The body must be a JSON object."
            raise Malformed(message)
        return value


_HEADERS = {"cache-control": "no-store"}


def _refused(refusal: Refusal | Denial) -> JSONResponse:
    if isinstance(refusal, Denial):
        more = {"www-authenticate": "Bearer"} if status_of(refusal) == 401 else {}
        if "retryAfter" in refusal.extensions:
            more["retry-after"] = str(refusal.extensions["retryAfter"])
        return _told(status_of(refusal), refusal.message, refusal.code, more)
    match refusal:
        case InvalidInput():
            status = 422
        case NotFound():
            status = 404
        case PortalUnavailable():
            status = 503
        case _:
            status = 409
    field = words.field_of(refusal.path or ())
    return _told(status, refusal.message, str(refusal.code), {}, field)


def _told(
    status: int, message: str, code: str, more: Mapping[str, str] | None = None, field: str | None = None
) -> JSONResponse:
    told: words.Told = {"detail": message[:LONGEST], "code": code}
    if field is not None:
        told["field"] = field
    return JSONResponse(told, status, {**_HEADERS, **(more or {})})
