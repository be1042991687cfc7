#!/bin/sh
# Watches the seats of the next Mumbai - Pune departure with curl alone, as an event stream.
#
#   sh watch.sh [http://127.0.0.1:8000/graphql]
url=${1:-http://127.0.0.1:8000/graphql}
ask() { # a document, and more of curl's arguments
  document=$(printf %s "$1" | tr '\n' ' '); shift
  curl --silent --no-buffer "$url" --header 'content-type: application/json' "$@" \
    --data "{\"query\": \"$document\"}"
}

departure=$(ask '{ schedules(first: 1, search: {origin: \"Mumbai\", destination: \"Pune\"}) { nodes { id } } }' |
  sed 's/.*"id":"\([^"]*\)".*/\1/')
ask "subscription {
  seatChanges(target: {scheduleId: \\\"$departure\\\"}) {
    ... on SeatSnapshot { cursor schedules { seatString } }
    ... on SeatDelta { cursor changed { label status } }
  }
}" --header 'accept: text/event-stream'
