/** Reads a range of the cluster page by page, all at one revision. */
import type { KeyValue } from "../../../kv/command.ts";
import { successor } from "../../../kv/keys.ts";
import type { Answered } from "../../../client/calls.ts";
import type { CallContext } from "../../../client/call_context.ts";
import type { RequestOf } from "../../../client/connection.ts";
import type { ClientCore } from "../../../client/core.ts";
import { wrongAnswer } from "../../../client/writer.ts";
import type { RangeRequest } from "../../messages/kv.ts";
import { SORT_TARGET } from "../../messages/kv.ts";
import { storeRevision } from "../../revisions.ts";
import { keySetOf } from "../keys.ts";
import { isReverse } from "./selection.ts";

const READ = "read a range";

/** The range that is read. */
export interface ReadOptions {
  readonly core: ClientCore;
  /** Returns the limits of the read of a page. */
  readonly context: () => CallContext;
}

/** The pages of one range. */
export class RangePages {
  readonly #options: ReadOptions;
  readonly #isStale: boolean;
  readonly #query: Omit<RequestOf<"scan">["query"], "limit" | "count">;
  /** Where the next page begins, in the direction of the read. */
  #from: Uint8Array | null = null;
  #revision: number | null;
  #present = 0;
  #count: number | null = null;
  #isAtEnd = false;

  constructor(request: RangeRequest, options: ReadOptions) {
    this.#options = options;
    this.#isStale = request.serializable;
    const keys = keySetOf(request);
    const { start, end } = keys.kind === "key" ? { start: keys.key, end: successor(keys.key) } : keys;
    const keysOnly = request.countOnly || (request.keysOnly && request.sortTarget !== SORT_TARGET.value);
    this.#query = { start, end, reverse: isReverse(request), keysOnly };
    this.#revision = request.revision <= 0 ? null : storeRevision(request.revision);
  }

  /** Whether all entries were read. */
  get isAtEnd(): boolean {
    return this.#isAtEnd;
  }

  /** The store's revision when the first page was read: that of the read, if the request names none. */
  get present(): number {
    return this.#present;
  }

  /** Reads up to `limit` further entries; fewer, even none, where a page of the cluster ends. Rejects with a KvraftError. */
  async next(limit: number): Promise<readonly KeyValue[]> {
    const isFirst = this.#from === null;
    const { page } = await this.#scan({ limit, count: isFirst });
    if (isFirst) this.#count = page.count;
    this.#isAtEnd = !page.more;
    const last = page.after ?? page.entries.at(-1)?.key;
    if (page.more && last === undefined) throw wrongAnswer(READ);
    if (last !== undefined) this.#from = this.#query.reverse ? last : successor(last);
    return page.entries;
  }

  /** Returns the number of keys of the whole range. Rejects with a KvraftError. */
  async count(): Promise<number> {
    if (this.#count !== null) return this.#count;
    let count = 0;
    let from = this.#query.start;
    for (;;) {
      const { page } = await this.#scan({ limit: 0, count: true }, {
        ...this.#query,
        start: from,
        reverse: false,
      });
      if (page.count === null) throw wrongAnswer(READ);
      count += page.count;
      if (!page.more) break;
      if (page.after === null) throw wrongAnswer(READ);
      from = successor(page.after);
    }
    this.#count = count;
    return count;
  }

  async #scan(
    part: { readonly limit: number; readonly count: boolean },
    query = this.#rest(),
  ): Promise<Answered<"scan">["message"]> {
    // Once the revision is known, any node that has reached it may answer.
    const isStale = this.#isStale || this.#present > 0;
    const request: RequestOf<"scan"> = {
      kind: "scan",
      query: { ...query, ...part },
      consistency: isStale ? "stale" : "linearizable",
      revision: this.#revision,
    };
    const { core, context } = this.#options;
    const { message } = await core.call(request, { kind: "read", action: READ, context: context() });
    this.#revision ??= message.page.revision;
    this.#present ||= message.present;
    return message;
  }

  #rest(): Omit<RequestOf<"scan">["query"], "limit" | "count"> {
    if (this.#from === null) return this.#query;
    return this.#query.reverse ? { ...this.#query, end: this.#from } : { ...this.#query, start: this.#from };
  }
}
