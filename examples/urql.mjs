// urql: a signed-in client that reads over HTTP and watches over a socket, with one session for both.
//
//   EMAIL=customer@demo.example PASSWORD=... node urql.mjs
import { Client, fetchExchange, gql, subscriptionExchange } from "@urql/core";
import { authExchange } from "@urql/exchange-auth";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { Session } from "./session.mjs";

const { GRAPHQL_URL: url = "http://127.0.0.1:8000/graphql", EMAIL, PASSWORD } = process.env;
const session = await Session.signIn(url, EMAIL, PASSWORD);

const socket = createClient({
  url: url.replace(/^http/, "ws"),
  webSocketImpl: WebSocket,
  connectionParams: async () => ({ authorization: await session.authorization() }),
  retryAttempts: Infinity,
  shouldRetry: () => true,
});

const client = new Client({
  url,
  preferGetMethod: false,
  exchanges: [
    authExchange(async ({ appendHeaders }) => {
      let authorization = await session.authorization();
      return {
        addAuthToOperation: (operation) => appendHeaders(operation, { authorization }),
        willAuthError: () => session.millisecondsLeft() < 60_000,
        didAuthError: ({ graphQLErrors }) =>
          graphQLErrors.some(({ extensions }) => extensions.code === "UNAUTHENTICATED"),
        refreshAuth: async () => void (authorization = await session.authorization()),
      };
    }),
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
      }),
    }),
  ],
});

const FIND = gql`
  query Find($search: ScheduleSearch!) {
    viewer { email }
    schedules(first: 1, search: $search) { nodes { id counts { available } } }
  }
`;
const WATCH = gql`
  subscription Watch($scheduleId: ID!) {
    seatChanges(target: { scheduleId: $scheduleId }) {
      __typename
      ... on SeatSnapshot { schedules { seatString } }
      ... on SeatDelta { version changed { label status } }
    }
  }
`;
const RESERVE = gql`
  mutation Reserve($input: ReserveInput!) {
    reserve(input: $input) {
      __typename
      ... on Reservation { id expiresAt seats { seat { label } mine } }
      ... on Refusal { code message }
    }
  }
`;
const RELEASE = gql`
  mutation Release($id: ID!) {
    releaseReservation(input: { id: $id }) {
      ... on Reservation { status }
      ... on Refusal { code message }
    }
  }
`;

async function must(source) {
  const { data, error } = await source.toPromise();
  if (error) throw error;
  return data;
}

const found = await must(client.query(FIND, { search: { origin: "Mumbai", destination: "Pune", minAvailable: 2 } }));
const scheduleId = found.schedules.nodes[0].id;
console.log(`signed in as ${found.viewer.email}`);

const messages = [];
let arrived = () => {};
const watching = client.subscription(WATCH, { scheduleId }).subscribe(({ data, error }) => {
  if (error) throw error;
  messages.push(data.seatChanges);
  console.log(JSON.stringify(data.seatChanges));
  arrived();
});
const until = async (count) => {
  while (messages.length < count) await new Promise((resolve) => (arrived = resolve));
};

await until(1);
const target = { bestAvailable: { scheduleId, count: 2 } };
const { reserve } = await must(client.mutation(RESERVE, { input: { target, idempotencyKey: crypto.randomUUID() } }));
console.log(JSON.stringify(reserve));
await until(2);
await must(client.mutation(RELEASE, { id: reserve.id }));
await until(3);
watching.unsubscribe();
await socket.dispose();
