// Verifies what a receiver got, given as JSON on the standard input: {secret, messages: [{headers, body}]}.

import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { secret, messages } = JSON.parse(readFileSync(0, "utf8"));
const webhook = new Webhook(secret);
const told = messages.map(({ headers, body }) => {
  try {
    return webhook.verify(body, headers).type;
  } catch (error) {
    return error.constructor.name;
  }
});
console.log(JSON.stringify(told));
