"""Multicast: what many watchers are told alike is executed once, written once, and handed to every connection.

A watcher begins alone: it gets its own snapshot, or what it has missed, from its own stream of results. Once it is up
to date it joins the *group* of those who are told the same from there on (``Shared`` says which), and its own stream is
given up; the first one's becomes the group's. From then on a watcher is an entry in a set: no task waits for it.

- Nothing is told twice or left out. A member stands at a *place*, and takes what leads further. Who stands behind the
  group is not let in, and goes on alone until it has come up.
- A member whose connection takes nothing at the moment steps out, and begins alone again from its place as soon as the
  connection takes something: what came meanwhile is then one merged result, and nothing is kept for it.
- A group tells only what is for everybody. Where its stream says anything else, or ends, the group is over, and each
  member finds out alone, from its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from typing import Any, Protocol

from holdfast.transport.figures import Figures
from holdfast.transport.request import encode
from schema.executor import Result
from schema.sharing import Shared

TURN = 256
"""Members that are handed a result before others get their turn: two milliseconds."""

Results = AsyncGenerator[Result | Shared[Result], None]


class Message:
    """One result in each of the forms in which it travels, made at most once."""

    __slots__ = ("_forms", "_written")

    def __init__(self, written: bytes) -> None:
        self._written = written
        self._forms: dict[str, bytes] = {}

    def under(self, name: str, made: Callable[[bytes, str], bytes]) -> bytes:
        """The result, JSON, as ``made`` wraps it under a name."""
        form = self._forms.get(name)
        if form is None:
            form = self._forms[name] = made(self._written, name)
        return form


class Member(Protocol):
    """A watcher. ``place`` is where it stands, ``group`` the one that it is in."""

    place: Any
    group: Group | None

    @property
    def request_id(self) -> str:
        """What logs and masked errors call it."""

    def take(self, message: Message) -> bool:
        """Hand a result to the connection; False where it takes none now."""

    def step_out(self) -> None:
        """Go on alone from ``place``; it is in no group any more."""


class Group:
    """Those who are told the same, and what tells them."""

    __slots__ = ("_figures", "_forget", "_members", "_request_id", "_task", "place", "results")

    def __init__(
        self,
        results: Results,
        place: Any,
        request_id: str,
        figures: Figures,
        forget: Callable[[], None],
    ) -> None:
        self.results = results
        self.place = place
        self._request_id = request_id
        self._figures = figures
        self._forget = forget
        self._members: set[Member] = set()
        self._task = asyncio.create_task(self._tell())

    def add(self, member: Member) -> None:
        """Let a watcher in, who does not stand behind."""
        self._members.add(member)
        member.group = self

    def remove(self, member: Member) -> None:
        """Let a watcher go; the last one ends the group."""
        self._members.discard(member)
        member.group = None
        if not self._members:
            self._forget()
            self._task.cancel()

    async def _tell(self) -> None:
        try:
            async with aclosing(self.results) as results:
                async for shared in results:
                    if not isinstance(shared, Shared):
                        break
                    self.place = shared.place
                    if shared.told is not None:
                        await self._hand_out(Message(encode(shared.told, self._request_id)))
        finally:
            self._forget()
            while self._members:
                member = self._members.pop()
                member.group = None
                member.step_out()

    async def _hand_out(self, message: Message) -> None:
        members, place = list(self._members), self.place
        for start in range(0, len(members), TURN):
            if start:
                await asyncio.sleep(0)
            for member in members[start : start + TURN]:
                if member.group is not self or not member.place < place:
                    continue
                if member.take(message):
                    member.place = place
                    self._figures.results += 1
                else:
                    self.remove(member)
                    member.step_out()


class Multicast:
    """All groups of a process, by what they are told."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._groups: dict[Hashable, Group] = {}

    async def join(self, member: Member, shared: Shared[Result], results: Results) -> bool:
        """Whether a watcher is in its group now; its ``results``, which said ``shared``, are taken care of then."""
        channel, member.place = shared.channel, shared.place
        group = self._groups.get(channel)
        if group is None:
            group = self._groups[channel] = Group(
                results,
                shared.place,
                member.request_id,
                self._figures,
                lambda: self._forget(channel, results),
            )
            self._figures.groups += 1
        elif member.place < group.place:
            return False
        group.add(member)
        if group.results is not results:
            await results.aclose()
        return True

    def _forget(self, channel: Hashable, results: Results) -> None:
        group = self._groups.get(channel)
        if group is not None and group.results is results:
            del self._groups[channel]
            self._figures.groups -= 1
