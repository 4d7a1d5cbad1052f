/** Observes the leader of an election. */
import { keyText } from "../../kv/keys.ts";
import type { KeyValue } from "../../kv/command.ts";
import { linkedSignal } from "../../platform/promise.ts";
import { checkObject, checkSignal } from "../argument_checks.ts";
import type { ClientCore } from "../core.ts";
import type { Keyspace } from "../keyspace.ts";
import type { WatchBatch } from "../watch/types.ts";
import { watchKeys } from "../watch/watch.ts";
import { ContenderQueue } from "./queue.ts";
import type { ObserveOptions } from "./types.ts";

type Leader = KeyValue | null;

/** Returns the present leader, and each later one; each iteration is an observation of its own. */
export function observeLeader(
  core: ClientCore,
  keyspace: Keyspace,
  { name, options }: { readonly name: string; readonly options: ObserveOptions },
): AsyncIterable<Leader> {
  const queue = new ContenderQueue(core, keyspace, name);
  const signal = checkSignal(checkObject(options, "the options of an observation").signal ?? null);
  return { [Symbol.asyncIterator]: () => new LeaderObserver(core, keyspace, { queue, signal }) };
}

/** One observation: the contenders as of the last revision, and the watch that follows. */
class LeaderObserver implements AsyncIterator<Leader, undefined> {
  readonly #core: ClientCore;
  readonly #keyspace: Keyspace;
  readonly #queue: ContenderQueue;
  readonly #signal: AbortSignal | null;
  readonly #stop = new AbortController();
  readonly #contenders = new Map<string, KeyValue>();
  #watch: AsyncIterator<WatchBatch> | null = null;
  /** The leader that was delivered last; undefined before the first. */
  #delivered: Leader | undefined;
  /** The last call of {@link next}: calls are served in order. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    core: ClientCore,
    keyspace: Keyspace,
    { queue, signal }: { readonly queue: ContenderQueue; readonly signal: AbortSignal | null },
  ) {
    this.#core = core;
    this.#keyspace = keyspace;
    this.#queue = queue;
    this.#signal = signal;
  }

  next(): Promise<IteratorResult<Leader, undefined>> {
    const next = this.#last.then(() => this.#advance());
    this.#last = next.catch(() => {});
    return next;
  }

  async return(): Promise<IteratorResult<Leader, undefined>> {
    this.#stop.abort();
    await this.#watch?.return?.();
    await this.#last;
    return { done: true, value: undefined };
  }

  async #advance(): Promise<IteratorResult<Leader, undefined>> {
    if (this.#watch === null && !await this.#start()) return { done: true, value: undefined };
    for (;;) {
      const leader = this.#leader();
      if (this.#delivered === undefined || !isSame(leader, this.#delivered)) {
        this.#delivered = leader;
        return { done: false, value: leader };
      }
      const batch = await this.#watch?.next();
      if (batch === undefined || batch.done === true) return { done: true, value: undefined };
      this.#apply(batch.value);
    }
  }

  /** Reads the contenders, and watches from then on; false if the program has ended the observation. */
  async #start(): Promise<boolean> {
    const stop = linkedSignal([this.#stop.signal, ...(this.#signal === null ? [] : [this.#signal])]);
    try {
      const { revision, entries } = await this.#queue.contenders(stop.signal);
      for (const entry of entries) this.#contenders.set(keyText(entry.key), entry);
      const watched = {
        prefix: this.#queue.prefix,
        from: revision + 1,
        resync: true,
        ...(this.#signal === null ? {} : { signal: this.#signal }),
      };
      this.#watch = watchKeys(this.#core, this.#keyspace, watched)[Symbol.asyncIterator]();
      return !this.#stop.signal.aborted;
    } catch (error) {
      if (this.#stop.signal.aborted) return false;
      throw error;
    } finally {
      stop.release();
    }
  }

  #apply(batch: WatchBatch): void {
    if (batch.kind === "reset") {
      this.#contenders.clear();
      for (const entry of batch.entries) this.#add(entry);
    } else if (batch.kind === "events") {
      for (const event of batch.events) {
        if (event.kind === "put") this.#add(event.entry);
        else this.#contenders.delete(keyText(event.key));
      }
    }
  }

  #add(entry: KeyValue): void {
    if (this.#queue.isContender(entry.key)) this.#contenders.set(keyText(entry.key), entry);
  }

  #leader(): Leader {
    let leader: Leader = null;
    for (const entry of this.#contenders.values()) {
      if (leader === null || entry.createRevision < leader.createRevision) leader = entry;
    }
    return leader;
  }
}

function isSame(a: Leader, b: Leader): boolean {
  return a === null || b === null
    ? a === b
    : a.modRevision === b.modRevision && a.createRevision === b.createRevision;
}
