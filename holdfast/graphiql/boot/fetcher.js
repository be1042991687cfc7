import { chosenOperation } from "./document.js";

const LONGEST_RETRY_MS = 10_000;

/** GraphiQL's fetcher: HTTP for queries and mutations, graphql-transport-ws at the same path for subscriptions. */
export function createFetcher({ endpoint, session, story, pictures, createClient }) {
  const learn = (result) => {
    story.learn(result);
    session.learn(result);
    pictures.learn(result);
    return result;
  };
  return async ({ query, variables, operationName }, options) => {
    const headers = new Headers(options?.headers);
    const { type, name } = chosenOperation(query, operationName);
    try {
      const request = { query, operationName: name, variables: story.fill(variables) };
      return type === "subscription"
        ? watch({ endpoint, session, createClient, request, headers, learn, ended: pictures.forget })
        : learn(await post({ endpoint, session, request, headers }));
    } catch (error) {
      return failed(error);
    }
  };
}

/** In the form of a GraphQL error, because GraphiQL would print a thrown one with its stack. */
function failed({ message }) {
  return { errors: [{ message }] };
}

/** What was typed into the Headers editor wins over the session. */
async function authorization(headers, session) {
  return headers.get("authorization") ?? (await session.authorization());
}

async function post({ endpoint, session, request, headers }) {
  const bearer = await authorization(headers, session);
  if (bearer) headers.set("authorization", bearer);
  headers.set("content-type", "application/json");
  headers.set("accept", "application/graphql-response+json, application/json;q=0.9");
  const response = await fetch(endpoint, { method: "POST", headers, body: JSON.stringify(request) });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`The server answered ${response.status} ${response.statusText}: ${text.slice(0, 500)}`);
  }
}

/** One subscription on a socket of its own, so that each may be signed in differently. */
function watch({ endpoint, session, createClient, request, headers, learn, ended }) {
  const client = createClient({
    url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${endpoint}`,
    connectionParams: async () => {
      const bearer = await authorization(headers, session);
      return bearer ? { authorization: bearer } : {};
    },
    retryAttempts: 8,
    retryWait: (retries) => delay(retries && Math.min(500 * 2 ** retries, LONGEST_RETRY_MS)),
  });
  return {
    subscribe(observer) {
      // The server holds a socket to the token it began with: a new token, a new socket.
      const unfollow = session.subscribe(() => headers.has("authorization") || client.terminate());
      const complete = () => {
        unfollow();
        ended();
        observer.complete();
      };
      const unsubscribe = client.subscribe(request, {
        next: (result) => observer.next(learn(result)),
        error: (cause) => {
          observer.next(Array.isArray(cause) ? { errors: cause } : failed(reason(cause)));
          complete();
        },
        complete,
      });
      return {
        unsubscribe() {
          ended();
          unsubscribe();
        },
      };
    },
  };
}

function reason(cause) {
  return cause instanceof CloseEvent ? new Error(`The socket was closed: ${cause.code} ${cause.reason}`) : cause;
}

function delay(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}
