const PICTURE = /^data:image\/(png|jpeg|svg\+xml)[;,]/;

/** The picture seen last among the results, a login code for one: in the result itself it is a wall of letters. */
export class Pictures {
  #shown = null;
  #listeners = new Set();

  /** Calls `listener` after each change; gives the function that ends this. */
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** The picture as a data: URL, or null. */
  shown = () => this.#shown;

  /** Notices the first picture of a result. */
  learn({ data }) {
    const found = firstPicture(data);
    if (found) this.#show(found);
  }

  /** Takes it away: the stream that it came from has ended. */
  forget = () => this.#show(null);

  #show(picture) {
    this.#shown = picture;
    for (const listener of this.#listeners) listener();
  }
}

function firstPicture(value) {
  if (typeof value === "string") return PICTURE.test(value) ? value : undefined;
  if (value === null || typeof value !== "object") return undefined;
  for (const inner of Object.values(value)) {
    const found = firstPicture(inner);
    if (found) return found;
  }
  return undefined;
}
