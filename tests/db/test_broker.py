"""The broker over both backends, and what Redis can do to it."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from broadcaster import Broadcast, BroadcastBackend
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from db.backlog import CHARACTERS, GAP, MESSAGES
from db.broker import Broker, Gap, Message, make_broker
from db.memory_backend import MemoryBackend
from db.redis_backend import RedisBackend
from tests.redis_server import RedisServer, Wire

LIVE_AGAIN = 2.0
"""Seconds after Redis' return in which watchers hear again."""


@pytest.fixture(params=["memory", "redis"])
async def new_backend(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], BroadcastBackend]]:
    """Each call makes the backend of one more process."""
    if request.param == "memory":
        peers: set[MemoryBackend] = set()
        yield lambda: MemoryBackend(peers)
    else:
        async with RedisServer() as server:
            yield lambda: RedisBackend(server.url)


@pytest.fixture
def new_broker(new_backend: Callable[[], BroadcastBackend]) -> Callable[[], Broker]:
    """Each call makes the broker of one more process."""
    return lambda: Broker(new_backend(), channel="test", description="the one under test")


@pytest.fixture(autouse=True)
async def _nothing_left_behind() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - before == {asyncio.current_task()}
    gc.collect()  # what was not closed warns now, and a warning is an error


async def _next(broker: Broker, within: float = 10.0) -> Message | Gap:
    async with asyncio.timeout(within):
        return await anext(broker)


async def _until(broker: Broker, text: str, within: float = 10.0) -> list[Message | Gap]:
    """Everything the broker hears up to the message ``text``, without it."""
    heard: list[Message | Gap] = []
    async with asyncio.timeout(within):
        while (item := await anext(broker)) != Message(text):
            heard.append(item)
    return heard


async def _becomes(condition: Callable[[], bool], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what a server or a socket does sets no event
            await asyncio.sleep(0.01)


# Both backends


async def test_the_first_thing_heard_is_a_gap(new_broker: Callable[[], Broker]) -> None:
    async with new_broker() as broker:
        assert await _next(broker) == Gap()
        assert broker.healthy
    assert not broker.healthy


async def test_leaving_waits_for_the_ends_of_its_tasks(new_broker: Callable[[], Broker]) -> None:
    before = asyncio.all_tasks()
    async with new_broker() as broker:
        assert await _next(broker) == Gap()
    assert asyncio.all_tasks() == before


async def test_leaving_ends_a_task_that_lost_its_cancellation() -> None:
    class Losing(MemoryBackend):
        """Loses a cancellation that comes while it publishes, as asyncio.wait_for of Python 3.11 may."""

        def __init__(self) -> None:
            super().__init__()
            self.publishing = asyncio.Event()

        async def publish(self, channel: str, message: str) -> None:
            self.publishing.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    backend = Losing()
    async with asyncio.timeout(5), Broker(backend, channel="test", description="losing") as broker:
        broker.publish("something")
        await backend.publishing.wait()


async def test_two_processes_hear_every_message_in_order_and_so_does_the_sender(
    new_broker: Callable[[], Broker],
) -> None:
    async with new_broker() as sender, new_broker() as other:
        assert [await _next(sender), await _next(other)] == [Gap(), Gap()]
        texts = [f"så {number}" for number in range(MESSAGES // 2)]
        for text in texts:
            sender.publish(text.encode())
        for broker in (sender, other):
            assert [await _next(broker) for _ in texts] == [Message(text) for text in texts]


async def test_a_reader_that_does_not_read_keeps_a_bounded_backlog_and_is_told_of_the_gap(
    new_broker: Callable[[], Broker],
) -> None:
    async with new_broker() as sender, new_broker() as idle:
        assert [await _next(sender), await _next(idle)] == [Gap(), Gap()]
        for first in range(0, 4 * MESSAGES, 256):
            for number in range(first, first + 256):
                sender.publish(str(number))
            await _until(sender, str(first + 255))
            assert len(idle._inbox) <= MESSAGES
        assert await _next(idle) == Gap()
        sender.publish("live")
        await _until(idle, "live")


async def test_an_empty_message_and_one_that_is_too_long_arrive_as_a_gap(
    new_broker: Callable[[], Broker],
) -> None:
    async with new_broker() as broker:
        assert await _next(broker) == Gap()
        for text, heard in (
            ("x" * CHARACTERS, Message("x" * CHARACTERS)),
            ("x" * (CHARACTERS + 1), Gap()),
            ("", Gap()),
            (b"after", Message("after")),
        ):
            broker.publish(text)
            assert await _next(broker) == heard


async def test_a_second_reader_at_the_same_time_is_refused(new_broker: Callable[[], Broker]) -> None:
    async with new_broker() as broker:
        assert await _next(broker) == Gap()
        first = asyncio.create_task(_next(broker))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="a reader already"):
            await _next(broker)
        broker.publish("for the first")
        assert await first == Message("for the first")


async def test_publishing_before_entering_and_after_leaving_raises_nothing(
    new_broker: Callable[[], Broker],
) -> None:
    broker = new_broker()
    for number in range(3 * MESSAGES):
        broker.publish(str(number))
    async with broker:
        await _until(broker, str(3 * MESSAGES - 1))
    broker.publish("to nobody")


async def test_a_backend_serves_the_stock_broadcast(new_backend: Callable[[], BroadcastBackend]) -> None:
    async with (
        asyncio.timeout(10),
        Broadcast(backend=new_backend()) as broadcast,
        broadcast.subscribe("test") as events,
    ):
        assert (await events.get()).message == GAP
        await broadcast.publish("test", "hello")
        assert (await events.get()).message == "hello"
    await asyncio.sleep(0)  # its listener is cancelled but not awaited


# Redis goes and comes back


@pytest.mark.parametrize("seconds", [0.0, 5.0])
async def test_after_redis_was_down_readers_get_a_gap_and_are_live_within_two_seconds(
    redis_server: RedisServer, seconds: float
) -> None:
    async with make_broker(redis_server.url) as one, make_broker(redis_server.url) as other:
        assert [await _next(one), await _next(other)] == [Gap(), Gap()]
        await redis_server.stop()
        await asyncio.sleep(seconds)  # the length of the outage, not a wait for anything
        returned = time.monotonic()
        await redis_server.start()
        await _hear_each_other_again(one, other, returned)


async def test_after_redis_was_frozen_for_five_seconds_readers_get_a_gap_and_are_live_within_two(
    redis_server: RedisServer,
) -> None:
    async with make_broker(redis_server.url) as one, make_broker(redis_server.url) as other:
        assert [await _next(one), await _next(other)] == [Gap(), Gap()]
        await redis_server.freeze()
        thaws = time.monotonic() + 5.0
        await _becomes(lambda: not one.healthy and not other.healthy, within=4.0)
        await asyncio.sleep(thaws - time.monotonic())  # as above
        await redis_server.thaw()
        await _hear_each_other_again(one, other, time.monotonic())


async def test_a_subscription_that_alone_was_lost_is_followed_by_a_gap(redis_server: RedisServer) -> None:
    async with make_broker(redis_server.url) as broker:
        assert await _next(broker) == Gap()
        assert await redis_server.command("CLIENT", "KILL", "TYPE", "pubsub") == b":1\r\n"
        assert await _next(broker) == Gap()
        broker.publish("live")
        assert await _next(broker) == Message("live")


async def test_publishing_during_an_outage_returns_at_once_and_the_others_learn_what_was_dropped(
    redis_server: RedisServer,
) -> None:
    async with (
        Wire(redis_server.port) as wire,
        make_broker(redis_server.url) as other,
        make_broker(f"redis://127.0.0.1:{wire.port}") as cut_off,
    ):
        assert [await _next(cut_off), await _next(other)] == [Gap(), Gap()]
        await wire.cut()
        await _becomes(lambda: not cut_off.healthy)

        started = time.monotonic()
        for number in range(2 * MESSAGES):
            cut_off.publish(str(number))
        assert time.monotonic() - started < 0.2
        assert len(cut_off._outbox) <= MESSAGES

        await wire.mend()
        heard = await _until(other, str(2 * MESSAGES - 1))
        assert Gap() in heard, "its own subscription never broke: only the sender can have told it"


async def test_a_sender_that_alone_is_refused_says_so_and_goes_on_trying(redis_server: RedisServer) -> None:
    async with make_broker(redis_server.url) as broker:
        assert await _next(broker) == Gap()
        await redis_server.command("ACL", "SETUSER", "default", "-publish")
        broker.publish("refused at first")
        await _becomes(lambda: not broker.healthy)
        await redis_server.command("ACL", "SETUSER", "default", "+publish")
        assert await _next(broker) == Message("refused at first")
        await _becomes(lambda: broker.healthy)


async def test_a_process_starts_without_redis_and_finds_it_later(redis_server: RedisServer) -> None:
    await redis_server.stop()
    async with make_broker(redis_server.url) as broker:
        broker.publish("early")
        assert not broker.healthy
        await redis_server.start()
        assert await _next(broker) == Gap()
        await _becomes(lambda: broker.healthy)


async def test_an_outage_is_logged_once_when_it_starts_and_once_when_it_ends(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_broker(redis_server.url) as broker:
        assert await _next(broker) == Gap()
        await redis_server.stop()
        broker.publish("x")
        await asyncio.sleep(1.0)  # the length of the outage
        await redis_server.start()
        await _becomes(lambda: broker.healthy)
    address = f"redis at 127.0.0.1:{redis_server.port}"
    lost, found = (record.getMessage() for record in caplog.records if record.name == "db.broker")
    assert lost.startswith(f"broker lost: {address}: ")
    assert found == f"broker found again: {address}"


async def test_the_listener_outlives_what_nobody_foresaw_and_logs_where_it_came_from(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = MemoryBackend()
    hear = backend.next_published
    failures = iter([ZeroDivisionError("unforeseen")])

    async def fail_once() -> object:
        for failure in failures:
            raise failure
        return await hear()

    monkeypatch.setattr(backend, "next_published", fail_once)
    async with Broker(backend, channel="test", description="in-process") as broker:
        assert await _next(broker) == Gap()
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("tls", [False, True])
async def test_a_process_leaves_in_time_while_redis_says_nothing(
    redis_server: RedisServer, tls: bool, tmp_path: Path
) -> None:
    cert = tmp_path / "cert.pem"
    context = _certified_for_loopback(cert, tmp_path / "key.pem") if tls else None
    async with Wire(redis_server.port, context) as wire:
        scheme, query = ("rediss", f"?ssl_ca_certs={cert}") if tls else ("redis", "")
        async with make_broker(f"{scheme}://127.0.0.1:{wire.port}{query}") as broker:
            assert await _next(broker) == Gap()
            broker.publish("hello")
            assert await _next(broker) == Message("hello")
            wire.hush()
            leaves = time.monotonic()
        assert time.monotonic() - leaves < 1.5


# Reaching Redis


async def test_a_password_opens_redis_and_is_shown_nowhere(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await redis_server.command("CONFIG", "SET", "requirepass", "open-sesame")
    right, wrong = (
        f"redis://:{word}@127.0.0.1:{redis_server.port}/1" for word in ("open-sesame", "close-sesame")
    )
    async with make_broker(right) as admitted, make_broker(wrong) as refused:
        assert await _next(admitted) == Gap()
        await _becomes(lambda: "broker lost" in caplog.text)
        assert admitted.healthy
        assert not refused.healthy
        assert admitted.description == refused.description == f"redis at 127.0.0.1:{redis_server.port}"
        assert "sesame" not in caplog.text + repr(admitted) + repr(refused)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:sesame/open@127.0.0.1:6379",
        "http://:sesame@127.0.0.1",
        "redis://:sesame@127.0.0.1?no_such_option=1",
        "redis://:sesame@127.0.0.1?protocol=3",
        "redis://:sesame@127.0.0.1?decode_responses=yes",
        "sesame",
    ],
)
def test_a_url_that_cannot_serve_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="the Redis URL") as refusal:
        make_broker(url)
    assert "sesame" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_the_description_tells_the_address_and_no_more() -> None:
    assert make_broker(None).description == "in-process"
    assert make_broker("rediss://user:word@cache.test").description == "redis at cache.test:6379"
    assert make_broker("unix://user:word@/run/redis.sock").description == "redis at /run/redis.sock"


async def test_redis_is_reached_through_tls_only_with_a_certificate_that_is_trusted(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    tls = _certified_for_loopback(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with Wire(redis_server.port, tls) as wire:
        url = f"rediss://127.0.0.1:{wire.port}"
        async with make_broker(f"{url}?ssl_ca_certs={tmp_path / 'cert.pem'}") as trusting:
            assert await _next(trusting) == Gap()
            trusting.publish("hello")
            assert await _next(trusting) == Message("hello")
        backend = RedisBackend(url)
        with pytest.raises(ConnectionError, match=r"(?i)certificate"):
            await backend.connect()


def test_a_process_without_redis_does_not_import_it() -> None:
    program = (
        "import sys; from db.broker import make_broker; make_broker(None); print('redis' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"


async def _hear_each_other_again(one: Broker, other: Broker, returned: float) -> None:
    """Both are told of a gap, and hear what is published after it, in time."""
    async with asyncio.timeout(returned + LIVE_AGAIN - time.monotonic()):
        for broker in (one, other):
            assert await anext(broker) == Gap()
        one.publish("from one")
        other.publish("from other")
        for broker in (one, other):
            await _until(broker, "from other" if broker is one else "from one")


def _certified_for_loopback(cert: Path, key: Path) -> ssl.SSLContext:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis under test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
