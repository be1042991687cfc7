// Apollo Client: queries and mutations over HTTP, subscriptions over a socket, one session for both.
//
//   EMAIL=customer@demo.example PASSWORD=... node apollo.mjs
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { SetContextLink } from "@apollo/client/link/context";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
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
const signedIn = new SetContextLink(async ({ headers }) => ({
  headers: { ...headers, authorization: await session.authorization() },
}));

const client = new ApolloClient({
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    signedIn.concat(new HttpLink({ uri: url })),
  ),
  cache: new InMemoryCache({
    // Without this the cache does not know that SeatsUnavailable is a Refusal, and drops `... on Refusal`.
    possibleTypes: await possibleTypes(),
  }),
});

/** What implements which interface. Do this when you build your app; a production server tells the signed-in only. */
async function possibleTypes() {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: await session.authorization() },
    body: JSON.stringify({ query: "{ __schema { types { name possibleTypes { name } } } }" }),
  });
  const { data } = await response.json();
  return Object.fromEntries(
    data.__schema.types
      .filter((type) => type.possibleTypes)
      .map((type) => [type.name, type.possibleTypes.map(({ name }) => name)]),
  );
}

const FIND = gql`
  query Find($search: ScheduleSearch!) {
    viewer { id email }
    schedules(first: 1, search: $search) { nodes { id counts { available } } }
  }
`;
const WATCH = gql`
  subscription Watch($scheduleId: ID!) {
    seatChanges(target: { scheduleId: $scheduleId }) {
      ... on SeatSnapshot { schedules { id seatString } }
      ... on SeatDelta { version changed { label status } }
    }
  }
`;
const RESERVE = gql`
  mutation Reserve($input: ReserveInput!) {
    reserve(input: $input) {
      ... on Reservation { id expiresAt seats { seat { label } mine } }
      ... on Refusal { code message }
    }
  }
`;
const RELEASE = gql`
  mutation Release($id: ID!) {
    releaseReservation(input: { id: $id }) {
      ... on Reservation { id status }
      ... on Refusal { code message }
    }
  }
`;

const search = { origin: "Mumbai", destination: "Pune", minAvailable: 2 };
const { data: found } = await client.query({ query: FIND, variables: { search } });
const scheduleId = found.schedules.nodes[0].id;
console.log(`signed in as ${found.viewer.email}`);

const messages = [];
let arrived = () => {};
const watching = client.subscribe({ query: WATCH, variables: { scheduleId } }).subscribe({
  next: ({ data, error }) => {
    if (error) throw error;
    messages.push(data.seatChanges);
    console.log(JSON.stringify(data.seatChanges));
    arrived();
  },
});
const until = async (count) => {
  while (messages.length < count) await new Promise((resolve) => (arrived = resolve));
};
const reserve = async (target) => {
  const input = { target, idempotencyKey: crypto.randomUUID() };
  return (await client.mutate({ mutation: RESERVE, variables: { input } })).data.reserve;
};

await until(1);
const reservation = await reserve({ bestAvailable: { scheduleId, count: 2 } });
console.log(JSON.stringify(reservation));
await until(2);
const labels = reservation.seats.map(({ seat }) => seat.label);
console.log(JSON.stringify(await reserve({ seats: { scheduleId, labels } })));
await client.mutate({ mutation: RELEASE, variables: { id: reservation.id } });
await until(3);
watching.unsubscribe();
await socket.dispose();
