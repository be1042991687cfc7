// Runs a subscription and a query with graphql-ws and with graphql-sse; prints the results as JSON, in order.
import * as sse from "graphql-sse";
import * as ws from "graphql-ws";
import WebSocket from "ws";

const [url, token] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const clients = [
  ws.createClient({ url: url.replace("http", "ws"), webSocketImpl: WebSocket, connectionParams: { authorization } }),
  sse.createClient({ url, headers: { authorization } }),
];

const results = [];
for (const client of clients) {
  for (const query of ["subscription { ticks(count: 2) }", "{ user }"]) {
    for await (const result of client.iterate({ query })) results.push(result.data);
  }
  await client.dispose();
}
console.log(JSON.stringify(results));
