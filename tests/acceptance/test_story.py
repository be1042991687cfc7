"""The whole story, over real sockets and event streams, through two servers that share a database and a Redis."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.acceptance import documents
from tests.acceptance.cluster import SECRET, Cluster, field_of
from tests.acceptance.watchers import Watcher
from tests.clients import Closed, GraphQLHttp, GraphQLSocket, Json, Subscription

CONTACT = {"name": "Asha Rao", "email": "asha.rao@guests.example", "phone": "+919800000001"}


async def message(subscription: Subscription, seconds: float = 5) -> Json:
    """The next message of a subscription's only field."""
    result = await subscription.next(seconds)
    assert "errors" not in result, result
    (value,) = result["data"].values()
    assert isinstance(value, dict)
    return value


async def statuses(watch: Subscription, *expected: str) -> None:
    """Wait for messages about one thing that has these states in turn."""
    for status in expected:
        told = await message(watch)
        assert (told.get("reservation") or told["booking"])["status"] == status


@pytest.mark.feature("S2.19", "S3.12", "S3.13", "S3.14", "S3.15", "S3.16", "S3.21", "S4.27", "S4.56")
async def test_what_is_done_through_one_server_is_seen_through_the_other(cluster: Cluster) -> None:
    departure = await cluster.departure()
    session = await cluster.sign_in("customer")
    async with (
        await GraphQLSocket.connect(cluster.a.url, session["accessToken"]) as buyer,
        await GraphQLSocket.connect(cluster.b.url, session["accessToken"]) as at_home,
        await GraphQLSocket.connect(cluster.b.url) as stranger,
    ):
        search = {"origin": departure["offering"]["name"].split(" - ")[0], "minAvailable": 40}
        found = (await field_of(buyer.run(documents.FIND, {"search": search})))["nodes"]
        assert departure["id"] in [each["id"] for each in found]

        watcher = Watcher(departure)
        seats = await stranger.subscribe(documents.WATCH, {"target": watcher.target})
        watcher.take(await seats.next())
        assert watcher.map == "A" * 40

        bookings = await at_home.subscribe(documents.WATCH_BOOKINGS)
        assert (await message(bookings))["bookings"] == []

        target = {"seats": {"scheduleId": departure["id"], "labels": ["A1", "A2"]}}
        reservation = await field_of(buyer.run(documents.RESERVE, {"target": target}))
        assert reservation["total"] == {"amount": "1000.00", "currency": "INR"}
        mine = await at_home.subscribe(documents.WATCH_RESERVATION, {"id": reservation["id"]})
        await statuses(mine, "ACTIVE")
        delta = watcher.take(await seats.next())
        assert [(c["label"], c["status"]) for c in delta["changed"]] == [("A1", "HELD"), ("A2", "HELD")]
        assert delta["counts"] == {"available": 38, "held": 2, "booked": 0}
        assert {c["heldUntil"] for c in delta["changed"]} == {reservation["expiresAt"]}

        booking = await field_of(buyer.run(documents.BOOK, {"id": reservation["id"], "contact": CONTACT}))
        assert (booking["__typename"], booking["status"]) == ("Booking", "CONFIRMED")
        watcher.take(await seats.next())
        assert watcher.map.startswith("BBA")
        await statuses(mine, "CONVERTED")
        await statuses(bookings, "CONFIRMED")

        cancelled = await field_of(buyer.run(documents.CANCEL, {"id": booking["id"]}))
        assert cancelled["status"] == "CANCELLED"
        watcher.take(await seats.next())
        await statuses(bookings, "CANCELLED")
        assert watcher.map == "A" * 40 == await cluster.seats(departure)
        again = await field_of(buyer.run(documents.SCHEDULE, {"id": departure["id"]}))
        assert (again["seatString"], again["version"]) == (watcher.map, watcher.version)


@pytest.mark.feature("S3.46", "S4.56")
async def test_an_event_stream_tells_what_a_socket_tells(cluster: Cluster) -> None:
    departure = await cluster.departure()
    watcher = Watcher(departure)
    async with GraphQLHttp(cluster.a.url) as buyer, GraphQLHttp(cluster.b.url) as reader:
        async with reader.stream(documents.WATCH, {"target": watcher.target}) as seats:
            watcher.take(await seats.next())
            target = {"bestAvailable": {"scheduleId": departure["id"], "count": 3}}
            held = await field_of(buyer.run(documents.RESERVE, {"target": target}))
            delta = watcher.take(await seats.next())
            assert [c["label"] for c in delta["changed"]] == [s["seat"]["label"] for s in held["seats"]]
            variables = {"id": held["id"], "token": held["token"], "contact": CONTACT}
            await field_of(buyer.run(documents.BOOK, variables))
            watcher.take(await seats.next())
        assert watcher.map.count("B") == 3
        assert watcher.map == await cluster.seats(departure)


@pytest.mark.feature("S2.20", "S2.21")
async def test_an_organization_watches_its_bookings_its_board_and_its_log(cluster: Cluster) -> None:
    departure = await cluster.departure()
    resource, token = departure["resource"], (await cluster.sign_in("staff"))["accessToken"]
    organization = {"organizationId": resource["organization"]["id"]}
    day = departure["during"]["localStart"][:10]
    async with (
        await GraphQLSocket.connect(cluster.b.url, token) as staff,
        GraphQLHttp(cluster.a.url) as guest,
    ):
        target = {"resource": {"resourceId": resource["id"], "from": day, "to": day}}
        board = await staff.subscribe(documents.WATCH, {"target": target})
        shown = {each["id"]: each for each in (await message(board))["schedules"]}
        assert departure["id"] in shown
        bookings = await staff.subscribe(documents.WATCH_BOOKINGS, organization)
        assert (await message(bookings))["__typename"] == "BookingSnapshot"
        subject = {**organization, "subjectId": departure["id"]}
        log = await staff.subscribe(documents.WATCH_EVENTS, {"filter": subject})
        await staff.run(documents.SERVER)  # subscriptions begin in the order they are sent

        wanted = {"bestAvailable": {"scheduleId": departure["id"], "count": 1}}
        held = await field_of(guest.run(documents.RESERVE, {"target": wanted}))
        first = await message(board)  # of two changes at once the board tells the second alone
        variables = {"id": held["id"], "token": held["token"], "contact": CONTACT}
        booking = await field_of(guest.run(documents.BOOK, variables))

        second = await message(board)
        assert [each["scheduleId"] for each in (first, second)] == [departure["id"]] * 2
        assert [each["changed"][0]["status"] for each in (first, second)] == ["HELD", "BOOKED"]
        changed = (await message(bookings))["booking"]
        assert (changed["reference"], changed["contact"]["email"]) == (booking["reference"], CONTACT["email"])
        events = [(await message(log))["event"] for _ in range(2)]
        assert [event["type"] for event in events] == ["seats.held", "seats.booked"]
        assert {event["actor"] for event in events} == {"guest"}


@pytest.mark.feature("S4.46", "S4.47")
async def test_a_reservation_ends_by_itself_and_the_log_and_all_watchers_hear_of_it(cluster: Cluster) -> None:
    departure, person = await cluster.departure(), await cluster.person()
    watcher = Watcher(departure)
    async with (
        await GraphQLSocket.connect(cluster.a.url, person.token) as owner,
        await GraphQLSocket.connect(cluster.b.url) as stranger,
    ):
        target = {"bestAvailable": {"scheduleId": departure["id"], "count": 2}}
        held = await field_of(owner.run(documents.RESERVE, {"target": target}))
        seats = await stranger.subscribe(documents.WATCH, {"target": watcher.target})
        watcher.take(await seats.next())
        assert watcher.map.count("H") == 2
        mine = await owner.subscribe(documents.WATCH_RESERVATION, {"id": held["id"]})
        await statuses(mine, "ACTIVE")
        await cluster.let_time_pass(held["id"], timedelta(hours=1))
        await statuses(mine, "EXPIRED")
        watcher.take(await seats.next())
        assert watcher.map == "A" * 40
        of_it = {"filter": {"subjectId": held["id"]}}
        log = (await field_of(owner.run(documents.EVENTS, of_it)))["nodes"]
        assert [event["type"] for event in log] == ["reservation.created", "reservation.expired"]


@pytest.mark.feature("S3.34")
async def test_the_demo_has_benches_in_twenty_four_one_hour_slots_a_day(cluster: Cluster) -> None:
    async with GraphQLHttp(cluster.b.url) as http:
        found = await field_of(http.run(documents.FIND, {"search": {"mode": "SLOT"}}))
        first = found["nodes"][0]
        day = found["nodes"][40]["during"]["localStart"][:10]
        search = {"resourceId": first["resource"]["id"], "date": day}
        slots = (await field_of(http.run(documents.FIND, {"search": search})))["nodes"]
    assert [slot["during"]["localStart"][11:] for slot in slots] == [f"{hour:02}:00" for hour in range(24)]
    assert {slot["seatString"] for slot in slots} == {"A"}


@pytest.mark.feature("S3.26", "S2.43")
async def test_no_log_line_holds_a_secret_or_anything_personal(cluster: Cluster) -> None:
    departure, newcomer = await cluster.departure(), f"{uuid4().hex}@people.example"
    session = await cluster.sign_in("customer")
    guess = {"email": "customer@demo.example", "password": "a wrong guess, but close"}
    account = {"email": newcomer, "password": "seven violet umbrellas", "name": "Newcomer Nyquist"}
    async with GraphQLHttp(cluster.b.url) as http, await GraphQLSocket.open(cluster.a.url) as refused:
        target = {"bestAvailable": {"scheduleId": departure["id"], "count": 1}}
        held = await field_of(http.run(documents.RESERVE, {"target": target, "contact": CONTACT}))
        await http.run(documents.LOGIN, guess)
        await http.run(documents.REGISTER, {"input": account})
        await http.run(documents.VIEWER, token=session["accessToken"][:-4] + "AAAA")
        await http.run(f'{{ broken(token: "{session["refreshToken"]}") ', token=session["accessToken"])
        with pytest.raises(Closed):
            await refused.initialise("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.forged")
        async with cluster.database() as tables:
            # PostgreSQL tells of the whole refused row, contact and all.
            await tables.execute("ALTER TABLE booking ADD CONSTRAINT defect CHECK (reference = '') NOT VALID")
            try:
                book = {"id": held["id"], "token": held["token"], "contact": CONTACT}
                (failure,) = (await http.run(documents.BOOK, book))["errors"]
            finally:
                await tables.execute("ALTER TABLE booking DROP CONSTRAINT defect")
        assert failure["extensions"]["code"] == "INTERNAL"
        said = cluster.said
    assert failure["extensions"]["requestId"] in said, "a failure of ours is told to the operator"
    assert "CheckViolationError" in said
    database = urlsplit(cluster.database_url).password
    secrets = [*cluster.passwords.values(), session["accessToken"], session["refreshToken"], held["token"]]
    secrets += [guess["password"], account["password"], SECRET, str(database), "forged", "PRIVATE KEY"]
    personal = ["@demo.example", "@people.example", "Nyquist", *CONTACT.values()]
    assert [word for word in secrets + personal if word in said] == []
    assert "eyJ" not in said
