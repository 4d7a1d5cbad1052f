/**
 * Finds clients that ask for metadata again and again. Deno's client does so without any pause if its clock is past the
 * expiry of its metadata, and nothing tells its users.
 */
import type { Clock } from "../../platform/clock.ts";
import type { Logger } from "../../platform/logger.ts";

/** Time over which the requests of a client are counted. */
const WINDOW_MS = 10_000;
/** Requests in a window above which a client is reported: two in a second. A client begins with two. */
const MAX_PER_WINDOW = 20;
/** Clients that are counted in a window; further ones are not. */
const MAX_CLIENTS = 10_000;

/** The metadata requests of the clients of one front end. */
export class FrequentClients {
  readonly #clock: Pick<Clock, "now">;
  readonly #logger: Logger;
  /** Requests in the present window, by the other end of the connection. */
  readonly #counts = new Map<string, number>();
  #windowEndsAt = 0;
  #hasLogged = false;

  constructor(clock: Pick<Clock, "now">, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Counts a request; logs one line in a window about the first client with too many. */
  count(remote: string): void {
    const now = this.#clock.now();
    if (now >= this.#windowEndsAt) {
      this.#counts.clear();
      this.#windowEndsAt = now + WINDOW_MS;
      this.#hasLogged = false;
    }
    const count = (this.#counts.get(remote) ?? 0) + 1;
    if (count > 1 || this.#counts.size < MAX_CLIENTS) this.#counts.set(remote, count);
    if (count <= MAX_PER_WINDOW || this.#hasLogged) return;
    this.#hasLogged = true;
    this.#logger.warn("A client of Deno KV asks for metadata without pause", {
      remote,
      requests: count,
      remedy: "set its clock: it is probably more than a day fast",
    });
  }
}
