"""What is shown at this moment, over both homes it has, and what Redis can do to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from db.live import MemoryLive, open_live
from db.redis_live import RedisLive
from domain.errors import Unavailable
from domain.live import Audience, Live, LoginCode
from domain.portals import CapturedCode
from tests.redis_server import RedisServer, Wire

SECRET = b"a secret of the server's, long enough"
JOB = UUID("0192f0c4-0000-7000-8000-000000000001")
A_TIMERS_LATENESS = timedelta(seconds=0.2)
OTHER = UUID("0192f0c4-0000-7000-8000-000000000002")


class Processes:
    """Makes the `Live` of one more process."""

    def __init__(self, stack: AsyncExitStack, url: str | None) -> None:
        self._stack, self._url = stack, url
        self._memory: Live | None = None

    async def another(self, secret: bytes = SECRET) -> Live:
        """Without Redis all watch in one process."""
        if self._url is None and self._memory is not None:
            return self._memory
        live = await self._stack.enter_async_context(open_live(self._url, secret))
        self._memory = live
        return live


@pytest.fixture(params=["memory", "redis"])
async def processes(request: pytest.FixtureRequest) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as stack:
        url = None
        if request.param == "redis":
            url = (await stack.enter_async_context(RedisServer())).url
        yield Processes(stack, url)


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with RedisServer() as server:
        yield server


def captured(text: str, life: float = 30.0, age: float = 0.0) -> CapturedCode:
    shown_at = datetime.now(UTC) - timedelta(seconds=age)
    return CapturedCode(
        text, b"a picture of " + text.encode(), shown_at, timedelta(seconds=life), "bankid:///"
    )


async def the_next(codes: AsyncIterator[LoginCode], within: float = 5.0) -> LoginCode:
    async with asyncio.timeout(within):
        return await anext(codes)


async def nothing_comes(iterator: AsyncIterator[object]) -> bool:
    waiting = asyncio.ensure_future(anext(iterator))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return not done


async def becomes(condition: Callable[[], object], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what a clock does sets no event
            await asyncio.sleep(0.01)


# Both


async def test_whoever_watches_gets_every_code_as_it_was_shown(processes: Processes) -> None:
    worker, server = await processes.another(), await processes.another()
    async with server.codes(JOB) as codes:
        for number in range(1, 21):
            shown = await worker.show_code(JOB, captured(f"bankid.{number}"))
            assert await the_next(codes) == shown
            assert (shown.frame, shown.text, shown.autostart_url) == (
                number,
                f"bankid.{number}",
                "bankid:///",
            )
            assert shown.shown_at <= shown.delivered_at < shown.expires_at


async def test_who_comes_late_gets_the_newest_while_it_is_valid_and_nothing_twice(
    processes: Processes,
) -> None:
    worker, server = await processes.another(), await processes.another()
    await worker.show_code(JOB, captured("older"))
    await worker.show_code(JOB, captured("newer"))
    async with server.codes(JOB) as codes:
        assert (await the_next(codes)).text == "newer"
        assert await nothing_comes(codes)


async def test_who_is_slow_gets_the_newest_alone(processes: Processes) -> None:
    worker, server = await processes.another(), await processes.another()
    async with server.codes(JOB) as slow, server.codes(JOB) as quick:
        for number in range(5):
            await worker.show_code(JOB, captured(f"bankid.{number}"))
            assert (await the_next(quick)).text == f"bankid.{number}"
        assert (await the_next(slow)).text == "bankid.4"
        assert await nothing_comes(slow)


async def test_an_older_code_never_follows_a_newer_one(processes: Processes) -> None:
    worker, successor = await processes.another(), await processes.another()
    async with successor.codes(JOB) as codes:
        await successor.show_code(JOB, captured("newer"))
        assert (await the_next(codes)).text == "newer"
        await worker.show_code(JOB, captured("older", age=1.0))
        assert await nothing_comes(codes)


async def test_a_code_is_gone_when_its_life_is_over(processes: Processes) -> None:
    worker, server = await processes.another(), await processes.another()
    async with server.codes(JOB) as codes:
        code = await worker.show_code(JOB, captured("short", life=0.3))
        await becomes(lambda: code.expires_at + A_TIMERS_LATENESS < datetime.now(UTC))
        assert await server.code(JOB) is None
        assert await nothing_comes(codes)
    async with server.codes(JOB) as codes:
        assert await nothing_comes(codes)


async def test_a_hidden_code_is_gone_at_once_and_everywhere(processes: Processes) -> None:
    worker, server = await processes.another(), await processes.another()
    await worker.show_code(JOB, captured("hidden"))
    assert (await server.code(JOB)) is not None
    await worker.hide_code(JOB)
    assert [await worker.code(JOB), await server.code(JOB)] == [None, None]


async def test_frames_go_on_growing_when_another_worker_has_the_job(processes: Processes) -> None:
    first, second = await processes.another(), await processes.another()
    assert [(await first.show_code(JOB, captured("a code"))).frame for _ in range(2)] == [1, 2]
    await first.hide_code(JOB)
    async with second.codes(JOB) as beside:
        for frame in (3, 4):
            shown = await second.show_code(JOB, captured("a code"))
            assert shown.frame == (await the_next(beside)).frame == frame


async def test_one_job_hears_nothing_of_another(processes: Processes) -> None:
    worker, server = await processes.another(), await processes.another()
    async with server.codes(uuid4()) as codes:
        await worker.show_code(JOB, captured("for somebody else"))
        assert await nothing_comes(codes)


async def test_pictures_are_asked_for_only_while_somebody_watches(processes: Processes) -> None:
    worker, server = await processes.another(), await processes.another()
    async with asyncio.timeout(20), worker.watched(JOB) as audiences:
        assert await anext(audiences) == Audience()
        async with server.pictures(JOB, own=False) as masked:
            assert await anext(audiences) == Audience(own=False, masked=True, per_second=1.0)
            async with server.pictures(JOB, own=True, per_second=40) as own:
                assert await anext(audiences) == Audience(own=True, masked=True, per_second=5.0)
                await worker.show_picture(JOB, b"with the code", b"without it")
                assert [(await anext(own)).image, (await anext(masked)).image] == [
                    b"with the code",
                    b"without it",
                ]
            assert await anext(audiences) == Audience(own=False, masked=True, per_second=1.0)
        assert not await anext(audiences)


async def test_a_worker_that_comes_later_learns_who_has_been_watching(processes: Processes) -> None:
    worker, server = await processes.another(), await processes.another()
    async with (
        server.pictures(JOB, own=True) as pictures,
        asyncio.timeout(10),
        worker.watched(JOB) as audiences,
    ):
        async for audience in audiences:
            if audience.own:
                break
        await worker.show_picture(JOB, b"a page", None)
        assert (await anext(pictures)).image == b"a page"


async def test_nothing_of_a_code_is_in_a_repr(processes: Processes) -> None:
    live = await processes.another()
    code = captured("bankid.secret")
    shown = await live.show_code(JOB, code)
    assert "secret" not in repr(code) + repr(shown) + repr(live)
    assert "bankid" not in repr(code) + repr(shown)


async def test_what_nobody_watches_any_more_takes_no_room() -> None:
    live = MemoryLive()
    async with live.codes(JOB), live.pictures(JOB, own=True), live.watched(JOB):
        await live.show_code(JOB, captured("short", life=0.05))
    await becomes(lambda: not live._codes)
    assert not [*live._code_readers, *live._picture_readers, *live._audiences.here()]
    assert not live._audiences._there | live._audiences._told


# Redis alone


async def test_redis_holds_nothing_that_can_be_read_in_memory_or_in_its_file() -> None:
    heard: list[bytes] = []
    async with RedisServer(rdbcompression="no") as redis, RedisLive(redis.url, SECRET) as worker:
        reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
        writer.write(b"MONITOR\r\n")
        await reader.readline()
        shown = await worker.show_code(JOB, captured("bankid.secret"))
        await worker.show_picture(JOB, b"picture-of-the-page", b"picture-of-the-page")
        async with RedisLive(redis.url, SECRET) as server:
            assert await server.code(JOB) == shown
        await redis.command("SAVE")
        await redis.command("ECHO", "the end")
        async with asyncio.timeout(5):
            while not heard or b"the end" not in heard[-1]:
                heard.append(await reader.readuntil())
        writer.close()
        await writer.wait_closed()
        where = [await redis.command("CONFIG", "GET", name) for name in ("dir", "dbfilename")]
        file = Path(*(answer.split(b"\r\n")[4].decode() for answer in where)).read_bytes()
    said = file + b"".join(heard)
    assert str(JOB).encode() in file
    for secret in (b"bankid", b"secret", b"picture of", b"picture-of", b"autostart"):
        assert secret not in said


async def test_redis_forgets_a_code_when_its_life_is_over(redis: RedisServer) -> None:
    async with RedisLive(redis.url, SECRET) as worker:
        await worker.show_code(JOB, captured("short", life=5, age=1))
        answer = await redis.command("PTTL", f"holdfast:live:code:{JOB}")
        assert 0 < int(answer[1:]) <= 4_000


async def test_another_secret_opens_nothing(redis: RedisServer) -> None:
    async with RedisLive(redis.url, SECRET) as worker, RedisLive(redis.url, b"x" * 40) as stranger:
        await worker.show_code(JOB, captured("sealed"))
        assert await stranger.code(JOB) is None


async def test_watchers_beside_the_worker_get_codes_while_redis_is_gone_and_others_when_it_is_back(
    redis: RedisServer,
) -> None:
    async with (
        RedisLive(redis.url, SECRET) as worker,
        RedisLive(redis.url, SECRET) as server,
        worker.codes(JOB) as beside,
        server.codes(JOB) as elsewhere,
    ):
        await worker.show_code(JOB, captured("before"))
        assert (await the_next(beside)).text == (await the_next(elsewhere)).text == "before"
        await redis.stop()
        shown = await worker.show_code(JOB, captured("meanwhile"))
        assert await the_next(beside) == shown
        assert shown.frame == 2
        await redis.start()
        shown = await worker.show_code(JOB, captured("after"))
        assert await the_next(elsewhere) == shown
        assert shown.frame == 3


async def test_a_worker_that_ends_its_codes_takes_back_none_of_its_successor(redis: RedisServer) -> None:
    async with (
        RedisLive(redis.url, SECRET) as before,
        RedisLive(redis.url, SECRET) as after,
        after.codes(JOB) as beside,
    ):
        await before.show_code(JOB, captured("before"))
        newer = await after.show_code(JOB, captured("after"))
        await before.hide_code(JOB)
        async with after.codes(OTHER) as others:  # words come in their order
            await before.show_code(OTHER, captured("the word that follows"))
            assert (await the_next(others)).text == "the word that follows"
        assert await the_next(beside) == newer
        assert await after.code(JOB) == newer


async def test_a_code_that_nobody_can_get_is_said_to_be_lost(redis: RedisServer) -> None:
    async with RedisLive(redis.url, SECRET) as worker:
        await redis.stop()
        with pytest.raises(Unavailable) as refusal:
            await worker.show_code(JOB, captured("bankid.secret"))
        assert "secret" not in str(refusal.value)
        await worker.hide_code(JOB)
        await worker.show_picture(JOB, b"a page", None)
        await redis.start()
        assert (await worker.show_code(JOB, captured("again"))).frame > 0


async def test_a_frozen_redis_keeps_no_watcher_beside_the_worker_waiting(redis: RedisServer) -> None:
    async with RedisLive(redis.url, SECRET) as worker, worker.codes(JOB) as codes:
        await worker.show_code(JOB, captured("before"))
        assert (await the_next(codes)).text == "before"
        await redis.freeze()
        try:
            showing = asyncio.create_task(worker.show_code(JOB, captured("meanwhile")))
            assert (await the_next(codes, within=0.5)).text == "meanwhile"
            async with asyncio.timeout(5):
                await showing
        finally:
            await redis.thaw()


async def test_who_was_cut_off_when_a_code_was_shown_gets_it_when_redis_is_heard_again(
    redis: RedisServer,
) -> None:
    async with (
        Wire(redis.port) as wire,
        RedisLive(f"redis://127.0.0.1:{wire.port}", SECRET) as server,
        RedisLive(redis.url, SECRET) as worker,
        server.codes(JOB) as codes,
    ):
        await worker.show_code(JOB, captured("before"))
        assert (await the_next(codes)).text == "before"
        await wire.cut()
        await worker.show_code(JOB, captured("meanwhile"))
        assert await nothing_comes(codes)
        await wire.mend()
        assert (await the_next(codes)).text == "meanwhile"


async def test_an_audience_that_falls_silent_is_forgotten(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.audiences.BELIEVED", 1.5)
    async with RedisLive(redis.url, SECRET) as worker, worker.watched(JOB) as audiences, asyncio.timeout(10):
        assert not await anext(audiences)
        told = json.dumps({"own": True, "masked": False, "per_second": 2.0})
        hearing = asyncio.ensure_future(anext(audiences))
        while not hearing.done():  # until it has subscribed
            await redis.command("PUBLISH", "holdfast-live", f"audience {JOB} killed {told}")
        assert (await hearing).per_second == 2.0
        assert not await anext(audiences)


async def test_a_word_that_is_not_understood_makes_nobody_deaf(redis: RedisServer) -> None:
    words = ("code", "code nobody process", f'audience {JOB} process {{"new": 1}}', f"audience {JOB} process")
    async with (
        RedisLive(redis.url, SECRET) as server,
        RedisLive(redis.url, SECRET) as worker,
        server.codes(JOB) as codes,
    ):
        await worker.show_code(JOB, captured("before"))
        assert (await the_next(codes)).text == "before"
        for word in words:
            await redis.command("PUBLISH", "holdfast-live", word)
        await worker.show_code(JOB, captured("after"))
        assert (await the_next(codes)).text == "after"
