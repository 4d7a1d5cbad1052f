/**
 * A store that the nodes of a {@link FakeCluster} share: the real state machine, without consensus. Every node answers
 * from it at once, so a test decides by the nodes alone which requests and answers are lost.
 */
import type { KeySet } from "../../../lib/kv/branching_command.ts";
import type { Command, CommandResult } from "../../../lib/kv/command.ts";
import { FEATURE_LEVEL } from "../../../lib/kv/feature_level.ts";
import { compareKeys } from "../../../lib/kv/keys.ts";
import { StateMachine } from "../../../lib/kv/state_machine.ts";
import type { ClientRequest, ServerFrame, ServerMessage } from "../../../lib/protocol/client_frames.ts";
import { decodeCommand, encodeResult } from "../../../lib/protocol/command.ts";
import { answerScan } from "../../../lib/server/reads/scans.ts";
import { answerLeaseRead } from "../../../lib/server/leases/lease_reads.ts";
import type { FakeCluster, FakeNode, Reply } from "./scripted_node.ts";

type Request<K extends ClientRequest["kind"]> = Extract<ClientRequest, { readonly kind: K }>;
type Event = ServerFrame<"watchEvents">["events"][number];
type Send = (message: ServerMessage) => void;

/** How often leases that are over end. */
const TICK_MS = 250;

/** A watch of one connection; `next` is the first revision that it was not sent. */
interface Watch {
  readonly node: FakeNode;
  readonly send: Send;
  readonly request: Request<"watch">;
  next: number;
}

/** The store. */
export class SharedStore {
  readonly machine = new StateMachine();
  readonly #cluster: FakeCluster;
  readonly #events: { readonly revision: number; readonly event: Event }[] = [];
  readonly #watches = new Map<Send, Map<number, Watch>>();
  #countedMs = 0;
  #readRevision = 0;

  /** Has all nodes of a cluster answer from a new store. */
  constructor(cluster: FakeCluster) {
    this.#cluster = cluster;
    this.apply({ kind: "raiseFeatureLevel", level: FEATURE_LEVEL });
    for (const node of cluster.nodes) {
      node.serve = (request, send) => this.#answer(node, request, send);
    }
    const tick = (): void => {
      this.#count();
      this.#feed();
      cluster.clock.after(TICK_MS, tick);
    };
    tick();
  }

  /** The keys of the store, as text. */
  get keys(): readonly string[] {
    const all = {
      prefix: new Uint8Array(0),
      start: null,
      end: null,
      after: null,
      reverse: false,
      limit: 10_000,
    };
    return this.machine.list(all).entries.map(({ key }) => new TextDecoder().decode(key));
  }

  /** The watches of nodes that answer. */
  get watchCount(): number {
    return [...this.#watches.values()].flatMap((watches) => [...watches.values()]).length;
  }

  /** Applies a command now. */
  apply(command: Command): CommandResult {
    const result = this.machine.apply(this.machine.appliedIndex + 1, command);
    this.#readEvents();
    return result;
  }

  /** Counts the time that has passed: leases that are over end. */
  #count(): void {
    const elapsedMs = Math.floor(this.#cluster.clock.now() - this.#countedMs);
    this.#countedMs += elapsedMs;
    this.apply({ kind: "expireSessions", elapsedMs });
  }

  #readEvents(): void {
    const { events, revision } = this.machine;
    if (revision === this.#readRevision) return;
    for (let number = events.seek(this.#readRevision + 1); number < events.end; number++) {
      const at = events.at(number);
      const event: Event = events.isPut(at)
        ? { kind: "put", entry: events.entry(at) }
        : { kind: "delete", key: events.key(at).slice() };
      this.#events.push({ revision: events.revision(at), event: structuredClone(event) });
    }
    this.#readRevision = revision;
    queueMicrotask(() => this.#feed());
  }

  /** Sends each watch the events that it was not sent yet. */
  #feed(): void {
    for (const watches of this.#watches.values()) {
      for (const [watchId, watch] of watches) {
        if (watch.node.isHung) continue;
        for (let revision = watch.next; revision <= this.machine.revision; revision++) {
          const events = this.#events.flatMap((one) =>
            one.revision === revision && isWatched(watch.request, one.event) ? [one.event] : []
          );
          if (events.length > 0) watch.send({ kind: "watchEvents", watchId, revision, events, more: false });
        }
        watch.next = this.machine.revision + 1;
      }
    }
  }

  #answer(node: FakeNode, request: ClientRequest, send: Send): Reply | null {
    const { requestId } = request;
    const { revision } = this.machine;
    switch (request.kind) {
      case "write":
        return { kind: "writeResult", requestId, result: encodeResult(this.#write(request)) };
      case "get":
        return { kind: "getResult", requestId, entry: this.machine.get(request.key), revision };
      case "list":
        return { kind: "listResult", requestId, page: this.machine.list(request.query) };
      case "listAt": {
        const { result: page } = this.machine.listAt(request.query, request.revision);
        return { kind: "listResult", requestId, page };
      }
      case "scan":
        return answerScan(request, this.machine).answer;
      case "lease":
      case "listLeases": {
        this.#count();
        const state = { stateMachine: this.machine, logTimeMs: this.machine.logTimeMs };
        return answerLeaseRead(request, state).answer;
      }
      case "keepAlive": {
        this.#count();
        const result = this.apply({ kind: "keepLeasesAlive", leaseIds: request.leaseIds });
        const ttlsMs = result.kind === "leasesKeptAlive" ? result.ttlsMs : [];
        return { kind: "keepAliveResult", requestId, ttlsMs };
      }
      case "watch":
        return this.#watch(node, request, send);
      case "cancelWatch":
        this.#watches.get(send)?.delete(request.watchId);
        return { kind: "watchCancelled", requestId };
      default:
        return null;
    }
  }

  #write(request: Request<"write">): CommandResult {
    this.#count();
    return this.apply(decodeCommand(request.command));
  }

  #watch(node: FakeNode, request: Request<"watch">, send: Send): Reply {
    const { requestId, from } = request;
    const { revision, compactedRevision } = this.machine;
    if (from !== null && from <= compactedRevision) {
      const message = "Cannot watch: the history is compacted.";
      const refusal = { code: "compacted", message, outcome: "not-applied", leader: 1 } as const;
      return { kind: "error", requestId, ...refusal, compactedRevision };
    }
    const watches = this.#watches.get(send) ?? new Map<number, Watch>();
    watches.set(requestId, { node, send, request, next: from ?? revision + 1 });
    this.#watches.set(send, watches);
    queueMicrotask(() => this.#feed());
    return { kind: "watchStarted", requestId, revision };
  }
}

function isWatched({ keys, puts, deletes }: Request<"watch">, event: Event): boolean {
  if (event.kind === "put" ? !puts : !deletes) return false;
  return hasKey(keys, event.kind === "put" ? event.entry.key : event.key);
}

function hasKey(keys: KeySet, key: Uint8Array): boolean {
  if (keys.kind === "key") return compareKeys(keys.key, key) === 0;
  return compareKeys(keys.start, key) <= 0 && (keys.end === null || compareKeys(key, keys.end) < 0);
}
