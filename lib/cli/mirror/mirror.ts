/**
 * A mirror: the keys of an etcd in kvraft, at one revision of etcd after the other.
 *
 * It copies all keys as of one revision R, page by page, and writes only what differs. Then it watches from R + 1 on and makes
 * the changes of each revision in one transaction, so that a transaction of etcd is seen whole. Where the watch breaks, it goes
 * on behind the last revision that was made; where etcd does not have the changes since then any more (a compaction, an older
 * backup, another cluster), it copies again.
 */
import { MAX_TRANSACTION_OPERATIONS, successor } from "../../kv/mod.ts";
import { assertNever } from "../../platform/assert.ts";
import type { Stopwatch } from "../environment.ts";
import { countOf } from "../text.ts";
import { pause } from "../waiting.ts";
import { EtcdError, type EtcdPage, type EtcdPosition, type WatchMessage } from "./etcd_answers.ts";
import type { EtcdGateway, EtcdRange } from "./etcd_gateway.ts";
import { type Change, fitOneTransaction, MAX_CHANGE_BYTES, type MirrorTarget } from "./mirror_target.ts";
import { type EtcdRevision, RevisionJoiner, RevisionQueue } from "./revision_queue.ts";

/** Keys of the first page, and of the largest. */
const FIRST_PAGE_KEYS = 100;
const MAX_PAGE_KEYS = 2_000;
/** Bytes of keys and values of a page, above which the next one has fewer keys. */
const PAGE_BYTES = 2_097_152;
/** Pause before etcd is asked again after a failure. */
const RETRY_MS = 1_000;
/** Interval at which etcd is asked for its revision. */
const CHECK_MS = 10_000;
/**
 * Time without a message after which a watch is begun again, if etcd has gone on: a firewall may have dropped its connection.
 * Of a part of the keys etcd says only every 10 to 11 minutes that nothing has changed.
 */
const SILENCE_MS = 30_000;
const SILENCE_OF_A_PART_MS = 720_000;

/** The dependencies of a {@link Mirror}. */
export interface MirrorOptions {
  readonly gateway: EtcdGateway;
  readonly target: MirrorTarget;
  /** The keys of etcd. */
  readonly range: EtcdRange;
  readonly clock: Stopwatch;
  readonly signal: AbortSignal;
  readonly note: (remark: string) => void;
  readonly showProgress: (line: string) => void;
}

/** The mirror. */
export class Mirror {
  /** The revision of etcd up to which everything is made; null before the first copy is complete. */
  #applied: number | null = null;
  /** The cluster that was copied. */
  #clusterId = "";
  #copies = 0;
  #followed = 0;
  /** The newest revision that etcd is known to have. */
  #newest = 0;
  /** Whether etcd has answered, so that a failure to reach it is waited for. */
  #hasAnswered = false;
  #isInterrupted = false;
  readonly #options: MirrorOptions;

  constructor(options: MirrorOptions) {
    this.#options = options;
  }

  /** The revision of etcd up to which everything is made; null before the first copy is complete. */
  get revision(): number | null {
    return this.#applied;
  }

  /** Changes that were followed. */
  get followed(): number {
    return this.#followed;
  }

  /** Number of complete copies. */
  get copies(): number {
    return this.#copies;
  }

  /**
   * Copies, and follows until the signal is aborted; with `once` it ends after the copy. Rejects with errors that another
   * attempt would meet again, and with each error before etcd has answered.
   */
  async run({ once }: { readonly once: boolean }): Promise<void> {
    const { signal, clock } = this.#options;
    let needsCopy = true;
    while (!signal.aborted) {
      try {
        if (needsCopy) await this.#copy();
        needsCopy = false;
        if (once) return;
        await this.#follow();
      } catch (error) {
        if (signal.aborted) return;
        needsCopy = this.#recover(error, needsCopy);
        await pause(RETRY_MS, { clock, signal });
      }
    }
  }

  /** Returns whether to copy again after an error. Throws it unless it may pass. */
  #recover(error: unknown, needsCopy: boolean): boolean {
    const { note } = this.#options;
    if (!(error instanceof EtcdError) || !this.#hasAnswered) throw error;
    switch (error.kind) {
      case "compacted":
        note(
          this.#applied === null
            ? "etcd no longer has the revision that was being copied; copying again"
            : `etcd no longer has the changes from revision ${this.#applied + 1} on; copying again`,
        );
        return true;
      case "unreachable":
      case "unauthenticated":
        if (!this.#isInterrupted) note(`etcd was lost, trying again: ${error.message}`);
        this.#isInterrupted = true;
        return needsCopy;
      case "denied":
      case "tooLarge":
      case "refused":
        throw error;
      default:
        return assertNever(error.kind);
    }
  }

  /** Makes the keys of kvraft those of etcd at its present revision. */
  async #copy(): Promise<void> {
    const { target, range, note } = this.#options;
    target.leftOut.clear();
    let start = range.start;
    let limit = FIRST_PAGE_KEYS;
    let copied: EtcdPosition | null = null;
    let keys = 0;
    for (;;) {
      const page = await this.#page({ ...range, start }, { limit, revision: copied?.revision ?? null });
      if (copied === null) {
        copied = page.position;
        // Another cluster, or one that was restored, may have fewer revisions than the one before.
        this.#newest = 0;
      }
      this.#hasAnswered = true;
      this.#reached(page.position);
      const last = page.hasMore ? page.entries.at(-1) : undefined;
      const next = last === undefined ? null : successor(last.key);
      await target.reconcile({ start, end: next }, page.entries);
      keys += page.entries.length;
      this.#options.showProgress(`copied ${countOf(keys, "key")} of etcd at revision ${copied.revision} …`);
      if (next === null) break;
      start = next;
      limit = nextLimit(page);
    }
    this.#applied = copied.revision;
    this.#clusterId = copied.clusterId;
    this.#copies += 1;
    note(`copied ${countOf(keys, "key")} of etcd at revision ${copied.revision}`);
  }

  /** Returns a page; of fewer keys if they are too much for one answer. */
  async #page(
    range: EtcdRange,
    { limit, revision }: { readonly limit: number; readonly revision: number | null },
  ): Promise<EtcdPage> {
    const { gateway, signal } = this.#options;
    for (let keys = limit;; keys = Math.ceil(keys / 8)) {
      try {
        return await gateway.range(range, { limit: keys, revision, signal });
      } catch (error) {
        if (!(error instanceof EtcdError) || error.kind !== "tooLarge" || keys === 1) throw error;
      }
    }
  }

  /** Makes the changes behind the last revision, until the watch breaks. Rejects with the reason. */
  async #follow(): Promise<void> {
    const { gateway, range, signal } = this.#options;
    const from = (this.#applied ?? 0) + 1;
    const position = await gateway.position(range, signal);
    if (position.clusterId !== this.#clusterId || position.revision < from - 1) {
      throw new EtcdError("compacted", "it is another cluster, or was restored from an older backup");
    }
    this.#reached(position);
    const broken = new AbortController();
    const queue = new RevisionQueue();
    const watch = new Watch({ queue, range, from, clock: this.#options.clock });
    const ended = AbortSignal.any([signal, broken.signal]);
    const reading = watch.read(gateway.watch(range, { from, signal: ended }), () => this.#begun(from))
      .catch((error: unknown) => queue.fail(error));
    const checking = this.#check(watch, ended).catch((error: unknown) => queue.fail(error));
    try {
      for (;;) await this.#apply(queue);
    } catch (error) {
      queue.fail(error);
      throw error;
    } finally {
      broken.abort();
      await Promise.all([reading, checking]);
    }
  }

  #begun(from: number): void {
    this.#options.note(`following etcd from revision ${from} on`);
    this.#isInterrupted = false;
    this.#show();
  }

  /** Makes what waits in the queue, as much as one transaction can hold, and whole revisions in any case. */
  async #apply(queue: RevisionQueue): Promise<void> {
    const { target, note } = this.#options;
    const keys = new Set<string>();
    let bytes = 0;
    const revisions = await queue.take(({ events }) => {
      const added = events.map(({ key }) => key.toBase64());
      for (const { key, entry } of events) bytes += key.length + (entry?.value.length ?? 0);
      if (added.some((key) => keys.has(key))) return false;
      for (const key of added) keys.add(key);
      return keys.size <= MAX_TRANSACTION_OPERATIONS && bytes <= MAX_CHANGE_BYTES;
    });
    const changes: readonly Change[] = target.changesOf(revisions.flatMap(({ events }) => events));
    const last = revisions.at(-1) ?? revisions[0];
    if (!fitOneTransaction(changes)) {
      note(
        `revision ${last.revision} of etcd has ${changes.length} changes, more than a transaction: made in parts`,
      );
    }
    await target.apply(changes);
    this.#applied = last.revision;
    this.#followed += changes.length;
    this.#reached({ clusterId: this.#clusterId, revision: last.revision });
    this.#show();
  }

  /** Asks etcd for its revision from time to time. Rejects when it does not answer, or the watch has missed something. */
  async #check(watch: Watch, signal: AbortSignal): Promise<void> {
    const { gateway, range, clock } = this.#options;
    while (!signal.aborted) {
      await pause(CHECK_MS, { clock, signal });
      if (signal.aborted) return;
      this.#reached(await gateway.position(range, signal));
      this.#show();
      if (watch.isSilent && this.#newest > watch.received) {
        throw new EtcdError("unreachable", "its watch is silent although it has made changes");
      }
    }
  }

  #reached({ revision }: EtcdPosition): void {
    this.#newest = Math.max(this.#newest, revision);
  }

  #show(): void {
    const applied = this.#applied ?? 0;
    this.#options.showProgress(
      `following: ${countOf(this.#followed, "change")}, at revision ${applied}, etcd is at ${
        Math.max(applied, this.#newest)
      }; Ctrl-C ends it`,
    );
  }
}

/** A watch, whose changes go to a queue. */
class Watch {
  readonly #queue: RevisionQueue;
  readonly #clock: Stopwatch;
  readonly #silenceMs: number;
  /** Since when a message is waited for; null while one waits for the queue. */
  #waitsSince: number | null;
  #received: number;

  constructor(
    { queue, range, from, clock }: {
      readonly queue: RevisionQueue;
      readonly range: EtcdRange;
      readonly from: number;
      readonly clock: Stopwatch;
    },
  ) {
    this.#queue = queue;
    this.#clock = clock;
    this.#silenceMs = range.start.length === 0 && range.end === null ? SILENCE_MS : SILENCE_OF_A_PART_MS;
    this.#waitsSince = clock.now();
    this.#received = from - 1;
  }

  /** The revision up to which all changes have arrived. */
  get received(): number {
    return this.#received;
  }

  /** Whether the silence is longer than that of a connection that works. */
  get isSilent(): boolean {
    return this.#waitsSince !== null && this.#clock.now() - this.#waitsSince >= this.#silenceMs;
  }

  /** Reads messages into the queue. Rejects when they end. */
  async read(messages: AsyncIterable<WatchMessage>, onBegin: () => void): Promise<void> {
    const joiner = new RevisionJoiner();
    for await (const message of messages) {
      this.#waitsSince = null;
      if (message.kind === "created") onBegin();
      if (message.kind === "progress") await this.#pass({ revision: message.revision, events: [] });
      if (message.kind === "events") {
        for (const revision of joiner.take(message.events, message.isComplete)) await this.#pass(revision);
      }
      this.#waitsSince = this.#clock.now();
    }
  }

  async #pass(revision: EtcdRevision): Promise<void> {
    this.#received = revision.revision;
    await this.#queue.push(revision);
  }
}

/** Returns the number of keys of the next page: more while pages are small, so that each has a few megabytes at most. */
function nextLimit({ entries }: EtcdPage): number {
  const bytes = entries.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  if (bytes > PAGE_BYTES) return Math.max(1, Math.floor(entries.length / 2));
  return bytes < PAGE_BYTES / 4 ? Math.min(MAX_PAGE_KEYS, entries.length * 2) : entries.length;
}
