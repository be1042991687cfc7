"""The documents that are measured, the same for every server that speaks GraphQL."""

RESERVE = """mutation Reserve($schedule: ID!, $labels: [String!]!) {
  reserve(input: {target: {seats: {scheduleId: $schedule, labels: $labels}}}) {
    __typename
    ... on Reservation {
      id status expiresAt serverNow total { amount currency } seats { seat { label } status mine }
    }
    ... on Refusal { code message }
  }
}"""

SEARCH = """query Search($origin: String!, $destination: String!) {
  schedules(first: 50, search: {origin: $origin, destination: $destination}) {
    nodes {
      id status version price { amount currency }
      during { start end timeZone localStart localEnd }
      offering { id name origin destination distanceKm }
      resource { id name kind }
      counts { total available held booked blocked }
    }
    pageInfo { hasNextPage endCursor }
  }
}"""

SEATS = """query Seats($schedule: ID!) {
  schedule(id: $schedule) {
    id version
    seats { seat { label row column category } status price { amount currency } heldUntil mine }
  }
}"""

SEAT_STRING = """query SeatString($schedule: ID!) {
  schedule(id: $schedule) { id version seatString }
}"""

WATCH = """subscription Watch($schedule: ID!) {
  seatChanges(target: {scheduleId: $schedule}) {
    __typename
    ... on SeatSnapshot { cursor schedules { id version seatString } }
    ... on SeatDelta {
      cursor at scheduleId version
      counts { total available held booked blocked }
      changed { label status heldUntil }
    }
    ... on Resync { cursor reason }
  }
}"""

FIRST = "{ organizations(first: 1) { nodes { id name } } }"
