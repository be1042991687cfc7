"""Times that can be booked: they appear, other customers take them, and some are kept for a while.

What happens by itself follows from the seed, from how many steps have passed and from what was booked, so that a run
can be repeated. Times appear where there are fewest, and other customers take them where there are most: no place that
somebody tries stays without a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import product
from random import Random

from automation.demo_portal.clock import Clock
from automation.demo_portal.diary import Diary, Happening
from automation.demo_portal.scenario import Scenario

PLACES = ("Enköping", "Gävle", "Norrtälje", "Stockholm City", "Södertälje", "Uppsala", "Västerås", "Örebro")
EXAMS = ("Driving test", "Theory test")
DAYS = 60
AT_FIRST = 4
"""Free times of each place and exam at the start."""
AT_MOST = 200


class Taken(Exception):
    """Somebody else has the time."""


@dataclass(frozen=True, slots=True)
class Time:
    """A time that can be booked; ``starts`` is local and has no zone."""

    id: str
    exam: str
    place: str
    starts: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """A time that is kept for somebody until then."""

    time: Time
    until: datetime


class Times:
    """The times of one portal. ``steals`` of the next choices lose to another customer, ``swaps`` get another time."""

    def __init__(self, seed: int, clock: Clock, diary: Diary, scenario: Callable[[], Scenario]) -> None:
        self.steals = 0
        self.swaps = 0
        self._seed = seed
        self._clock = clock
        self._diary = diary
        self._scenario = scenario
        self._free: dict[str, Time] = {}
        self._kept: dict[str, Kept] = {}
        self._stepped_at = clock()
        self._steps = 0
        self._today = self._stepped_at.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        random = Random(f"{seed}:0")
        for place in PLACES:
            for exam in EXAMS:
                for _ in range(AT_FIRST):
                    self.add(self._some(random, place, exam))

    def add(self, time: Time) -> None:
        """Offer a time."""
        self._free[time.id] = time

    def free(self, exam: str, places: Collection[str]) -> Sequence[Time]:
        """What can be chosen now, in order."""
        self._pass_by()
        if self._scenario().no_times:
            return []
        found = (time for time in self._free.values() if time.exam == exam and time.place in places)
        return sorted(found, key=_order)

    def keep(self, id: str, whose: str) -> Kept:
        """Keep a time, in place of any that is kept for them; it may be another one. Raises Taken."""
        self._pass_by()
        time = self._free.get(id)
        if time is not None and self.steals:
            self.steals -= 1
            self.take(time)
            time = None
        if time is None:
            raise Taken
        if self.swaps and (others := self._others(time)):
            self.swaps -= 1
            time = others[0]
        self.release(whose)
        del self._free[time.id]
        kept = Kept(time, self._clock() + timedelta(seconds=self._scenario().keep_seconds))
        self._kept[whose] = kept
        return kept

    def kept(self, whose: str) -> Kept | None:
        """What is kept for somebody."""
        self._pass_by()
        return self._kept.get(whose)

    def book(self, whose: str) -> Time:
        """Give what is kept for good. Raises Taken: it is kept no longer."""
        self._pass_by()
        kept = self._kept.pop(whose, None)
        if kept is None:
            raise Taken
        return kept.time

    def release(self, whose: str) -> None:
        """Let go of what is kept for somebody."""
        if kept := self._kept.pop(whose, None):
            self.add(kept.time)

    def take(self, time: Time) -> None:
        """Another customer books it."""
        del self._free[time.id]
        self._diary.note(Happening.RIVAL_TOOK, time=_words(time))

    def drop(self, id: str) -> None:
        """Another customer books a time, if it is free or kept."""
        for whose, kept in list(self._kept.items()):
            if kept.time.id == id:
                self.release(whose)
        if time := self._free.get(id):
            self.take(time)

    def _others(self, than: Time) -> Sequence[Time]:
        same = (t for t in self._free.values() if t.exam == than.exam and t.place == than.place and t != than)
        return sorted(same, key=_order)

    def _pass_by(self) -> None:
        """Do what has happened by itself since somebody looked."""
        now, scenario = self._clock(), self._scenario()
        for whose in [whose for whose, kept in self._kept.items() if kept.until <= now]:
            self.release(whose)
        step = timedelta(seconds=scenario.step_seconds)
        while self._stepped_at + step <= now:
            self._stepped_at += step
            self._steps += 1
            self._step(Random(f"{self._seed}:{self._steps}"), scenario)

    def _step(self, random: Random, scenario: Scenario) -> None:
        appears, taken = random.random() < scenario.new_times, random.random() < scenario.rivals
        if appears and len(self._free) < AT_MOST:
            time = self._some(random, *random.choice(self._kinds(min)))
            self.add(time)
            self._diary.note(Happening.APPEARED, time=_words(time))
        if taken and self._free:
            kinds = self._kinds(max)
            alike = [time for time in self._free.values() if (time.place, time.exam) in kinds]
            self.take(random.choice(sorted(alike, key=_order)))

    def _kinds(self, extreme: Callable[[Iterable[int]], int]) -> Sequence[tuple[str, str]]:
        """The places and exams with the fewest free times, or with the most."""
        counted = Counter((time.place, time.exam) for time in self._free.values())
        kinds = list(product(PLACES, EXAMS))
        number = extreme(counted[kind] for kind in kinds)
        return [kind for kind in kinds if counted[kind] == number]

    def _some(self, random: Random, place: str, exam: str) -> Time:
        day = self._today + timedelta(days=random.randint(2, DAYS))
        clock = time(random.randint(8, 15), random.choice((0, 15, 30, 45)))
        return Time(f"{random.getrandbits(48):012x}", exam, place, datetime.combine(day, clock))


def _order(time: Time) -> tuple[datetime, str, str]:
    return time.starts, time.place, time.id


def _words(time: Time) -> str:
    return f"{time.starts:%Y-%m-%d %H:%M} {time.place}, {time.exam}"


def told(times: Iterable[Time]) -> list[dict[str, str]]:
    """Times as the control API tells them."""
    return [
        {"id": each.id, "exam": each.exam, "place": each.place, "starts": each.starts.isoformat()}
        for each in times
    ]
