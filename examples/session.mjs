// Signs in once and keeps the access token fresh. Other examples ask `authorization()` before they send anything.

/** One operation over HTTP; returns its data, throws what the server says instead. */
export async function ask(url, query, variables, authorization) {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/graphql-response+json",
      ...(authorization && { authorization }),
    },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(errors.map(({ message }) => message).join(" "));
  return data;
}

const SESSION = `
  ... on Session { accessToken accessTokenExpiresAt refreshToken }
  ... on Refusal { code message }
`;
const LOGIN = `mutation ($email: String!, $password: String!) {
  login(input: { email: $email, password: $password }) { ${SESSION} }
}`;
const REFRESH = `mutation ($refreshToken: String!) {
  refreshSession(input: { refreshToken: $refreshToken }) { ${SESSION} }
}`;

export class Session {
  #url;
  #tokens;
  #refreshing;

  constructor(url, tokens) {
    this.#url = url;
    this.#tokens = tokens;
  }

  static async signIn(url, email, password) {
    return new Session(url, granted((await ask(url, LOGIN, { email, password })).login));
  }

  /** `Bearer ...`, good for a minute or more. */
  async authorization() {
    if (this.millisecondsLeft() < 60_000) {
      // A refresh token is good once: callers who come together share one exchange.
      this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = undefined));
      await this.#refreshing;
    }
    return `Bearer ${this.#tokens.accessToken}`;
  }

  millisecondsLeft() {
    return Date.parse(this.#tokens.accessTokenExpiresAt) - Date.now();
  }

  async #refresh() {
    const { refreshToken } = this.#tokens;
    this.#tokens = granted((await ask(this.#url, REFRESH, { refreshToken })).refreshSession);
  }
}

function granted(result) {
  if (!result.accessToken) throw new Error(result.message);
  return result;
}
