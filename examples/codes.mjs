// The script of codes.html: a job, its status and its login codes, over event streams, without a library.
import { ask, Session } from "./session.mjs";

const START = `mutation ($config: JSON!, $key: String!) {
  startAutomationJob(input: { portalKey: "demo", config: $config, idempotencyKey: $key }) {
    ... on AutomationJob { id }
    ... on Refusal { code message }
  }
}`;
const WATCH = `subscription ($id: ID!, $after: Cursor) {
  automationJob(id: $id, after: $after) {
    ... on AutomationJobChanged { cursor job { status message progress } }
    ... on Resync { cursor }
  }
}`;
const CODES = `subscription ($id: ID!) { qrCodes(jobId: $id) { imageDataUrl(format: SVG) } }`;
const OVER = ["COMPLETED", "FAILED", "STOPPED", "TIMED_OUT"];

const form = document.querySelector("#start");
const job = document.querySelector("#job");
const [progress, status, code] = ["progress", "[role=status]", "#code"].map((part) => job.querySelector(part));

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { url, email, password } = Object.fromEntries(new FormData(form));
  job.hidden = false;
  try {
    await run(url, await Session.signIn(url, email, password));
  } catch ({ message }) {
    status.textContent = message;
  }
});

async function run(url, session) {
  const variables = { config: {}, key: crypto.randomUUID() };
  const { startAutomationJob: started } = await ask(url, START, variables, await session.authorization());
  if (!started.id) throw new Error(started.message);
  let after = null;
  let showing = false;
  for (let over = false; !over; ) {
    // A stream may be cut at any time: the cursor of its last message is where the next one goes on.
    for await (const { automationJob: message } of stream(url, session, WATCH, { id: started.id, after })) {
      after = message.cursor;
      if (!message.job) continue;
      show(message.job);
      over = OVER.includes(message.job.status);
      if (over) break;
      if (message.job.status === "QR_WAITING" && !showing) {
        showing = true;
        showCodes(url, session, started.id).finally(() => (showing = false));
      }
    }
  }
}

function show({ status: name, message, progress: percent }) {
  progress.value = percent;
  status.textContent = `${name}: ${message}`;
}

async function showCodes(url, session, id) {
  try {
    for await (const { qrCodes } of stream(url, session, CODES, { id })) {
      code.src = qrCodes.imageDataUrl;
      code.hidden = false;
    }
  } finally {
    code.hidden = true;
  }
}

/** The results of a subscription, until it ends or the connection is cut. Throws what the server says instead. */
async function* stream(url, session, query, variables) {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "text/event-stream",
      authorization: await session.authorization(),
    },
    body: JSON.stringify({ query, variables }),
  });
  let text = "";
  for await (const piece of pieces(response.body.pipeThrough(new TextDecoderStream()))) {
    text += piece;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const { event: kind, data } = Object.fromEntries(event.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));
      if (kind === "complete") return;
      if (kind !== "next") continue;
      const result = JSON.parse(data);
      if (result.errors) throw new Error(result.errors[0].message);
      yield result.data;
    }
  }
}

// Not every browser lets a ReadableStream be iterated.
async function* pieces(readable) {
  const reader = readable.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}
