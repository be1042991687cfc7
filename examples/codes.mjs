// The script of codes.html: a job, its status and its login codes, over event streams, without a library.
import { ask, Session } from "./session.mjs";

const START = `mutation ($config: JSON!, $key: String!) {
  startAutomationJob(input: { portalKey: "demo", config: $config, idempotencyKey: $key }) {
    ... on AutomationJob { id }
    ... on Refusal { code message }
  }
}`;
const WATCH = `subscription ($id: ID!) {
  automationJob(id: $id) { ... on AutomationJobChanged { job { status message progress } } }
}`;
const CODES = `subscription ($id: ID!) { qrCodes(jobId: $id) { imageDataUrl(format: SVG) autostartUrl } }`;
const OVER = ["COMPLETED", "FAILED", "STOPPED", "TIMED_OUT"];

const form = document.querySelector("#start");
const job = document.querySelector("#job");
const [progress, status, code, image, link] = ["progress", "[role=status]", "#code", "img", "a"].map((part) =>
  job.querySelector(part),
);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { url, email, password } = Object.fromEntries(new FormData(form));
  [form.hidden, job.hidden] = [true, false];
  try {
    await run(url, await Session.signIn(url, email, password));
  } catch ({ message }) {
    status.textContent = message;
    form.hidden = false;
  }
});

async function run(url, session) {
  const variables = { config: {}, key: crypto.randomUUID() };
  const { startAutomationJob: started } = await ask(url, START, variables, await session.authorization());
  if (!started.id) throw new Error(started.message);
  let showing = false;
  for await (const { automationJob } of lasting(url, session, WATCH, { id: started.id })) {
    show(automationJob.job);
    if (OVER.includes(automationJob.job.status)) return;
    if (automationJob.job.status === "QR_WAITING" && !showing) {
      showing = true;
      showCodes(url, session, started.id).finally(() => (showing = false));
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
      image.src = qrCodes.imageDataUrl;
      link.href = qrCodes.autostartUrl ?? "";
      code.hidden = false;
    }
  } catch {
    // The job's own stream is cut, too; when it is back, so are the codes.
  } finally {
    code.hidden = true;
  }
}

/** The same over cut connections: each of its streams begins with how things stand, so nothing has to be kept. */
async function* lasting(url, session, query, variables) {
  for (;;) {
    try {
      yield* stream(url, session, query, variables);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // what `fetch` throws where there is no connection
    }
    await new Promise((again) => setTimeout(again, 1000));
  }
}

/** The results of a subscription, until it ends. Throws what the server says instead, TypeError for a cut connection. */
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
  if (!response.ok) throw new Error(`Holdfast answers ${response.status}.`);
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
