/** The changes of etcd between the watch and the writes to kvraft, one revision of etcd at a time. */
import type { EtcdEvent } from "./etcd_answers.ts";

/** Events and bytes of keys and values that may wait; the watch is not read while there are more. */
const MAX_WAITING_EVENTS = 8_192;
const MAX_WAITING_BYTES = 8_388_608;

/** Changes that etcd made at once. */
export interface EtcdRevision {
  readonly revision: number;
  /** The last change of each key. None: only that etcd is at this revision. */
  readonly events: readonly EtcdEvent[];
}

/** A queue with one writer, which waits while it is full, and one reader. */
export class RevisionQueue {
  #waiting: EtcdRevision[] = [];
  #events = 0;
  #bytes = 0;
  #end: { readonly error: unknown } | null = null;
  #changed = Promise.withResolvers<void>();

  /** Adds a revision, and waits while the queue is full. */
  async push(revision: EtcdRevision): Promise<void> {
    this.#waiting.push(revision);
    this.#count(revision, 1);
    this.#wake();
    while (this.#events > MAX_WAITING_EVENTS || this.#bytes > MAX_WAITING_BYTES) {
      if (this.#end !== null) return;
      await this.#changed.promise;
    }
  }

  /** Ends the queue with an error, which the reader gets once what waits is taken. The first end counts. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake();
  }

  /** Waits for a revision, and returns all those of the beginning that `fits` accepts; the first one always. */
  async take(fits: (taken: EtcdRevision) => boolean): Promise<readonly [EtcdRevision, ...EtcdRevision[]]> {
    for (;;) {
      const first = this.#waiting[0];
      if (first !== undefined) {
        fits(first);
        const end = this.#waiting.findIndex((revision, position) => position > 0 && !fits(revision));
        const taken = this.#waiting.splice(0, end === -1 ? this.#waiting.length : end);
        for (const revision of taken) this.#count(revision, -1);
        this.#wake();
        return [first, ...taken.slice(1)];
      }
      if (this.#end !== null) throw this.#end.error;
      await this.#changed.promise;
    }
  }

  #count({ events }: EtcdRevision, sign: 1 | -1): void {
    this.#events += sign * events.length;
    for (const { key, entry } of events) this.#bytes += sign * (key.length + (entry?.value.length ?? 0));
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** Joins the events of one revision, which may come in several messages. */
export class RevisionJoiner {
  #revision = 0;
  #events = new Map<string, EtcdEvent>();

  /** Takes the events of a message, and returns the revisions that are complete. */
  take(events: readonly EtcdEvent[], isComplete: boolean): readonly EtcdRevision[] {
    const complete: EtcdRevision[] = [];
    for (const event of events) {
      if (event.revision !== this.#revision) complete.push(...this.#flush());
      this.#revision = event.revision;
      // A transaction of etcd may put a key and delete it.
      this.#events.set(event.key.toBase64(), event);
    }
    return isComplete ? [...complete, ...this.#flush()] : complete;
  }

  #flush(): readonly EtcdRevision[] {
    if (this.#events.size === 0) return [];
    const events = [...this.#events.values()];
    this.#events = new Map();
    return [{ revision: this.#revision, events }];
  }
}
