"""What tests steer the portal by, and read from it: the oracle. There only with a token, and linked nowhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from hmac import compare_digest
from secrets import token_hex
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from automation.demo_portal.people import person_of
from automation.demo_portal.portal import Page, Portal, Trouble, TroubleKind
from automation.demo_portal.scenario import Scenario, ScenarioRefused
from automation.demo_portal.times import EXAMS, PLACES, Time, told

Act = Callable[[dict[str, Any]], object]


class Control:
    """The control API over one portal, for who has the token."""

    def __init__(self, portal: Portal, token: str) -> None:
        self._portal = portal
        self._token = token

    def routes(self) -> list[BaseRoute]:
        """Its addresses: GET reads, POST changes and takes an object."""
        reads: dict[str, Callable[[], object]] = {
            "log": lambda: self._portal.diary.entries,
            "booked": lambda: self._portal.diary.booked,
            "times": self._times,
            "troubles": lambda: {page: len(left) for page, left in self._portal.troubles.items() if left},
        }
        acts: dict[str, Act] = {
            "anew": self._anew,
            "scenario": self._scenario,
            "trouble": self._trouble,
            "lose": self._lose,
            "swap": self._swap,
            "offer": self._offer,
            "take": lambda asked: self._portal.times.drop(str(asked["id"])),
            "sign-in": lambda asked: self._portal.enter(person_of(asked["person"])).token,
            "sign-out": lambda asked: self._portal.end_all(),
        }
        return [
            *(Route(f"/control/{name}", self._read(read), methods=["GET"]) for name, read in reads.items()),
            *(Route(f"/control/{name}", self._act(act), methods=["POST"]) for name, act in acts.items()),
        ]

    def _read(self, read: Callable[[], object]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self._must_be_allowed(request)
            return JSONResponse(read())

        return endpoint

    def _act(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self._must_be_allowed(request)
            try:
                done = act(await request.json() if await request.body() else {})
            except (KeyError, ValueError, ScenarioRefused) as refused:
                raise HTTPException(400, str(refused)) from None
            self._portal.changed()
            return JSONResponse(done)

        return endpoint

    def _must_be_allowed(self, request: Request) -> None:
        if not compare_digest(request.headers.get("authorization", ""), f"Bearer {self._token}"):
            raise HTTPException(404)

    def _times(self) -> object:
        return {exam: told(self._portal.times.free(exam, PLACES)) for exam in EXAMS}

    def _anew(self, asked: dict[str, Any]) -> object:
        """``{"seed"?, "scenario"?}``: as if it had just been started."""
        self._portal.begin_anew(int(asked.get("seed", 1)), Scenario().changed(asked.get("scenario", {})))
        return self._portal.scenario.told()

    def _scenario(self, asked: dict[str, Any]) -> object:
        """Choose anew."""
        self._portal.scenario = self._portal.scenario.changed(asked)
        return self._portal.scenario.told()

    def _trouble(self, asked: dict[str, Any]) -> None:
        """``{"page", "kind", "after"?, "seconds"?, "times"?}``: trouble with the next answers of a page."""
        trouble = Trouble(
            TroubleKind(asked["kind"]), bool(asked.get("after")), float(asked.get("seconds", 0))
        )
        self._portal.troubles[Page(asked["page"])].extend([trouble] * int(asked.get("times", 1)))

    def _lose(self, asked: dict[str, Any]) -> None:
        """``{"times"}``: so many of the next choices are lost to another customer."""
        self._portal.times.steals = int(asked.get("times", 1))

    def _swap(self, asked: dict[str, Any]) -> None:
        """``{"times"}``: so many of the next choices keep another time, and say nothing of it."""
        self._portal.times.swaps = int(asked.get("times", 1))

    def _offer(self, asked: dict[str, Any]) -> object:
        """``{"exam", "place", "starts"}``: one more time."""
        time = Time(token_hex(6), asked["exam"], asked["place"], datetime.fromisoformat(asked["starts"]))
        self._portal.times.add(time)
        return time.id
