// Watches the seats of the next Mumbai - Pune departure for as long as you like: over cut sockets and restarted
// servers (it resumes with its cursor, so nothing is missed or repeated), and past the life of an access token
// (a fresh one goes to the server in a ping).
//
//   node watch.mjs                                          as a guest
//   EMAIL=customer@demo.example PASSWORD=... node watch.mjs  signed in
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { Session, ask } from "./session.mjs";

const { GRAPHQL_URL: url = "http://127.0.0.1:8000/graphql", EMAIL, PASSWORD } = process.env;
const session = EMAIL ? await Session.signIn(url, EMAIL, PASSWORD) : undefined;

const found = await ask(
  url,
  `{ schedules(first: 1, search: { origin: "Mumbai", destination: "Pune" }) {
       nodes { id offering { name } during { localStart timeZone } } } }`,
);
const [schedule] = found.schedules.nodes;
console.log(`${schedule.offering.name}, ${schedule.during.localStart} ${schedule.during.timeZone}`);

let renewal;
const client = createClient({
  url: url.replace(/^http/, "ws"),
  webSocketImpl: WebSocket,
  // Asked at each connection, so that each begins with a fresh token.
  connectionParams: async () => (session ? { authorization: await session.authorization() } : {}),
  retryAttempts: Infinity,
  shouldRetry: () => true,
  on: {
    connected: (socket) => session && renewInTime(socket),
    closed: ({ code, reason }) => {
      clearTimeout(renewal);
      console.log(`closed: ${code} ${reason}`);
    },
  },
});

/** Hand in a fresh token half a minute before the old one runs out; the subscriptions go on. */
function renewInTime(socket) {
  renewal = setTimeout(async () => {
    const authorization = await session.authorization();
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(JSON.stringify({ type: "ping", payload: { authorization } }));
    console.log("renewed");
    renewInTime(socket);
  }, Math.max(1_000, session.millisecondsLeft() - 30_000));
}

// graphql-ws sends this very object again when it reconnects: with `after` in it, it resumes.
const variables = { scheduleId: schedule.id, after: null };
const query = `subscription ($scheduleId: ID!, $after: Cursor) {
  seatChanges(target: { scheduleId: $scheduleId }, after: $after) {
    __typename
    ... on StreamMessage { cursor }
    ... on SeatSnapshot { schedules { version seatString } }
    ... on SeatDelta { version changed { label status } counts { available } }
    ... on Resync { reason }
  }
}`;
client.subscribe(
  { query, variables },
  {
    next: ({ data: { seatChanges: message } }) => {
      variables.after = message.cursor;
      console.log(told(message));
    },
    error: (error) => {
      console.error(error);
      process.exit(1);
    },
    complete: () => process.exit(0),
  },
);

function told(message) {
  switch (message.__typename) {
    case "SeatSnapshot":
      return message.schedules.map(({ version, seatString }) => `v${version} ${seatString}`).join("\n");
    case "SeatDelta":
      return `v${message.version} ${message.changed.map(({ label, status }) => `${label} ${status}`).join(", ")}; ${message.counts.available} free`;
    case "Resync":
      return `starting over: ${message.reason}`;
  }
}
