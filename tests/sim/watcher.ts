/**
 * The watchers of a run that choose their nodes: each has a few watches on one connection to a random node, moves to
 * another node after a while or when the node ends the connection, and resumes its watches there. At times it reads
 * nothing for a while, cancels a watch and resumes it, or asks how far it is.
 *
 * They speak the protocol, since the client library chooses the node itself; library_watcher.ts has watchers through it.
 */
import type { ConnectOptions } from "../../lib/mod.ts";
import { prefixEnd, successor } from "../../lib/kv/keys.ts";
import type { Clock, Random } from "../../lib/platform/clock.ts";
import type { Network } from "../../lib/platform/network.ts";
import type { Notice } from "../../lib/protocol/client_frames.ts";
import { bytesOfText } from "../../lib/loadgen/mod.ts";
import type { SeededRandom } from "../support/seeded_random.ts";
import type { Coverage } from "./coverage.ts";
import type { Process } from "./environment/process.ts";
import { CheckedWatch, type WatchScope, type WatchTruth } from "./invariants/checked_watch.ts";
import type { Plan } from "./plan.ts";
import { RawConnection } from "./raw_connection.ts";

/** Options of a watcher. */
export interface SimWatcherOptions {
  /** For traces and messages. */
  readonly name: string;
  readonly process: Process;
  readonly platform: { readonly network: Network; readonly clock: Clock; readonly random: Random };
  /** Returns the addresses of the nodes that it may choose. */
  readonly cluster: () => readonly string[];
  /** Returns how a client of the library signs in; empty in a run without users. */
  readonly credentials: () => Pick<ConnectOptions, "token">;
  /** Returns the token to sign in with; null in a run without users. */
  readonly workerToken: () => string | null;
  readonly plan: Plan;
  readonly random: SeededRandom;
  readonly coverage: Coverage;
  readonly truth: WatchTruth;
  /** Whether all faults have ended: it stays connected then. */
  readonly isOver: () => boolean;
  readonly violated: (message: string) => void;
  readonly trace: (line: () => string) => void;
}

/** Longest time on one connection. */
const MAX_STAY_MS = 8_000;
/** Longest time in which it reads nothing. */
const MAX_PAUSE_MS = 6_000;
/** Pause between two connections. */
const RETRY_MS = 100;
/** Most watches of a watcher, and of one in a run with large values: together they fill the queue of a connection. */
const MAX_WATCHES = 4;
const MAX_WATCHES_OF_LARGE_VALUES = 24;
const LARGE_VALUE_BYTES = 20_000;

/** One watcher. */
export class SimWatcher {
  readonly #options: SimWatcherOptions;
  readonly #watches: CheckedWatch[] = [];
  /** The watches of the present connection, by their ids. */
  readonly #served = new Map<number, CheckedWatch>();
  #connection: RawConnection | null = null;
  /** The node of the previous connection. */
  #lastAddress: string | null = null;
  #hasEnded = false;
  #made = 0;

  /** Makes a watcher that is not connected. */
  constructor(options: SimWatcherOptions) {
    this.#options = options;
    const { random, plan } = options;
    const most = plan.maxValueBytes >= LARGE_VALUE_BYTES && random.chance(0.5)
      ? MAX_WATCHES_OF_LARGE_VALUES
      : 1 + random.below(MAX_WATCHES);
    for (let i = 0; i < most; i++) this.#watches.push(this.#newWatch(drawScope(random, plan)));
  }

  /** For traces and messages. */
  get name(): string {
    return this.#options.name;
  }

  /** Whether every watch was sent all that it asks for. */
  get isLevel(): boolean {
    return this.#watches.every(({ isLevel }) => isLevel);
  }

  /** Begins to watch. */
  start(): void {
    this.#options.process.wake(() => void this.#run());
  }

  /** Ends it. */
  stop(): void {
    this.#hasEnded = true;
    this.#options.process.resume();
    this.#options.process.wake(() => this.#connection?.close("the run has ended"));
  }

  async #run(): Promise<void> {
    const { random, cluster } = this.#options;
    while (!this.#hasEnded) {
      const addresses = cluster();
      try {
        if (addresses.length > 0) await this.#stayAt(random.pick(addresses));
      } catch {
        // The node refuses the connection, or does not answer.
      }
      await this.#pause(RETRY_MS);
    }
  }

  /** Serves the watches over one connection, until that ends or for a while. Rejects where none is made. */
  async #stayAt(address: string): Promise<void> {
    const { platform, random, isOver, coverage, trace, name } = this.#options;
    const { clock } = platform;
    const connection = await RawConnection.open(platform, address);
    trace(() => `${name} watches at ${address}`);
    this.#connection = connection;
    const isElsewhere = this.#lastAddress !== null && this.#lastAddress !== address;
    this.#lastAddress = address;
    if (isElsewhere && this.#watches.some(({ next }) => next !== null)) {
      coverage.count("watchesResumedElsewhere");
    }
    const served = connection.serve((notice) => this.#took(notice));
    this.#signIn(connection, () => {
      for (const watch of this.#watches) this.#begin(connection, watch);
    });
    const leaveAt = clock.now() + MAX_STAY_MS * random.next();
    while (connection.isOpen && !this.#hasEnded && (clock.now() < leaveAt || isOver())) {
      await Promise.race([served, this.#pause(MAX_STAY_MS / 4 * random.next())]);
      if (connection.isOpen) this.#act(connection);
      // A node that no longer answers, although it can be reached, keeps the connection open.
      if (isOver() && !this.isLevel && clock.now() > leaveAt) break;
    }
    connection.close("it goes elsewhere");
    await served;
    this.#connection = null;
    this.#served.clear();
  }

  /** Signs in, in a run with users, and goes on. */
  #signIn(connection: RawConnection, next: () => void): void {
    const token = this.#options.workerToken();
    if (token === null) return next();
    connection.send({ kind: "signIn", method: { kind: "token", token } }, (answer) => {
      if (answer.kind === "error") connection.close("it could not sign in");
      else next();
    });
  }

  /** Does something that a watcher seldom does. */
  #act(connection: RawConnection): void {
    const { random, process, isOver } = this.#options;
    const kind = random.below(10);
    if (kind < 3) this.#askForProgress(connection);
    else if (kind < 5) this.#cancelOne(connection);
    else if (kind < 6 && !isOver()) {
      process.pause();
      process.scheduler.after(MAX_PAUSE_MS * random.next(), null, () => process.resume());
    }
  }

  #askForProgress(connection: RawConnection): void {
    const watches = [...this.#served.values()];
    connection.send({ kind: "watchProgress", atOnce: false }, (answer) => {
      if (answer.kind === "error") return;
      const present = new Set(this.#served.values());
      for (const watch of watches) if (present.has(watch)) watch.progressed(answer.revision);
    });
  }

  /** Cancels a watch, and resumes it, or begins another one, on the same connection. */
  #cancelOne(connection: RawConnection): void {
    const [watchId, watch] = [...this.#served][0] ?? [];
    if (watchId === undefined || watch === undefined) return;
    connection.send({ kind: "cancelWatch", watchId }, (answer) => {
      if (answer.kind === "error") return connection.close("a watch could not be cancelled");
      // It may have ended by itself, and begun again under another id.
      if (this.#served.get(watchId) !== watch) return;
      this.#served.delete(watchId);
      if (this.#options.random.chance(0.5)) this.#begin(connection, watch);
      else this.#replace(connection, watch);
    });
  }

  #begin(connection: RawConnection, watch: CheckedWatch): void {
    const { truth, violated, name } = this.#options;
    const { start, end, puts, deletes, previous } = watch.scope;
    const isOneKey = end !== null && end.length === start.length + 1 && end.at(-1) === 0;
    const keys = isOneKey ? { kind: "key", key: start } as const : { kind: "range", start, end } as const;
    const newest = truth.states.lastRevision;
    const request = {
      kind: "watch",
      keys,
      from: watch.next,
      puts,
      deletes,
      previous,
      visibleOnly: false,
    } as const;
    connection.send(request, (answer) => {
      if (answer.kind !== "error") {
        this.#served.set(answer.requestId, watch);
        watch.started(answer.revision, newest);
        return;
      }
      const { code, message, compactedRevision } = answer;
      if (code === "compacted") return this.#replaceCompacted(connection, watch, compactedRevision ?? null);
      if (["permissionDenied", "futureRevision", "invalidRequest", "internal"].includes(code)) {
        violated(`${name} cannot watch from ${watch.next} on: ${code}, ${message}`);
      }
      connection.close("a watch was refused");
    });
  }

  #took(notice: Notice): void {
    const { violated, name } = this.#options;
    switch (notice.kind) {
      case "leader":
      case "members":
        return;
      case "watchEvents": {
        const { watchId, revision, events, more } = notice;
        const watch = this.#served.get(watchId);
        if (watch === undefined) {
          return violated(`${name} is sent events of the watch ${watchId}, which it has not`);
        }
        watch.events(
          revision,
          events.map((event) => ({
            key: event.kind === "put" ? event.entry.key : event.key,
            entry: event.kind === "put" ? event.entry : null,
            previous: event.previous,
          })),
          more,
        );
        return;
      }
      case "watchProgressed":
        for (const watchId of notice.watchIds) this.#served.get(watchId)?.progressed(notice.revision);
        return;
      case "watchEnded": {
        const { watchId, code, message, compactedRevision } = notice;
        const watch = this.#served.get(watchId);
        this.#served.delete(watchId);
        if (watch === undefined) {
          return violated(`${name} is sent the end of the watch ${watchId}, which it has not`);
        }
        if (code === "internal" || code === "permissionDenied") {
          violated(`${name}: a watch ended: ${message}`);
        }
        if (code === "noLeader") this.#options.coverage.count("watchesEndedLeaderless");
        if (code !== "compacted") return this.#connection?.close("a watch ended");
        this.#options.coverage.count("watchesEndedCompacted");
        if (this.#connection !== null) {
          this.#replaceCompacted(this.#connection, watch, compactedRevision ?? null);
        }
        return;
      }
    }
  }

  /** Checks that a watch's next revision is compacted, and begins another one like it. */
  #replaceCompacted(connection: RawConnection, watch: CheckedWatch, compactedRevision: number | null): void {
    watch.hasEndedCompacted(compactedRevision);
    this.#replace(connection, watch);
  }

  #replace(connection: RawConnection, watch: CheckedWatch): void {
    const other = this.#newWatch(watch.scope);
    this.#watches[this.#watches.indexOf(watch)] = other;
    this.#begin(connection, other);
  }

  #newWatch(scope: WatchScope): CheckedWatch {
    const { name, truth, violated, random, coverage } = this.#options;
    const from = this.#made > 0 && random.chance(0.5) && truth.states.lastRevision > truth.compactedRevision
      ? truth.compactedRevision + 1 + random.below(truth.states.lastRevision - truth.compactedRevision)
      : null;
    if (from !== null) coverage.count("watchesFromThePast");
    this.#made += 1;
    return new CheckedWatch({ name: `${name}.${this.#made}`, scope, from, truth, violated });
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#options.platform.clock.after(durationMs, resolve));
  }
}

/** Draws the keys and events of a watch. */
export function drawScope(random: SeededRandom, plan: Plan): WatchScope {
  const key = (): Uint8Array => bytesOfText(`k${random.below(plan.keys)}`);
  const prefix = bytesOfText("k");
  const [start, end] = random.pick([
    (): [Uint8Array, Uint8Array | null] => [new Uint8Array(0), null],
    (): [Uint8Array, Uint8Array | null] => [prefix, prefixEnd(prefix)],
    (): [Uint8Array, Uint8Array | null] => [key(), bytesOfText("k~")],
    (): [Uint8Array, Uint8Array | null] => {
      const one = key();
      return [one, successor(one)];
    },
  ])();
  const kinds = random.below(6);
  return { start, end, puts: kinds !== 0, deletes: kinds !== 1, previous: random.chance(0.5) };
}
