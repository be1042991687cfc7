"""What the acceptance tests say to a server."""

from __future__ import annotations

_REFUSED = "... on Refusal { code message path }"

SERVER = "{ server { version now } }"
LOGIN = """mutation ($email: String!, $password: String!) { login(input: {email: $email, password: $password}) {
  ... on Session { accessToken refreshToken user { email memberships { role organization { id slug } } } }
  ... on Refusal { code message } } }"""
REGISTER = """mutation ($input: RegisterInput!) { register(input: $input) {
  ... on Session { accessToken refreshToken } ... on Refusal { code message } } }"""
LOGOUT = "mutation ($token: String) { logout(input: {refreshToken: $token}) { ... on LoggedOut { sessionsEnded } } }"
VIEWER = "{ viewer { email } }"

FIND = """query ($search: ScheduleSearch!) { schedules(first: 50, search: $search) { nodes {
  id seatString version offering { name } during { start localStart } counts { total available held booked }
  resource { id organization { id } layout { seats { index label } } } } } }"""
SCHEDULE = "query ($id: ID!) { schedule(id: $id) { seatString version counts { available held booked } } }"

RESERVE = f"""mutation ($target: ReserveTarget!, $contact: ContactInput, $key: String) {{
  reserve(input: {{target: $target, contact: $contact, idempotencyKey: $key}}) {{ __typename
    ... on Reservation {{ id token status expiresAt total {{ amount currency }} seats {{ seat {{ label }} mine }} }}
    {_REFUSED} }} }}"""
RELEASE = f"""mutation ($id: ID!, $key: String) {{ releaseReservation(input: {{id: $id, idempotencyKey: $key}}) {{
  __typename ... on Reservation {{ id status }} {_REFUSED} }} }}"""
BOOK = f"""mutation ($id: ID!, $token: String, $contact: ContactInput, $key: String) {{
  book(input: {{reservationId: $id, token: $token, contact: $contact, idempotencyKey: $key}}) {{ __typename
    ... on Booking {{ id reference status seats {{ seat {{ label }} status }} }} {_REFUSED} }} }}"""
CANCEL = f"""mutation ($id: ID!, $key: String) {{ cancelBooking(input: {{id: $id, idempotencyKey: $key}}) {{
  __typename ... on Booking {{ id status cancelledAt }} {_REFUSED} }} }}"""
SAVE_OFFERING = f"""mutation ($input: SaveOfferingInput!) {{ saveOffering(input: $input) {{
  __typename ... on Offering {{ id }} {_REFUSED} }} }}"""
OPEN = f"""mutation ($input: OpenSchedulesInput!) {{ openSchedules(input: $input) {{
  __typename ... on OpenedSchedules {{ schedules {{ id seatString }} }} {_REFUSED} }} }}"""
BLOCK = f"""mutation ($input: BlockSeatsInput!) {{ blockSeats(input: $input) {{
  __typename ... on Schedule {{ seatString }} {_REFUSED} }} }}"""

_MESSAGE = "__typename ... on StreamMessage { cursor at } ... on Resync { reason }"
WATCH = f"""subscription ($target: SeatChangesTarget!, $after: Cursor) {{
  seatChanges(target: $target, after: $after) {{ {_MESSAGE}
    ... on SeatSnapshot {{ schedules {{ id version seatString counts {{ available held booked }} }} }}
    ... on SeatDelta {{ scheduleId version counts {{ available held booked }} changed {{ label status heldUntil }} }}
}} }}"""
WATCH_RESERVATION = f"""subscription ($id: ID!, $token: String, $after: Cursor) {{
  reservation(id: $id, token: $token, after: $after) {{ {_MESSAGE}
    ... on ReservationChanged {{ reservation {{ id status token }} }} }} }}"""
WATCH_BOOKINGS = f"""subscription ($organizationId: ID, $after: Cursor) {{
  bookings(organizationId: $organizationId, after: $after) {{ {_MESSAGE}
    ... on BookingSnapshot {{ bookings {{ id status version }} }}
    ... on BookingChanged {{ booking {{ id reference status version contact {{ email }} }} }} }} }}"""
WATCH_EVENTS = f"""subscription ($filter: EventFilter, $after: Cursor) {{
  events(filter: $filter, after: $after) {{ {_MESSAGE}
    ... on EventDelivered {{ event {{ id cursor type subjectId actor data }} }} }} }}"""
EVENTS = """query ($after: Cursor, $filter: EventFilter) { events(first: 100, after: $after, filter: $filter) {
  nodes { id cursor type subjectId } pageInfo { hasNextPage endCursor } } }"""
