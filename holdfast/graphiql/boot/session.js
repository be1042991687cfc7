const REFRESH = `mutation Refresh($refreshToken: String!) {
  refreshSession(input: { refreshToken: $refreshToken }) {
    ... on Session { accessToken accessTokenExpiresAt refreshToken user { email } }
  }
}`;
const LOGOUT = `mutation SignOut($refreshToken: String!) {
  logout(input: { refreshToken: $refreshToken }) { __typename }
}`;
const RENEW_BEFORE_END_MS = 60_000;
const TRY_AGAIN_MS = 5_000;

/**
 * Who is signed in on this page.
 *
 * The tokens stay in memory. In sessionStorage they would outlive a reload, but "duplicate tab" copies it too, and
 * the second use of one refresh token ends the session of both tabs.
 */
export class Session {
  #endpoint;
  #tokens = null;
  #email = null;
  #renewAt = Infinity;
  #timer;
  #renewal = null;
  #listeners = new Set();

  constructor(endpoint) {
    this.#endpoint = endpoint;
  }

  /** Calls `listener` after each change of the token; gives the function that ends this. */
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** The e-mail address of who is signed in, or null. */
  who = () => this.#tokens && (this.#email ?? "somebody");

  /** The value of the Authorization header, renewed first if it is due (a laptop that slept), or null. */
  async authorization() {
    if (Date.now() >= this.#renewAt) await this.#renew();
    return this.#tokens && `Bearer ${this.#tokens.accessToken}`;
  }

  /** Notices a Session, or the end of one, among the outcomes of an operation. */
  learn({ data }) {
    for (const outcome of Object.values(data ?? {})) {
      if (outcome?.accessToken && outcome.refreshToken) this.#keep(outcome);
      else if (outcome?.__typename === "LoggedOut") this.#forget();
    }
  }

  signOut = async () => {
    const { refreshToken } = this.#tokens;
    this.#forget();
    await this.#send(LOGOUT, { refreshToken });
  };

  #keep(session) {
    this.#tokens = session;
    this.#email = session.user?.email ?? this.#email;
    const left = Date.parse(session.accessTokenExpiresAt) - Date.now();
    // A token that lives shorter than two minutes is renewed in the middle of its life.
    this.#renewIn(Math.max(left - RENEW_BEFORE_END_MS, left / 2));
    this.#tell();
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#renewAt = Infinity;
    this.#tokens = this.#email = null;
    this.#tell();
  }

  #renewIn(milliseconds) {
    clearTimeout(this.#timer);
    // Without accessTokenExpiresAt in the selection nobody knows when, so nothing is renewed.
    if (Number.isNaN(milliseconds)) return;
    this.#renewAt = Date.now() + milliseconds;
    this.#timer = setTimeout(() => this.#renew(), milliseconds);
  }

  // Refresh tokens rotate: two renewals at once would use one token twice.
  #renew() {
    this.#renewal ??= this.#exchange().finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  async #exchange() {
    const before = this.#tokens;
    try {
      const result = await this.#send(REFRESH, { refreshToken: before.refreshToken });
      if (this.#tokens !== before) return;
      if (result.data?.refreshSession?.accessToken) this.learn(result);
      else if (result.data) this.#forget();
      else this.#renewIn(TRY_AGAIN_MS);
    } catch {
      this.#renewIn(TRY_AGAIN_MS);
    }
  }

  async #send(query, variables) {
    const response = await fetch(this.#endpoint, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ query, variables }),
    });
    return response.json();
  }

  #tell() {
    for (const listener of this.#listeners) listener();
  }
}
