// Receive webhooks: verify, answer at once, take each event once.
//
//   npm ci
//   WEBHOOK_SECRET=whsec_... node webhook-receiver.mjs [port]

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const seen = new Set();

const server = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  let event;
  try {
    event = webhook.verify(Buffer.concat(pieces).toString(), request.headers);
  } catch {
    response.writeHead(400).end();
    return;
  }
  response.writeHead(204).end();
  const message = request.headers["webhook-id"]; // the same however often it is sent
  if (seen.has(message)) return;
  seen.add(message);
  console.log(event.type, JSON.stringify(event.data));
});

server.listen(Number(process.argv[2] ?? 4000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
