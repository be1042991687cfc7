// The phone: scans what is pasted, or the newest code of a Holdfast job that it watches. It remembers nothing.

const field = (id) => document.getElementById(id);
const status = document.querySelector("[role=status]");
const place = document.querySelector(".qrcode");
const now = document.querySelector("button.now");
const say = (text) => (status.textContent = text);

const WORDS = {
  userSign: "Scanned. Confirm that it is you.",
  complete: "Confirmed: you are signed in at the portal.",
  userCancel: "Cancelled.",
  startFailed: "The code was too old.",
  expiredTransaction: "The order has expired.",
  alreadyInProgress: "The code has been scanned already.",
  invalidCode: "This is no code of this portal.",
  noOrder: "Nothing waits to be confirmed.",
};

const send = async (what, more = {}) => {
  const answer = await fetch(`/phone/api/${what}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ person: field("person").value, ...more }),
  });
  const { hint, age } = answer.headers.get("content-type")?.includes("json") ? await answer.json() : {};
  say((WORDS[hint] ?? "That did not work.") + (age ? ` It was ${age.toFixed(1)} s old.` : ""));
};

const QUERY = `subscription Codes($job: ID!) {
  qrCodes(jobId: $job) { text imageDataUrl(format: SVG) }
}`;

let newest = null;
let watching = null;

const show = (code) => {
  newest = code.text;
  now.disabled = false;
  const image = place.querySelector("img") ?? place.appendChild(document.createElement("img"));
  image.alt = "The job's code";
  image.src = code.imageDataUrl;
};

const hide = (text) => {
  newest = null;
  now.disabled = true;
  place.replaceChildren();
  say(text);
};

const events = async function* (response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split(/\r?\n\r?\n/);
    text = parts.pop();
    for (const part of parts) {
      const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
      if (data.join("").trim()) yield JSON.parse(data.join("\n"));
    }
  }
};

const watch = async () => {
  watching?.abort();
  watching = new AbortController();
  const { signal } = watching;
  try {
    const response = await fetch(new URL("/graphql", field("holdfast").value), {
      method: "POST",
      signal,
      headers: {
        accept: "text/event-stream",
        "content-type": "application/json",
        authorization: `Bearer ${field("token").value.trim()}`,
      },
      body: JSON.stringify({ query: QUERY, variables: { job: field("job").value.trim() } }),
    });
    if (!response.ok) return hide(`Holdfast answers ${response.status}.`);
    say("Waiting for a code ...");
    for await (const { data, errors } of events(response)) {
      if (errors) return hide(errors[0].message);
      if (data?.qrCodes) show(data.qrCodes);
    }
    // Where the person has just confirmed, that is why.
    if (newest) hide(status.textContent === WORDS.complete ? WORDS.complete : "The job shows no code any more.");
  } catch (error) {
    if (!signal.aborted) hide(`Holdfast cannot be reached: ${error.message}.`);
  }
};

const on = (selector, event, act) =>
  document.querySelector(selector).addEventListener(event, (happening) => {
    happening.preventDefault();
    act();
  });

on("form.watch", "submit", watch);
on("form.paste", "submit", () => send("scan", { text: field("text").value.trim() }));
on("button.now", "click", () => newest && send("scan", { text: newest }));
on("button.confirm", "click", () => send("confirm"));
on("button.cancel", "click", () => send("cancel"));
