/**
 * Who was active last: an order in which any member moves to the newest end, or leaves, in O(1).
 *
 * A `Map` keeps such an order too, but finding its first member means stepping over all that were deleted before it.
 */
import { assert } from "../platform/assert.ts";

/** One member between its neighbours. */
interface Link {
  readonly member: number;
  older: Link | null;
  newer: Link | null;
}

/** Members from the oldest to the newest, each once. */
export class RecencyOrder {
  readonly #links = new Map<number, Link>();
  #oldest: Link | null = null;
  #newest: Link | null = null;

  /** The member that has been waiting longest, or null when there is none. */
  get oldest(): number | null {
    return this.#oldest?.member ?? null;
  }

  /** Makes `member` the newest, whether it was there or not. */
  touch(member: number): void {
    if (this.#newest?.member === member) return;
    let link = this.#links.get(member);
    if (link === undefined) {
      link = { member, older: null, newer: null };
      this.#links.set(member, link);
    } else {
      this.#unlink(link);
    }
    link.older = this.#newest;
    if (this.#newest === null) this.#oldest = link;
    else this.#newest.newer = link;
    this.#newest = link;
  }

  /** Takes `member` out, if it is there. */
  delete(member: number): void {
    const link = this.#links.get(member);
    if (link === undefined) return;
    this.#unlink(link);
    this.#links.delete(member);
    assert(
      (this.#oldest === null) === (this.#links.size === 0),
      "an order has an end exactly while it has members",
    );
  }

  #unlink(link: Link): void {
    const { older, newer } = link;
    if (older === null) this.#oldest = newer;
    else older.newer = newer;
    if (newer === null) this.#newest = older;
    else newer.older = older;
    link.older = null;
    link.newer = null;
  }
}
