"""A watcher goes on where it stopped: after a cut, a crash, at another server; and is told when it cannot."""

from __future__ import annotations

import asyncio

import pytest

from schema.ids import decode_cursor, encode_cursor
from tests.acceptance import documents
from tests.acceptance.buyers import Buyers, must_be_in_the_tables
from tests.acceptance.cluster import Cluster, field_of
from tests.acceptance.conftest import RunningServer
from tests.acceptance.watchers import LogReader, Watcher, all_agree, listening
from tests.clients import Closed, Failed, GraphQLHttp, GraphQLSocket, Json, Subscription
from tests.processes import eventually


async def hold_one(cluster: Cluster, departure: Json) -> Json:
    """A guest's reservation of one more seat."""
    target = {"bestAvailable": {"scheduleId": departure["id"], "count": 1}}
    async with GraphQLHttp(cluster.a.url) as http:
        reservation: Json = await field_of(http.run(documents.RESERVE, {"target": target}))
    return reservation


async def resumed(socket: GraphQLSocket, watcher: Watcher) -> Subscription:
    return await socket.subscribe(documents.WATCH, {"target": watcher.target, "after": watcher.cursor})


@pytest.mark.feature("S4.56")
async def test_a_cut_socket_resumes_at_the_other_server_without_a_gap_or_a_repeat(cluster: Cluster) -> None:
    departure = await cluster.departure()
    watcher = Watcher(departure)
    async with await GraphQLSocket.connect(cluster.a.url) as first:
        watch = await resumed(first, watcher)
        watcher.take(await watch.next())
        await hold_one(cluster, departure)
        watcher.take(await watch.next())
        first.connection.transport.abort()
        with pytest.raises(Closed):
            await watch.next()
    for _ in range(3):
        await hold_one(cluster, departure)
    async with await GraphQLSocket.connect(cluster.b.url) as second:
        watch = await resumed(second, watcher)
        while watcher.map.count("H") < 4:
            assert watcher.take(await watch.next())["__typename"] == "SeatDelta"
        await hold_one(cluster, departure)
        watcher.take(await watch.next())
    assert watcher.told.count("SeatSnapshot") == 1
    await all_agree(cluster, [watcher])


async def test_an_event_stream_resumes_too(cluster: Cluster) -> None:
    departure = await cluster.departure()
    watcher = Watcher(departure)
    async with GraphQLHttp(cluster.a.url) as http, GraphQLHttp(cluster.b.url) as other:
        async with http.stream(documents.WATCH, {"target": watcher.target}) as stream:
            watcher.take(await stream.next())
        await hold_one(cluster, departure)
        variables = {"target": watcher.target, "after": watcher.cursor}
        async with other.stream(documents.WATCH, variables) as stream:
            assert watcher.take(await stream.next())["__typename"] == "SeatDelta"
    await all_agree(cluster, [watcher])


@pytest.mark.feature("S2.21", "S4.47", "S4.56")
async def test_the_log_and_the_seats_are_told_once_and_in_order_through_a_kill_and_moves(
    cluster: Cluster,
) -> None:
    """Under load at ``a``: the watchers' server is killed, they move to ``b``, and on to a new one."""
    departures = [await cluster.departure() for _ in range(2)]
    watchers = [Watcher(departure) for departure in departures]
    staff = (await cluster.sign_in("staff"))["accessToken"]
    log = LogReader(cluster, departures[0]["resource"]["organization"]["id"], staff)
    buyers = Buyers(cluster, departures, lambda: cluster.a.url)

    async def a_good_deal_more() -> None:
        heard = len(log.heard)
        await eventually(lambda: len(log.heard) > heard + 30)

    async def listen_until_it_is_killed() -> None:
        async with listening(doomed, watchers, log):
            await buyers.start(3)
            await a_good_deal_more()
            doomed.kill()
            await asyncio.Event().wait()

    doomed, new = cluster.start(), cluster.start()
    await asyncio.to_thread(doomed.ready)
    with pytest.raises(ExceptionGroup) as cut:
        await listen_until_it_is_killed()
    assert cut.group_contains(Closed)
    async with listening(cluster.b, watchers, log):
        await a_good_deal_more()
    await asyncio.to_thread(new.ready)
    with new:
        async with listening(new, watchers, log):
            await a_good_deal_more()
            await buyers.stop()
            await all_agree(cluster, watchers, log)
    assert {watcher.told.count("SeatSnapshot") for watcher in watchers} == {1}
    await must_be_in_the_tables(buyers)


async def test_a_cursor_of_another_log_leads_to_a_resync_and_a_snapshot(cluster: Cluster) -> None:
    departure = await cluster.departure()
    watcher = Watcher(departure)
    async with await GraphQLSocket.connect(cluster.a.url) as socket:
        watch = await resumed(socket, watcher)
        watcher.take(await watch.next())
        assert watcher.cursor is not None
        kind, _, stream, version = decode_cursor(watcher.cursor, str, str, str, int)
        watcher.cursor = encode_cursor([kind, "0" * 8, stream, version])  # as after a restore from a backup
        watch = await resumed(socket, watcher)
        assert watcher.take(await watch.next())["__typename"] == "Resync"
        assert watcher.take(await watch.next())["__typename"] == "SeatSnapshot"


async def test_a_cursor_of_another_installation_leads_to_a_resync(
    cluster: Cluster, running_server: RunningServer
) -> None:
    async with GraphQLHttp(running_server.graphql) as there:
        variables = {"email": running_server.customer_email, "password": running_server.customer_password}
        stranger = (await field_of(there.run(documents.LOGIN, variables)))["accessToken"]
        async with there.stream(documents.WATCH_BOOKINGS, token=stranger) as stream:
            cursor = (await stream.next())["data"]["bookings"]["cursor"]
    token = (await cluster.person()).token
    async with GraphQLHttp(cluster.a.url) as here:
        async with here.stream(documents.WATCH_BOOKINGS, {"after": cursor}, token) as stream:
            first, second = [(await stream.next())["data"]["bookings"] for _ in range(2)]
        assert (first["__typename"], second["__typename"]) == ("Resync", "BookingSnapshot")


async def test_a_cursor_of_another_stream_is_refused(cluster: Cluster) -> None:
    watcher, other = Watcher(await cluster.departure()), await cluster.departure()
    async with await GraphQLSocket.connect(cluster.a.url) as socket:
        watch = await resumed(socket, watcher)
        watcher.take(await watch.next())
        variables = {"target": {"scheduleId": other["id"]}, "after": watcher.cursor}
        wrong = await socket.subscribe(documents.WATCH, variables)
        with pytest.raises(Failed) as refused:
            await wrong.next()
    assert refused.value.code == "BAD_USER_INPUT"
