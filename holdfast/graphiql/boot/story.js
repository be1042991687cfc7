const REMEMBERED = { Schedule: "scheduleId", Reservation: "reservationId", Booking: "bookingId", AutomationJob: "jobId" };

/** Carries ids from one example to the next: a variable left empty means the one seen last. */
export class Story {
  #seen = {};
  #token = null;

  /** Remembers the first Schedule, Reservation, Booking and AutomationJob (by __typename) of a result, and a guest's token. */
  learn({ data }) {
    const first = {};
    const walk = (value) => {
      if (value === null || typeof value !== "object") return;
      const name = REMEMBERED[value.__typename];
      if (name && value.id) first[name] ??= value.id;
      if (value.__typename === "Reservation" && "token" in value) this.#token = value.token;
      Object.values(value).forEach(walk);
    };
    walk(data);
    Object.assign(this.#seen, first);
  }

  /**
   * The variables with each empty `scheduleId`, `reservationId`, `bookingId` and `jobId` filled in, an empty `token` as the one
   * seen last, if any, and an empty `from` as now.
   * Throws an Error that says what to do when nothing was seen yet.
   */
  fill(variables) {
    const filled = { ...variables };
    for (const [type, name] of Object.entries(REMEMBERED)) {
      if (filled[name] !== "") continue;
      if (!this.#seen[name]) throw new Error(`No ${type} was seen on this page yet: run the tab before, or give ${name}.`);
      filled[name] = this.#seen[name];
    }
    if (filled.token === "") filled.token = this.#token;
    if (filled.from === "") filled.from = new Date().toISOString();
    return filled;
  }
}
